// Recognition of -kernel images and reading of their files. The protocols are in linux_image.cpp,
// linux_image64.cpp, multiboot.cpp and pvh_image.cpp. See kernel_loader.h.
#include "platform/firmware/kernel_loader.h"

#include "platform/firmware/elf_image.h"
#include "platform/firmware/host_file.h"
#include "platform/firmware/initrd_image.h"

namespace rm::platform {

const char* kernel_kind_name(KernelKind kind) {
    static constexpr const char* kNames[] = {"multiboot", "multiboot2", "Linux bzImage", "PVH ELF"};
    return kNames[static_cast<unsigned>(kind)];
}

std::vector<std::string> split_modules(const std::string& initrd) {
    std::vector<std::string> out;
    if (initrd.empty()) return out;
    out.emplace_back();
    for (size_t i = 0; i < initrd.size(); ++i) {
        if (initrd[i] != ',') {
            out.back() += initrd[i];
        } else if (i + 1 < initrd.size() && initrd[i + 1] == ',') {
            out.back() += ',';
            ++i;
        } else {
            out.emplace_back();
        }
    }
    return out;
}

Result<KernelKind> recognise_kernel(const std::string& name, const std::vector<u8>& kernel) {
    if (has_multiboot1_header(kernel)) return KernelKind::kMultiboot1;
    if (has_multiboot2_header(kernel)) return KernelKind::kMultiboot2;
    if (has_linux_header(kernel)) return KernelKind::kLinux;
    if (looks_like_elf(kernel)) {
        const auto elf = parse_elf(name, kernel);
        if (!elf) return std::unexpected(elf.error());
        if (elf->pvh_entry) return KernelKind::kPvh;
        return fail("kernel '%s': the ELF file has neither a multiboot header nor a PVH note",
                    name.c_str());
    }
    return fail("kernel '%s': not a multiboot, Linux bzImage or PVH ELF image", name.c_str());
}

Result<LoadedKernel> load_kernel_image(KernelKind kind, const KernelInput& input) {
    if (kind == KernelKind::kLinux) return load_linux(input);
    auto script = kind == KernelKind::kMultiboot1   ? load_multiboot1(input)
                  : kind == KernelKind::kMultiboot2 ? load_multiboot2(input)
                                                    : load_pvh(input);
    if (!script) return std::unexpected(script.error());
    return LoadedKernel{kind, std::move(*script), std::nullopt};
}

Result<LoadedKernel> load_kernel_files(const std::string& kernel, const std::string& initrd,
                                       const std::string& append, const RamLayout& ram,
                                       bool linux_entry64) {
    auto bytes = read_host_file("kernel", kernel, ram.below_4g);
    if (!bytes) return std::unexpected(bytes.error());
    const auto kind = recognise_kernel(kernel, *bytes);
    if (!kind) return std::unexpected(kind.error());
    if (linux_entry64 && *kind != KernelKind::kLinux)
        return fail("kernel '%s': a 64-bit Linux entry was asked for, but it is a %s image",
                    kernel.c_str(), kernel_kind_name(*kind));
    KernelInput input{kernel, std::move(*bytes), append, {}, ram, linux_entry64};
    const bool multiboot = *kind == KernelKind::kMultiboot1 || *kind == KernelKind::kMultiboot2;
    std::vector<std::string> modules;
    if (multiboot)
        modules = split_modules(initrd);
    else if (!initrd.empty())
        modules = {initrd};
    for (const std::string& text : modules) {
        const std::string file = multiboot ? text.substr(0, text.find(' ')) : text;
        auto module = read_host_file("initrd", file, ram.below_4g);
        if (!module) return std::unexpected(module.error());
        if (*kind == KernelKind::kLinux)
            if (auto ok = check_initrd(file, *module); !ok) return std::unexpected(ok.error());
        input.modules.push_back({file, multiboot ? text : "", std::move(*module)});
    }
    return load_kernel_image(*kind, input);
}

}  // namespace rm::platform
