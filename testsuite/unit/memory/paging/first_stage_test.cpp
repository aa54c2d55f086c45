// First stage: addresses, reserved bits, permissions and error codes in every paging mode.
// Source: SDM 3A 4.3-4.7.
#include <doctest/doctest.h>

#include "../world.h"

using namespace rm;
using namespace rm::memory;
using namespace rm::memory::test;

namespace {

constexpr Access kAccesses[] = {Access::kRead, Access::kWrite, Access::kExecute};
constexpr PrivClass kClasses[] = {PrivClass::kSupervisor, PrivClass::kUser,
                                  PrivClass::kSupervisorAc};

// Error code of a failing walk; 0x100 = success, 0x200 = not a page fault.
u32 code(World& w, const PagingContext& c, LinearAddr va, Access a, PrivClass p) {
    const auto t = walk(w.memory, c, va, a, p);
    if (t) return 0x100;
    if (t.error().kind != WalkFault::Kind::kPageFault) return 0x200;
    CHECK(t.error().linear == va);
    CHECK(t.error().access == a);
    return t.error().error_code;
}
constexpr u32 kOk = 0x100;

struct LongMode : World {
    static constexpr LinearAddr kVa = 0x0000'1234'5678'9ABC;
    Tree tree{*this, 4, kPwu};
    PagingContext context = long_context(tree.root());
    PhysAddr pte = tree.map(kVa, 0x300000, kPwu);
};

// 32-bit tables by hand: 10-bit indexes, 4-byte entries.
struct Mode32 : World {
    static constexpr LinearAddr kVa = 0xC0401ABC;
    PhysAddr pd = page(), pt = page();
    PhysAddr pde = pd + (kVa >> 22) * 4, pte = pt + ((kVa >> 12) & 0x3FF) * 4;
    PagingContext context;
    Mode32() {
        context.paging = context.wp = context.pse = true;
        context.cr3 = pd | 0xFFF;  // the low bits are not part of the address
        set(pde, pt | kPwu, 4);
        set(pte, 0x300000 | kPwu, 4);
    }
};

struct PaeMode : World {
    static constexpr LinearAddr kVa = 0xC0401ABC;
    Tree tree{*this, 3, kPwu};
    PhysAddr pte = tree.map(kVa, 0x300000, kPwu);
    PhysAddr pde = tree.entry(kVa, 2), pdpte = tree.entry(kVa, 3);
    PagingContext context;
    PaeMode() {
        context.paging = context.pae = context.wp = context.nxe = true;
        context.cr3 = tree.root();
        load_pdptes();
    }
    void load_pdptes() {
        for (unsigned i = 0; i < 4; ++i) context.pdpte[i] = get(tree.root() + i * 8);
    }
};

}  // namespace

TEST_CASE_FIXTURE(World, "without paging addresses are 32 bits and everything is allowed") {
    PagingContext c;
    for (PrivClass p : kClasses) {
        const auto t = walk(memory, c, 0x1'0000'1234, Access::kWrite, p);
        REQUIRE(t.has_value());
        CHECK(t->machine == 0x1234);
        CHECK(t->guest_physical == 0x1234);
        CHECK((t->readable && t->writable && t->executable && t->dirty && !t->global));
    }
    c.a20_mask = ~bit(20);
    CHECK(walk(memory, c, 0x123456, Access::kRead, PrivClass::kUser)->machine == 0x23456);
}

TEST_CASE("addresses and page sizes in every mode") {
    SUBCASE("4-level, 4 KiB") {
        LongMode m;
        const auto t = walk(m.memory, m.context, m.kVa, Access::kRead, PrivClass::kUser);
        REQUIRE(t.has_value());
        CHECK(t->machine == 0x300ABC);
        CHECK(t->page_size == 0x1000);
    }
    SUBCASE("4-level, 2 MiB and 1 GiB; PAT bit 12 is no address bit") {
        LongMode m;
        m.tree.map(0x40000000, 0x600000 | bit(12), kPwu | kPs, 2);
        m.tree.map(u64{2} << 30, u64{5} << 30 | bit(12), kPwu | kPs, 3);
        auto t = walk(m.memory, m.context, 0x401FFFFF, Access::kRead, PrivClass::kUser);
        CHECK(t->machine == 0x7FFFFF);
        CHECK(t->page_size == 0x200000);
        CHECK(t->guest_page_size == 0x200000);
        t = walk(m.memory, m.context, 0xBFFFFFFF, Access::kRead, PrivClass::kUser);
        CHECK(t->machine == 0x17FFFFFFF);
        CHECK(t->page_size == 0x40000000);
    }
    SUBCASE("32-bit, 4 KiB and 4 MiB with PSE-36") {
        Mode32 m;
        auto t = walk(m.memory, m.context, m.kVa, Access::kRead, PrivClass::kUser);
        CHECK(t->machine == 0x300ABC);
        m.set(m.pde, 0x00C00000 | 0xA5u << 13 | kPwu | kPs, 4);
        t = walk(m.memory, m.context, m.kVa, Access::kRead, PrivClass::kUser);
        CHECK(t->machine == 0xA5'00C01ABC);
        CHECK(t->page_size == 0x400000);
        // CR4.PSE = 0: PS is ignored and the PDE names a table.
        m.context.pse = false;
        m.set(m.pde, m.pt | kPwu | kPs, 4);
        CHECK(walk(m.memory, m.context, m.kVa, Access::kRead, PrivClass::kUser)->machine ==
              0x300ABC);
    }
    SUBCASE("PAE, 4 KiB and 2 MiB, from the PDPTE registers") {
        PaeMode m;
        CHECK(walk(m.memory, m.context, m.kVa, Access::kRead, PrivClass::kUser)->machine ==
              0x300ABC);
        m.set(m.pdpte, 0);  // the registers are what counts
        CHECK(walk(m.memory, m.context, m.kVa, Access::kRead, PrivClass::kUser).has_value());
        m.context.pdpte_from_memory = true;
        CHECK(code(m, m.context, m.kVa, Access::kRead, PrivClass::kUser) == kPfUser);
        m.context.pdpte_from_memory = false;
        m.set(m.pde, 0x12'3460'0000 | kPwu | kPs);
        const auto t = walk(m.memory, m.context, m.kVa, Access::kRead, PrivClass::kUser);
        CHECK(t->machine == 0x12'3460'1ABC);
        CHECK(t->page_size == 0x200000);
    }
}

TEST_CASE("A20M# masks table reads and the final address") {
    LongMode m;
    m.context.a20_mask = ~bit(20);
    const PhysAddr low = 0x4000;  // the same tables with bit 20 clear
    for (u64 at = 0x100000; at < m.next; at += 8) m.set(at & ~bit(20), m.get(at));
    m.set(m.pte & ~bit(20), (low | bit(20)) | kPwu);
    m.set(m.pte, 0);
    CHECK(walk(m.memory, m.context, m.kVa, Access::kRead, PrivClass::kUser)->machine == 0x4ABC);
}

TEST_CASE_FIXTURE(LongMode, "4-level reserved bits, level by level") {
    struct Row {
        unsigned level;
        u64 bits;
        bool large, fault;
        std::string why;
        unsigned width = 40;
        bool nxe = true, page_1g = true;
    };
    const Row rows[] = {
        {4, kPs, false, true, "PML4E.PS"},
        {4, kG, false, false, "PML4E bit 8 is ignored"},
        {4, bit(40), false, true, "PML4E above the address width"},
        {4, bit(51), false, true, "PML4E bit 51"},
        {4, bit(52) | bit(62), false, false, "PML4E 62:52 are ignored"},
        {1, bit(40), false, false, "PTE bit 40 with 41 bits", 41},
        {3, bit(40), false, true, "PDPTE above the address width"},
        {3, bit(13), true, true, "1-GByte PDPTE bit 13"},
        {3, bit(29), true, true, "1-GByte PDPTE bit 29"},
        {3, bit(12), true, false, "1-GByte PDPTE PAT"},
        {3, 0, true, true, "PDPTE.PS without 1-GByte pages", 40, true, false},
        {3, bit(40), true, true, "1-GByte PDPTE above the address width"},
        {2, bit(13), true, true, "2-MByte PDE bit 13"},
        {2, bit(20), true, true, "2-MByte PDE bit 20"},
        {2, bit(12), true, false, "2-MByte PDE PAT"},
        {2, bit(51), true, true, "2-MByte PDE bit 51"},
        {2, bit(45), false, true, "PDE above the address width"},
        {1, bit(40), false, true, "PTE above the address width"},
        {1, bit(62), false, false, "PTE 62:52 are ignored"},
        {1, kPs, false, false, "PTE bit 7 is PAT"},
        {1, kNx, false, true, "XD with NXE = 0", 40, false},
        {2, kNx, false, true, "PDE XD with NXE = 0", 40, false},
        {3, kNx, false, true, "PDPTE XD with NXE = 0", 40, false},
        {4, kNx, false, true, "PML4E XD with NXE = 0", 40, false},
        {4, kNx, false, false, "XD with NXE = 1"},
    };
    for (const Row& row : rows) {
        const PhysAddr at = tree.entry(kVa, row.level);
        const u64 good = get(at);
        set(at, (row.large ? u64{1} << 30 | kPwu | kPs : good) | row.bits);
        context.physical_bits = row.width;
        context.nxe = row.nxe;
        context.page_1g = row.page_1g;
        const u32 want = row.fault ? kPfPresent | kPfReserved | kPfUser : kOk;
        CHECK_MESSAGE(code(*this, context, kVa, Access::kRead, PrivClass::kUser) == want, row.why);
        const u64 now = get(at);
        set(at, now & ~kP);  // not present: nothing else of the entry counts
        CHECK_MESSAGE(code(*this, context, kVa, Access::kRead, PrivClass::kUser) == kPfUser,
                      row.why);
        set(at, good);
    }
}

TEST_CASE_FIXTURE(PaeMode, "PAE reserved bits") {
    struct Row {
        unsigned level;
        u64 bits;
        bool large, fault;
        std::string why;
        bool nxe = true;
    };
    const Row rows[] = {
        {2, bit(40), false, true, "PDE above the address width"},
        {2, bit(62), false, true, "PDE bit 62 (reserved, unlike 4-level)"},
        {2, bit(13), true, true, "2-MByte PDE bit 13"},
        {2, bit(20), true, true, "2-MByte PDE bit 20"},
        {2, bit(12), true, false, "2-MByte PDE PAT"},
        {1, bit(52), false, true, "PTE bit 52"},
        {1, kNx, false, true, "XD with NXE = 0", false},
        {1, kNx, false, false, "XD with NXE = 1"},
        {1, kPs, false, false, "PTE bit 7 is PAT"},
    };
    for (const Row& row : rows) {
        const PhysAddr at = row.level == 2 ? pde : pte;
        const u64 good = get(at);
        set(at, (row.large ? 0x200000 | kPwu | kPs : good) | row.bits);
        context.nxe = row.nxe;
        const u32 want = row.fault ? kPfPresent | kPfReserved | kPfUser : kOk;
        CHECK_MESSAGE(code(*this, context, kVa, Access::kRead, PrivClass::kUser) == want, row.why);
        set(at, good);
    }
    context.nxe = true;
    context.pdpte_from_memory = true;
    const u64 good = get(pdpte);
    for (u64 bad : {bit(1), bit(2), bit(5), bit(8), bit(40), bit(63)}) {
        set(pdpte, good | bad);
        CHECK(code(*this, context, kVa, Access::kRead, PrivClass::kUser) ==
              (kPfPresent | kPfReserved | kPfUser));
    }
    set(pdpte, good | bit(3) | bit(4) | bit(9));
    CHECK(code(*this, context, kVa, Access::kRead, PrivClass::kUser) == kOk);
}

TEST_CASE_FIXTURE(Mode32, "32-bit reserved bits: only PSE-36's") {
    struct Row {
        unsigned width;
        u64 bits;
        bool fault;
    };
    for (const Row& row :
         {Row{40, bit(21), true}, Row{40, bit(20), false}, Row{36, bit(16), false},
          Row{36, bit(17), true}, Row{36, bit(20), true}, Row{32, bit(13), true},
          Row{46, bit(20), false}, Row{46, bit(21), true}, Row{40, bit(12), false}}) {
        context.physical_bits = row.width;
        set(pde, 0x00C00000 | kPwu | kPs | row.bits, 4);
        CHECK(code(*this, context, kVa, Access::kRead, PrivClass::kUser) ==
              (row.fault ? kPfPresent | kPfReserved | kPfUser : kOk));
    }
}

// The rules of SDM 3A 4.6.1, spelled as the manual spells them, against every combination.
TEST_CASE_FIXTURE(LongMode, "permissions: every combination of rights, controls and accesses") {
    const PhysAddr upper = tree.entry(kVa, 2);
    const u64 table = get(upper) & ~(kW | kU);
    unsigned walks = 0;
    for (unsigned i = 0; i < 1 << 10; ++i) {
        const bool w1 = i & 1, u1 = i & 2, x1 = i & 4, w2 = i & 8, u2 = i & 16, x2 = i & 32;
        context.wp = i & 64;
        context.smep = i & 128;
        context.smap = i & 256;
        context.nxe = i & 512;
        if (!context.nxe && (x1 || x2)) continue;  // reserved, tested above
        set(pte, 0x300000 | kP | (w1 ? kW : 0) | (u1 ? kU : 0) | (x1 ? kNx : 0));
        set(upper, table | (w2 ? kW : 0) | (u2 ? kU : 0) | (x2 ? kNx : 0));
        const bool user_mode_address = u1 && u2, rw = w1 && w2, xd = x1 || x2;
        for (PrivClass p : kClasses) {
            bool may[3];
            if (p == PrivClass::kUser) {
                may[0] = user_mode_address;
                may[1] = user_mode_address && rw;
                may[2] = user_mode_address && !xd;
            } else {
                const bool smap_stops =
                    context.smap && user_mode_address && p == PrivClass::kSupervisor;
                may[0] = !smap_stops;
                may[1] = !smap_stops && (rw || !context.wp);
                may[2] = !xd && !(context.smep && user_mode_address);
            }
            for (unsigned a = 0; a < 3; ++a) {
                const auto t = walk(memory, context, kVa, kAccesses[a], p);
                ++walks;
                REQUIRE(t.has_value() == may[a]);
                if (t) {
                    REQUIRE(t->readable == may[0]);
                    REQUIRE(t->writable == may[1]);
                    REQUIRE(t->executable == may[2]);
                    continue;
                }
                u32 want = kPfPresent;
                if (a == 1) want |= kPfWrite;
                if (p == PrivClass::kUser) want |= kPfUser;
                if (a == 2 && (context.nxe || context.smep)) want |= kPfFetch;
                REQUIRE(t.error().error_code == want);
            }
        }
    }
    CHECK(walks > 4000);
}

TEST_CASE("the fetch bit of the error code needs XD or SMEP to exist in the mode") {
    Mode32 m;
    m.set(m.pte, 0, 4);
    struct Row {
        bool nxe, pae, smep;
        u32 want;
    };
    for (const Row& r : {Row{false, false, false, 0}, Row{true, false, false, 0},
                         Row{false, false, true, kPfFetch}, Row{true, true, false, kPfFetch},
                         Row{false, true, false, 0}}) {
        m.context.nxe = r.nxe;
        m.context.pae = r.pae;
        m.context.smep = r.smep;
        CHECK(code(m, m.context, m.kVa, Access::kExecute, PrivClass::kSupervisor) == r.want);
        CHECK(code(m, m.context, m.kVa, Access::kWrite, PrivClass::kUser) == (kPfWrite | kPfUser));
    }
}

TEST_CASE_FIXTURE(Mode32, "32-bit permissions come from both levels") {
    struct Row {
        u64 pde_flags, pte_flags;
        Access access;
        PrivClass priv;
        u32 want;
    };
    constexpr u32 kDenied = kPfPresent;
    const Row rows[] = {
        {kPwu, kPwu, Access::kWrite, PrivClass::kUser, kOk},
        {kP | kU, kPwu, Access::kWrite, PrivClass::kUser, kDenied | kPfUser | kPfWrite},
        {kPwu, kP | kU, Access::kWrite, PrivClass::kUser, kDenied | kPfUser | kPfWrite},
        {kP | kW, kPwu, Access::kRead, PrivClass::kUser, kDenied | kPfUser},
        {kPwu, kP | kW, Access::kExecute, PrivClass::kUser, kDenied | kPfUser},
        {kPwu, kP | kU, Access::kWrite, PrivClass::kSupervisor, kDenied | kPfWrite},
        {kP, kP, Access::kExecute, PrivClass::kSupervisor, kOk},
    };
    for (const Row& row : rows) {
        set(pde, pt | row.pde_flags, 4);
        set(pte, 0x300000 | row.pte_flags, 4);
        CHECK(code(*this, context, kVa, row.access, row.priv) == row.want);
    }
    context.wp = false;
    set(pte, 0x300000 | kP, 4);
    CHECK(code(*this, context, kVa, Access::kWrite, PrivClass::kSupervisor) == kOk);
}

TEST_CASE_FIXTURE(LongMode, "page tables in a hole read as ones: reserved bits") {
    set(tree.entry(kVa, 3), 0x80000000 | kPwu);
    CHECK(code(*this, context, kVa, Access::kRead, PrivClass::kUser) ==
          (kPfPresent | kPfReserved | kPfUser));
}
