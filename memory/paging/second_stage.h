// The second stage of translation: guest physical to machine physical, through EPT or AMD's nested
// tables. Internal to memory/paging; others call walk_second().
// Source: SDM 3C 29.3 (EPT), APM2 15.25 (nested paging).
#pragma once
#include "memory/paging/table_cache.h"

namespace rm::memory::paging {

struct SecondResult {
    PhysAddr machine = 0;
    bool readable = true, writable = true, executable = true;
    bool dirty = true;
    u64 page_size = ~u64{0};  // "no limit" where no second stage is active
};

// What the second stage is asked for. A table access is the first stage reading (or, with `access`
// kWrite, setting flags in) one of its entries.
struct SecondRequest {
    PhysAddr gpa;
    Access access;
    bool table;
    bool commit;  // judge permissions and set A/D; false only looks
};

// False: `fault` is filled except for its linear address.
bool translate_second(PhysicalMemory& memory, const PagingContext& context,
                      const SecondRequest& request, StageTables& tables, SecondResult& result,
                      WalkFault& fault);

}  // namespace rm::memory::paging
