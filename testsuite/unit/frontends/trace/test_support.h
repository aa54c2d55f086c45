// Shared by the trace tests: temporary files and a tiny ELF file with a symbol table.
// The file's machine code is one section ".text" of 0x1000 bytes at 0xffffffff81000000 (64-bit) or
// 0xc0100000 (32-bit).
#pragma once
#include <elf.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/types.h"

namespace trace_test {

using namespace rm;

class TempFile {
public:
    explicit TempFile(const std::string& content = "") {
        const char* dir = std::getenv("TMPDIR");
        path_ = std::string(dir ? dir : "/tmp") + "/rm-trace-XXXXXX";
        const int fd = ::mkstemp(path_.data());
        if (fd >= 0) ::close(fd);
        std::ofstream(path_, std::ios::binary) << content;
    }
    ~TempFile() { ::unlink(path_.c_str()); }
    const std::string& path() const { return path_; }
    std::string content() const {
        std::ostringstream out;
        out << std::ifstream(path_, std::ios::binary).rdbuf();
        return out.str();
    }

private:
    std::string path_;
};

struct Symbol {
    const char* name;
    u64 value, size;
    unsigned type = STT_FUNC;
    unsigned binding = STB_GLOBAL;
    unsigned section = 1;
};

template <class Ehdr, class Shdr, class Sym>
std::string make_elf(unsigned elf_class, unsigned machine, u64 text,
                     const std::vector<Symbol>& symbols) {
    std::string names(1, '\0'), table(sizeof(Sym), '\0');
    for (const Symbol& s : symbols) {
        Sym sym{};
        sym.st_name = static_cast<decltype(sym.st_name)>(names.size());
        sym.st_value = static_cast<decltype(sym.st_value)>(s.value);
        sym.st_size = static_cast<decltype(sym.st_size)>(s.size);
        sym.st_info = static_cast<unsigned char>(s.binding << 4 | s.type);
        sym.st_shndx = static_cast<u16>(s.section);
        table.append(reinterpret_cast<const char*>(&sym), sizeof sym);
        names += s.name;
        names += '\0';
    }
    Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = static_cast<unsigned char>(elf_class);
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = static_cast<u16>(machine);
    header.e_version = EV_CURRENT;
    header.e_ehsize = sizeof header;
    header.e_shentsize = sizeof(Shdr);
    header.e_shnum = 4;
    const auto at_table = sizeof header, at_names = at_table + table.size();
    header.e_shoff = static_cast<decltype(header.e_shoff)>(at_names + names.size());
    Shdr sections[4] = {};
    sections[1].sh_type = SHT_NOBITS;
    sections[1].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
    sections[1].sh_addr = static_cast<decltype(sections[1].sh_addr)>(text);
    sections[1].sh_size = 0x1000;
    sections[2].sh_type = SHT_SYMTAB;
    sections[2].sh_offset = static_cast<decltype(sections[2].sh_offset)>(at_table);
    sections[2].sh_size = static_cast<decltype(sections[2].sh_size)>(table.size());
    sections[2].sh_entsize = sizeof(Sym);
    sections[2].sh_link = 3;
    sections[3].sh_type = SHT_STRTAB;
    sections[3].sh_offset = static_cast<decltype(sections[3].sh_offset)>(at_names);
    sections[3].sh_size = static_cast<decltype(sections[3].sh_size)>(names.size());
    std::string out(reinterpret_cast<const char*>(&header), sizeof header);
    out += table + names;
    out.append(reinterpret_cast<const char*>(sections), sizeof sections);
    return out;
}

inline std::string make_elf64(const std::vector<Symbol>& symbols, unsigned machine = EM_X86_64) {
    return make_elf<Elf64_Ehdr, Elf64_Shdr, Elf64_Sym>(ELFCLASS64, machine, 0xffffffff81000000,
                                                       symbols);
}
inline std::string make_elf32(const std::vector<Symbol>& symbols) {
    return make_elf<Elf32_Ehdr, Elf32_Shdr, Elf32_Sym>(ELFCLASS32, EM_386, 0xc0100000, symbols);
}

}  // namespace trace_test
