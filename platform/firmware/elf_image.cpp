// ELF kernels through libelf. libelf finds the tables; every offset and size it returns is compared
// with the file again before use. See elf_image.h.
#include "platform/firmware/elf_image.h"

#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "platform/firmware/image_view.h"

namespace rm::platform {
namespace {

constexpr GElf_Word kXenNotePhys32Entry = 18;
constexpr size_t kMaxSegments = 1024;

struct ElfCloser {
    void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, ElfCloser>;

// The Xen note that holds the PVH entry, if this PT_NOTE segment has it.
std::optional<u64> find_pvh_note(Elf* elf, const GElf_Phdr& header) {
    Elf_Data* data =
        elf_getdata_rawchunk(elf, static_cast<int64_t>(header.p_offset), header.p_filesz,
                             header.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
    if (!data) return std::nullopt;
    const ImageView view({static_cast<const u8*>(data->d_buf), data->d_size});
    GElf_Nhdr note;
    size_t name_at = 0, desc_at = 0;
    for (size_t at = 0; (at = gelf_getnote(data, at, &note, &name_at, &desc_at)) > 0;) {
        const auto name = view.slice(name_at, note.n_namesz);
        if (note.n_type != kXenNotePhys32Entry || name.size() != 4 ||
            std::memcmp(name.data(), "Xen", 4) != 0)
            continue;
        if (!view.contains(desc_at, note.n_descsz)) continue;
        if (note.n_descsz == 4) return view.u32_at(desc_at);
        if (note.n_descsz == 8) return view.get<u64>(desc_at);
    }
    return std::nullopt;
}

Result<void> add_segment(const std::string& name, const GElf_Phdr& h, u64 file_size,
                         ElfImage& out) {
    if (h.p_memsz == 0) return {};
    if (h.p_offset > file_size || h.p_filesz > file_size - h.p_offset)
        return fail("kernel '%s': truncated: a segment ends at byte %llu of a file of %llu bytes",
                    name.c_str(), (unsigned long long)(h.p_offset + h.p_filesz),
                    (unsigned long long)file_size);
    if (h.p_filesz > h.p_memsz)
        return fail("kernel '%s': a segment is larger in the file than in memory", name.c_str());
    if (out.segments.size() >= kMaxSegments)
        return fail("kernel '%s': more than %zu ELF segments", name.c_str(), kMaxSegments);
    out.segments.push_back({h.p_paddr, h.p_vaddr, h.p_offset, h.p_filesz, h.p_memsz});
    return {};
}

// An entry point given as a virtual address becomes physical where exactly that makes sense.
u64 physical_entry(const ElfImage& elf, u64 entry) {
    for (const ElfSegment& s : elf.segments)
        if (entry - s.physical < s.memory_size) return entry;
    for (const ElfSegment& s : elf.segments)
        if (entry - s.virtual_address < s.memory_size)
            return entry - s.virtual_address + s.physical;
    return entry;
}

Result<GElf_Ehdr> check_header(const std::string& name, Elf* elf) {
    GElf_Ehdr header;
    if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
        return fail("kernel '%s': damaged ELF file: %s", name.c_str(), elf_errmsg(-1));
    if (header.e_ident[EI_DATA] != ELFDATA2LSB ||
        (header.e_machine != EM_386 && header.e_machine != EM_X86_64))
        return fail("kernel '%s': an ELF file for another machine (e_machine %u)", name.c_str(),
                    header.e_machine);
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
        return fail("kernel '%s': ELF type %u is not an executable", name.c_str(), header.e_type);
    return header;
}

}  // namespace

u64 ElfImage::end() const {
    u64 end = 0;
    for (const ElfSegment& s : segments) end = std::max(end, s.physical + s.memory_size);
    return end;
}

bool ElfImage::contains(u64 physical) const {
    return std::any_of(segments.begin(), segments.end(), [&](const ElfSegment& s) {
        return physical >= s.physical && physical - s.physical < s.memory_size;
    });
}

bool looks_like_elf(std::span<const u8> image) {
    return image.size() >= SELFMAG && std::memcmp(image.data(), ELFMAG, SELFMAG) == 0;
}

Result<ElfImage> parse_elf(const std::string& name, std::span<const u8> image) {
    elf_version(EV_CURRENT);
    // libelf opens memory read-only here but its signature predates const.
    const ElfHandle elf(
        elf_memory(reinterpret_cast<char*>(const_cast<u8*>(image.data())), image.size()));
    const auto header = check_header(name, elf.get());
    if (!header) return std::unexpected(header.error());
    size_t count = 0;
    if (elf_getphdrnum(elf.get(), &count))
        return fail("kernel '%s': damaged ELF program headers: %s", name.c_str(), elf_errmsg(-1));
    ElfImage out;
    out.is_64bit = header->e_ident[EI_CLASS] == ELFCLASS64;
    for (size_t i = 0; i < count; ++i) {
        GElf_Phdr h;
        if (!gelf_getphdr(elf.get(), static_cast<int>(i), &h))
            return fail("kernel '%s': truncated ELF program headers", name.c_str());
        if (h.p_type == PT_LOAD)
            if (auto ok = add_segment(name, h, image.size(), out); !ok)
                return std::unexpected(ok.error());
        if (h.p_type == PT_NOTE && !out.pvh_entry && h.p_filesz &&
            ImageView(image).contains(h.p_offset, h.p_filesz))
            out.pvh_entry = find_pvh_note(elf.get(), h);
    }
    if (out.segments.empty())
        return fail("kernel '%s': the ELF file has nothing to load", name.c_str());
    out.entry = physical_entry(out, header->e_entry);
    return out;
}

Result<void> place_elf(const std::string& name, const ElfImage& elf, std::span<const u8> image,
                       BootMemory& memory, BootScript& script) {
    const ImageView view(image);
    for (const ElfSegment& s : elf.segments) {
        if (auto ok = memory.claim("kernel '" + name + "'", s.physical, s.memory_size); !ok)
            return ok;
        script.load(s.physical, view.slice(s.file_offset, s.file_size),
                    s.memory_size - s.file_size);
    }
    return {};
}

}  // namespace rm::platform
