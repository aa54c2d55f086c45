// ELF symbol tables through libelf. Every count and offset is bounded by what libelf read from the
// file; names are made printable, since they go into terminals and JSON. See symbol_table.h.
#include "frontends/trace/symbol_table.h"

#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "frontends/trace/number_text.h"

namespace rm::frontends::trace {

namespace {

constexpr std::size_t kMaxName = 512;
constexpr std::size_t kMaxNameBytes = std::size_t{1} << 31;

struct Descriptor {
    int fd = -1;
    ~Descriptor() {
        if (fd >= 0) ::close(fd);
    }
};
struct ElfCloser {
    void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, ElfCloser>;

// libelf's own message; never null.
const char* elf_cause() {
    const char* text = elf_errmsg(-1);
    return text ? text : "damaged";
}

const char* packed_kind(const u8* magic) {
    if (magic[0] == 0x1F && magic[1] == 0x8B) return "gzip";
    if (magic[0] == 0xFD && magic[1] == '7') return "xz";
    if (magic[0] == 0x28 && magic[1] == 0xB5) return "zstd";
    return nullptr;
}

}  // namespace

class SymbolReader {
public:
    explicit SymbolReader(const std::string& path) : path_(path) {}
    Result<SymbolTable> read();

private:
    struct Candidate {
        SymbolTable::Entry entry;
        bool sized;
        u8 rank;  // among symbols of one address the lowest gives the name
    };

    Result<void> open();
    Result<void> check_magic();
    Result<void> check_header();
    Result<void> read_table(Elf_Scn* section, const GElf_Shdr& header);
    void add(const GElf_Sym& symbol, const char* name);
    Result<Elf_Scn*> find_table(GElf_Shdr& header);
    void finish();
    std::unexpected<Error> bad(const char* cause) const {
        return fail("symbol file '%s': %s", path_.c_str(), cause);
    }

    const std::string& path_;
    Descriptor file_;
    u64 file_size_ = 0;
    ElfHandle elf_;
    std::vector<GElf_Shdr> sections_;
    std::vector<Candidate> found_;
    SymbolTable table_;
};

Result<void> SymbolReader::check_magic() {
    u8 magic[SELFMAG] = {};
    const ssize_t n = ::pread(file_.fd, magic, sizeof magic, 0);
    if (n < 0) return bad(std::strerror(errno));
    if (n == 0) return bad("the file is empty");
    if (const char* kind = packed_kind(magic); n == SELFMAG && kind)
        return fail("symbol file '%s': compressed with %s; unpack it first", path_.c_str(), kind);
    if (n != SELFMAG || std::memcmp(magic, ELFMAG, SELFMAG) != 0) return bad("not an ELF file");
    return {};
}

Result<void> SymbolReader::open() {
    file_.fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file_.fd < 0) return bad(std::strerror(errno));
    struct stat info;
    if (::fstat(file_.fd, &info) != 0) return bad(std::strerror(errno));
    if (!S_ISREG(info.st_mode)) return bad("not a regular file");
    file_size_ = static_cast<u64>(info.st_size);
    if (auto ok = check_magic(); !ok) return ok;
    elf_version(EV_CURRENT);
    elf_.reset(elf_begin(file_.fd, ELF_C_READ, nullptr));
    if (!elf_ || elf_kind(elf_.get()) != ELF_K_ELF)
        return fail("symbol file '%s': damaged ELF file: %s", path_.c_str(), elf_cause());
    return {};
}

Result<void> SymbolReader::check_header() {
    GElf_Ehdr header;
    if (!gelf_getehdr(elf_.get(), &header))
        return fail("symbol file '%s': damaged ELF header: %s", path_.c_str(), elf_cause());
    if (header.e_ident[EI_DATA] != ELFDATA2LSB ||
        (header.e_machine != EM_386 && header.e_machine != EM_X86_64))
        return fail("symbol file '%s': an ELF file for another machine (e_machine %u)",
                    path_.c_str(), header.e_machine);
    if (header.e_shoff >= file_size_ && header.e_shoff != 0)
        return fail("symbol file '%s': truncated: section headers at byte %llu of %llu",
                    path_.c_str(), static_cast<unsigned long long>(header.e_shoff),
                    static_cast<unsigned long long>(file_size_));
    std::size_t count = 0;
    if (elf_getshdrnum(elf_.get(), &count))
        return fail("symbol file '%s': damaged section headers: %s", path_.c_str(), elf_cause());
    for (std::size_t n = 0; n < count; ++n) {
        Elf_Scn* section = elf_getscn(elf_.get(), n);
        GElf_Shdr h;
        if (!section || !gelf_getshdr(section, &h))
            return fail("symbol file '%s': truncated section headers: %s", path_.c_str(),
                        elf_cause());
        sections_.push_back(h);
    }
    return {};
}

// The full table, or failing that the dynamic one.
Result<Elf_Scn*> SymbolReader::find_table(GElf_Shdr& header) {
    for (const u32 type : {SHT_SYMTAB, SHT_DYNSYM})
        for (std::size_t n = 0; n < sections_.size(); ++n)
            if (sections_[n].sh_type == type) {
                header = sections_[n];
                return elf_getscn(elf_.get(), n);
            }
    return bad("no symbol table (a stripped file?)");
}

void SymbolReader::add(const GElf_Sym& symbol, const char* name) {
    const unsigned type = GELF_ST_TYPE(symbol.st_info), binding = GELF_ST_BIND(symbol.st_info);
    if (type != STT_FUNC && type != STT_NOTYPE && type != STT_GNU_IFUNC) return;
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= sections_.size()) return;
    const GElf_Shdr& section = sections_[symbol.st_shndx];
    const std::size_t length = ::strnlen(name, kMaxName);
    if (!(section.sh_flags & SHF_EXECINSTR) || length == 0 || symbol.st_value < section.sh_addr ||
        symbol.st_value - section.sh_addr >= section.sh_size ||
        table_.names_.size() + length > kMaxNameBytes)
        return;
    const u64 section_end = section.sh_addr + section.sh_size < section.sh_addr
                                ? ~u64{0}
                                : section.sh_addr + section.sh_size;
    const u64 end = symbol.st_size && symbol.st_size < section_end - symbol.st_value
                        ? symbol.st_value + symbol.st_size
                        : section_end;
    const u8 rank = static_cast<u8>((type == STT_NOTYPE ? 4 : 0) + (binding == STB_GLOBAL ? 0
                                                                    : binding == STB_WEAK ? 1
                                                                                          : 2));
    found_.push_back(
        {{symbol.st_value, end, static_cast<u32>(table_.names_.size()), static_cast<u32>(length)},
         symbol.st_size != 0,
         rank});
    for (std::size_t n = 0; n < length; ++n)
        table_.names_.push_back(name[n] > ' ' && name[n] < 0x7F ? name[n] : '?');
}

Result<void> SymbolReader::read_table(Elf_Scn* section, const GElf_Shdr& header) {
    if (header.sh_offset > file_size_ || header.sh_size > file_size_ - header.sh_offset)
        return fail("symbol file '%s': truncated: the symbol table ends at byte %llu of %llu",
                    path_.c_str(),
                    static_cast<unsigned long long>(header.sh_offset + header.sh_size),
                    static_cast<unsigned long long>(file_size_));
    Elf_Data* data = section ? elf_getdata(section, nullptr) : nullptr;
    if (!data)
        return fail("symbol file '%s': damaged symbol table: %s", path_.c_str(), elf_cause());
    GElf_Sym symbol;
    for (int n = 1; gelf_getsym(data, n, &symbol); ++n)
        if (const char* name = elf_strptr(elf_.get(), header.sh_link, symbol.st_name))
            add(symbol, name);
    if (found_.empty()) return bad("the symbol table names no code");
    return {};
}

void SymbolReader::finish() {
    const auto name_of = [&](const Candidate& c) {
        return std::string_view(table_.names_).substr(c.entry.name, c.entry.length);
    };
    std::sort(found_.begin(), found_.end(), [&](const Candidate& a, const Candidate& b) {
        if (a.entry.start != b.entry.start) return a.entry.start < b.entry.start;
        return a.rank != b.rank ? a.rank < b.rank : name_of(a) < name_of(b);
    });
    const auto same = [](const Candidate& a, const Candidate& b) {
        return a.entry.start == b.entry.start;
    };
    found_.erase(std::unique(found_.begin(), found_.end(), same), found_.end());
    // Labels of assembly code have no size: they reach to the next symbol.
    for (std::size_t n = 0; n < found_.size(); ++n) {
        SymbolTable::Entry entry = found_[n].entry;
        if (!found_[n].sized && n + 1 < found_.size())
            entry.end = std::min(entry.end, found_[n + 1].entry.start);
        table_.entries_.push_back(entry);
    }
}

Result<SymbolTable> SymbolReader::read() {
    if (auto ok = open(); !ok) return std::unexpected(ok.error());
    if (auto ok = check_header(); !ok) return std::unexpected(ok.error());
    GElf_Shdr header;
    const auto section = find_table(header);
    if (!section) return std::unexpected(section.error());
    if (auto ok = read_table(*section, header); !ok) return std::unexpected(ok.error());
    finish();
    return std::move(table_);
}

Result<SymbolTable> SymbolTable::load(const std::string& path) { return SymbolReader(path).read(); }

std::optional<SymbolTable::Match> SymbolTable::lookup(LinearAddr address) const {
    auto next = std::upper_bound(entries_.begin(), entries_.end(), address,
                                 [](u64 a, const Entry& e) { return a < e.start; });
    // A sized label inside a function hides it only as far as the label reaches.
    for (unsigned steps = 0; steps < 16 && next != entries_.begin(); ++steps) {
        const Entry& e = *--next;
        if (address < e.end)
            return Match{std::string_view(names_).substr(e.name, e.length), address - e.start};
    }
    return std::nullopt;
}

Result<void> Symbols::load(unsigned level, const std::string& path) {
    if (level >= kLevels) return fail("symbol file '%s': no level L%u", path.c_str(), level);
    auto table = SymbolTable::load(path);
    if (!table) return std::unexpected(table.error());
    tables_[level] = std::move(*table);
    return {};
}

std::optional<SymbolTable::Match> Symbols::lookup(unsigned level, LinearAddr address) const {
    if (level >= kLevels || !tables_[level]) return std::nullopt;
    return tables_[level]->lookup(address);
}

bool Symbols::append(std::string& out, unsigned level, LinearAddr address) const {
    const auto match = lookup(level, address);
    if (!match) return false;
    out.append(match->name);
    out.push_back('+');
    append_hex(out, match->offset);
    return true;
}

std::string Symbols::describe(unsigned level, LinearAddr address) const {
    std::string out;
    append(out, level, address);
    return out;
}

}  // namespace rm::frontends::trace
