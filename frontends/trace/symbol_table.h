// Names for addresses, from the ELF symbol tables of the guests (-symbols L1=xen-syms,L2=vmlinux).
// Owns: one sorted table a level. Assumes: symbols are linked at the linear addresses the guest
// runs at; a kernel that moves itself at boot (KASLR) must be told not to (nokaslr). Source: System
// V ABI, chapters 4 and 5 (ELF header, sections, symbol table).
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace rm::frontends::trace {

class SymbolTable {
public:
    struct Match {
        std::string_view name;  // valid as long as the table
        u64 offset = 0;
    };
    // Reads an x86 ELF file of 32 or 64 bits. Any damage is a one-line error naming file and cause.
    static Result<SymbolTable> load(const std::string& path);

    // The function or code label that holds the address: the nearest one at or below it whose size
    // (or, without a size, section) reaches that far.
    std::optional<Match> lookup(LinearAddr address) const;
    std::size_t size() const { return entries_.size(); }

private:
    struct Entry {
        u64 start = 0, end = 0;    // end exclusive
        u32 name = 0, length = 0;  // in names_
    };
    friend class SymbolReader;

    std::vector<Entry> entries_;  // by start, no two alike
    std::string names_;
};

// The tables of all levels. Levels without a file have no names.
class Symbols {
public:
    static constexpr unsigned kLevels = 4;

    // level 1 = the hypervisor, 2 = its guest. A second file for a level replaces the first.
    Result<void> load(unsigned level, const std::string& path);
    std::optional<SymbolTable::Match> lookup(unsigned level, LinearAddr address) const;
    // "name+0x1f", or nothing if the address has no name.
    std::string describe(unsigned level, LinearAddr address) const;
    // Appends what describe() returns; false if there is no name.
    bool append(std::string& out, unsigned level, LinearAddr address) const;

private:
    std::optional<SymbolTable> tables_[kLevels];
};

}  // namespace rm::frontends::trace
