// TLB arrays and their pool: log of filled slots, flushes, large pages, eviction.
#include "memory/tlb/tlb_spaces.h"

#include <doctest/doctest.h>

#include <bit>
#include <utility>
#include <vector>

#include "memory/tlb/access_sites.h"

using namespace rm;
using namespace rm::memory;

namespace {

void fill(TlbArray& array, LinearAddr page, u64 machine = 0, u8 shift = 12, u8 flags = 0) {
    array.insert({page, page, page, 0}, {page, machine, shift, flags});
}
bool hits(TlbArray& array, LinearAddr page) { return array.entry(page).read == page; }

}  // namespace

TEST_CASE("a flush leaves nothing, or just the global entries") {
    TlbArray a;
    for (u64 p = 0; p < 2 * kTlbEntries; ++p)  // every slot twice
        fill(a, p << 12, 0, 12, p % 3 ? 0 : TlbSide::kGlobal);
    a.flush(true);
    for (u64 p = 0; p < 2 * kTlbEntries; ++p)
        CHECK(hits(a, p << 12) == (p >= kTlbEntries && p % 3 == 0));
    a.flush(false);
    for (u64 p = 0; p < 2 * kTlbEntries; ++p) CHECK_FALSE(hits(a, p << 12));
    fill(a, 0x5000);
    CHECK(hits(a, 0x5000));
    a.flush(false);
    CHECK_FALSE(hits(a, 0x5000));
}

TEST_CASE("dropping one page spares its neighbours and other pages of the slot") {
    TlbArray a;
    fill(a, 0x5000);
    fill(a, 0x6000);
    a.flush_page(0x5FFF + (u64{kTlbEntries} << 12), false);
    CHECK(hits(a, 0x5000));
    a.flush_page(0x5FFF, false);
    CHECK_FALSE(hits(a, 0x5000));
    CHECK(hits(a, 0x6000));
    fill(a, 0x5000);  // the slot is still logged: fill and flush again
    a.flush(false);
    CHECK_FALSE(hits(a, 0x5000));
}

TEST_CASE("dropping one address of a large page drops all its pieces") {
    TlbArray a;
    constexpr u64 kBase = 0xFFFF'8000'0020'0000;
    for (u64 i = 0; i < 8; ++i) fill(a, kBase + i * 0x10000, 0, 21);
    fill(a, kBase + 0x200000, 0, 21);  // the next large page
    fill(a, 0x7000);
    a.flush_page(kBase + 0x1FF123, false);  // an address that never had a slot
    for (u64 i = 0; i < 8; ++i) CHECK_FALSE(hits(a, kBase + i * 0x10000));
    CHECK(hits(a, kBase + 0x200000));
    CHECK(hits(a, 0x7000));
    fill(a, u64{3} << 30, 0, 30, TlbSide::kGlobal);
    a.flush_page((u64{3} << 30) + 0x12345678, true);
    CHECK(hits(a, u64{3} << 30));
    a.flush_page((u64{3} << 30) + 0x12345678, false);
    CHECK_FALSE(hits(a, u64{3} << 30));
}

TEST_CASE("invalidation by machine page") {
    TlbArray a;
    fill(a, 0x1000, 0xA000);
    fill(a, 0x2000, 0xA000);
    fill(a, 0x3000, 0xB000);
    a.drop_writes(0xA000);
    CHECK(a.entry(0x1000).write == kTlbNoTag);
    CHECK(a.entry(0x2000).write == kTlbNoTag);
    CHECK(a.entry(0x3000).write == 0x3000);
    CHECK(hits(a, 0x1000));
    a.drop_machine(0xA000);
    CHECK_FALSE(hits(a, 0x1000));
    CHECK_FALSE(hits(a, 0x2000));
    CHECK(hits(a, 0x3000));
}

TEST_CASE("the least recently selected tag gives way") {
    TlbSpaces pool;
    const auto tag = [](unsigned i) { return SpaceTag{static_cast<u16>(i), 0, 0}; };
    for (unsigned i = 0; i < TlbSpaces::kMaxSpaces; ++i)
        fill(pool.select(tag(i)).array(data_array(PrivClass::kUser)), 0x1000);
    TlbSpaces::Space& zero = pool.select(tag(0));
    CHECK(hits(zero.array(data_array(PrivClass::kUser)), 0x1000));
    TlbSpaces::Space& fresh = pool.select(tag(100));  // takes tag 1's place
    CHECK_FALSE(hits(fresh.array(data_array(PrivClass::kUser)), 0x1000));
    CHECK(&pool.select(tag(0)) == &zero);
    CHECK(hits(pool.select(tag(2)).array(data_array(PrivClass::kUser)), 0x1000));
    CHECK_FALSE(hits(pool.select(tag(1)).array(data_array(PrivClass::kUser)), 0x1000));
    // Every member of the tag counts.
    CHECK(&pool.select({5, 0, 0}) != &pool.select({5, 1, 0}));
    CHECK(&pool.select({5, 0, 0}) != &pool.select({5, 0, 0x1000}));
}

TEST_CASE("copies of an entry are told when it goes or allows less, and only then") {
    const auto lost = [](TlbArray& a) {
        std::vector<u32> out;
        a.take_lost([&](u32 first) { out.push_back(first); });
        return out;
    };
    TlbArray a;
    const auto hold = [&](LinearAddr page, u32 first) {
        a.held()[TlbArray::slot_of(page)] = first;
    };
    a.insert({0x5000, kTlbNoTag, kTlbNoTag, 7}, {0x5000, 0xA000});
    hold(0x5000, 3);
    a.insert({0x5000, 0x5000, kTlbNoTag, 7}, {0x5000, 0xA000});  // it may be written now
    CHECK(lost(a).empty());
    a.drop_writes(0xB000);
    CHECK(lost(a).empty());
    a.drop_writes(0xA000);
    CHECK(lost(a) == std::vector<u32>{3});
    CHECK(lost(a).empty());  // once
    hold(0x5000, 4);
    fill(a, 0x5000 + (u64{kTlbEntries} << 12));  // another page takes the slot
    CHECK(lost(a) == std::vector<u32>{4});
    a.insert({0x5000, 0x5000, kTlbNoTag, 7}, {0x5000, 0xA000});
    hold(0x5000, 5);
    a.insert({0x5000, 0x5000, kTlbNoTag, 8}, {0x5000, 0xC000});  // the page has moved
    CHECK(lost(a) == std::vector<u32>{5});
    fill(a, 0x6000);
    hold(0x5000, 6);
    hold(0x6000, 7);
    a.flush_page(0x6000, false);
    CHECK(lost(a) == std::vector<u32>{7});
    a.flush(false);
    CHECK(lost(a) == std::vector<u32>{6});
}

TEST_CASE("the log of sites forgets a slot's, or all") {
    SiteLog log;
    PageSite page[2];
    SpanSite span;
    FixedSite fixed;
    u32 head = 1;
    const auto add = [&](void* site, u64 zero, u64 next) {
        log.filled[log.count++] = {reinterpret_cast<u64>(site) + zero, &head, next, 0};
        return log.count;
    };
    const auto fill_all = [&] {
        page[0].page = page[1].page = 0x5000;
        page[0].addend = 9;
        span.limit = 4000;
        fixed.host = 0x1234;
    };
    fill_all();
    u64 first = add(&page[0], 0, 0);
    first = add(&span, SiteLog::kZero, first);
    const u64 other = add(&fixed, SiteLog::kZero, 0);
    add(&page[1], 0, other);
    log.forget_from(first);
    CHECK(page[0].page == PageSite::kNone);
    CHECK(page[0].addend == 9);  // a block that has checked it may still use it
    CHECK(span.limit == 0);
    CHECK(fixed.host == 0x1234);
    CHECK(page[1].page == 0x5000);
    fill_all();
    log.forget_all();
    CHECK(page[0].page == PageSite::kNone);
    CHECK(page[1].page == PageSite::kNone);
    CHECK(span.limit == 0);
    CHECK(fixed.host == 0);
    CHECK(head == 0);
    CHECK(log.count == 0);
}

TEST_CASE(
    "the code epoch changes when remembered code may have gone, and for no page of the other "
    "half") {
    constexpr LinearAddr kKernel = 0xFFFF'FFFF'8100'0000, kProgram = 0x40'1000;
    TlbArray a;
    auto changes = [&a, before = a.code_epoch()]() mutable {
        return std::exchange(before, a.code_epoch()) != before;
    };
    for (u64 i = 0; i < 4096; ++i) {
        fill(a, kKernel + (i << 12), 0, 12, TlbSide::kGlobal);
        a.remember_code(kKernel + (i << 12));
    }
    for (u64 i = 0; i < 4096; ++i) a.flush_page(kProgram + (i << 12), false);
    CHECK_FALSE(changes());
    a.flush(true);  // all of it is global
    CHECK_FALSE(changes());
    a.flush_page(kKernel + 0x5123, false);
    CHECK(changes());
    a.flush_page(kKernel + 0x5123, false);  // a new epoch remembers nothing yet
    CHECK_FALSE(changes());
    fill(a, kProgram);
    a.remember_code(kProgram);
    a.flush(true);
    CHECK(changes());
    fill(a, kKernel, 0, 12, TlbSide::kGlobal);
    a.remember_code(kKernel);
    a.flush(false);
    CHECK(changes());
}
