// Loading of -kernel/-initrd/-append images: recognises the image's boot protocol and writes the
// boot script (boot_script.h) that our boot ROM executes. Owns: file recognition and the order of
// protocols (as QEMU's: multiboot before Linux before PVH). Assumes: nothing about the files; every
// number in them is checked against the file's size. Sources: Multiboot Specification 0.6.96;
// Multiboot2 Specification 2.0; Linux boot protocol (Documentation/x86/boot.rst); PVH boot ABI
// (xen/include/public/arch-x86/hvm/start_info.h).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "platform/firmware/boot_script.h"
#include "platform/firmware/ram_layout.h"

namespace rm::platform {

enum class KernelKind : u8 { kMultiboot1, kMultiboot2, kLinux, kPvh };
const char* kernel_kind_name(KernelKind kind);

struct BootModule {
    std::string name;     // the file
    std::string cmdline;  // file name and arguments, as the protocol hands them over
    std::vector<u8> bytes;
};

// Everything a loader needs; already in memory, so loaders can be tested without files.
struct KernelInput {
    std::string name;  // the kernel's file name
    std::vector<u8> kernel;
    std::string append;
    std::vector<BootModule> modules;  // Linux and PVH: at most one, the initial RAM disk
    RamLayout ram;
    bool linux_entry64 = false;  // bzImage: its 64-bit entry instead of the real-mode one
};

struct LoadedKernel {
    KernelKind kind;
    std::vector<u8> script;
    // bzImage only, for firmware that starts Linux itself through the fw_cfg keys.
    struct Linux {
        std::vector<u8> setup, payload, initrd;
        std::string cmdline;
        u32 setup_address, payload_address, initrd_address, cmdline_address;
    };
    std::optional<Linux> linux_parts;
};

// "file args,file args" with ",," for a comma -> {"file args", ...} (multiboot's -initrd).
std::vector<std::string> split_modules(const std::string& initrd);

// An error names the image if no protocol is recognised.
Result<KernelKind> recognise_kernel(const std::string& name, const std::vector<u8>& kernel);

// The loaders proper, by protocol. kind as recognise_kernel says.
Result<LoadedKernel> load_kernel_image(KernelKind kind, const KernelInput& input);
Result<std::vector<u8>> load_multiboot1(const KernelInput& input);
Result<std::vector<u8>> load_multiboot2(const KernelInput& input);
Result<LoadedKernel> load_linux(const KernelInput& input);    // by either entry
Result<LoadedKernel> load_linux64(const KernelInput& input);  // by the 64-bit one
Result<std::vector<u8>> load_pvh(const KernelInput& input);

// Reads the files and loads. initrd and append may be empty. linux_entry64 with an image that is
// not Linux is an error.
Result<LoadedKernel> load_kernel_files(const std::string& kernel, const std::string& initrd,
                                       const std::string& append, const RamLayout& ram,
                                       bool linux_entry64 = false);

// Recognition of each protocol, used by recognise_kernel.
bool has_multiboot1_header(std::span<const u8> image);
bool has_multiboot2_header(std::span<const u8> image);
bool has_linux_header(std::span<const u8> image);

}  // namespace rm::platform
