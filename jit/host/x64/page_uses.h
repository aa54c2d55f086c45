// Which memory accesses of a block are certainly near one another, so that one TLB check does for
// all: accesses by the same base (and index) value plus different constants, as a stack frame's or
// a structure's fields. The first of such a group checks the bytes of all of them and keeps the
// page's addend; the later ones use it. Nothing between them may take the mapping or its permission
// away: a call of the interpreter ends every group, and with thread=multi there are none.
// A group that is first read and then written is checked for writing; where that fails and a read
// would not, the group's accesses are made by the interpreter, one by one: a read must not set D
// bits.
// So are accesses that differ by what is certainly small, as by a byte: those to a table.
// A group that lies across a page border fails its check although its accesses are good; the
// runtime counts that and has the block translated without groups (Translator::touch).
#pragma once
#include <vector>

#include "jit/host/x64/register_sums.h"
#include "jit/ir/ir.h"

namespace rm::jit::x64 {

struct PageUse {
    enum Role : u8 { kAlone, kFirst, kLater } role = kAlone;
    bool write = false;
    bool ahead = false;  // kFirst: a read, with writes among the later ones
    bool stack = false;  // checked against the stack page (memory::StackPage)
    u8 bytes = 0;        // of this access; 0: not one that this analysis knows
    // Operands of this access's address that are certainly small: the group's bytes are those for
    // all their values, and `first` and `behind` are as if they were zero.
    bool small_base = false, small_index = false;
    bool table = false;  // kFirst: the group has such accesses
    u8 slot = 0;         // kFirst, kLater: of Frame::kPageAddends, or kStackSlot
    i16 first = 0;       // kFirst: the group's first byte, from this access's address ...
    u16 span = 0;        // ... and its number of bytes
    i16 behind = 0;      // kLater: bytes from the first access's address to this one's
    static constexpr u8 kStackSlot = 0xFF;
};

class PageUses {
public:
    enum Grouping : u8 { kNoGroups, kFields, kTables };
    void find(const ir::Block& block, Grouping grouping);
    // Of the access at the address operation `address`.
    const PageUse& of(ir::Value address) const { return uses_[address]; }

private:
    struct Group {
        u32 base, index;  // unknowns
        u8 scale;
        bool write, stack, table;
        i64 first, end;  // bytes, relative to base + (index << scale)
        unsigned members = 0;
        ir::Value from = 0, to = 0;  // operations of the first and the last access
        i64 offset = 0;              // of the first access
    };
    struct Member {
        ir::Value address;
        u32 group;
        i64 offset;
    };

    void access(const ir::Block& block, ir::Value v, bool write, Grouping grouping);
    void assign_slots();

    std::vector<PageUse> uses_;
    RegisterSums sums_;
    std::vector<Group> groups_;
    std::vector<u32> open_;  // groups that can still grow, the latest first
    static constexpr u8 kNoSlot = 0xFE;
    std::vector<u8> slots_;  // by group
    std::vector<Member> members_;
};

}  // namespace rm::jit::x64
