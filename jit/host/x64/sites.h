// The checks of single accesses by sites (memory/tlb/access_sites.h), in blocks that run often. A
// hit costs three to five instructions, of which none but the address's own delays the access. A
// miss fills the site from the TLB (Thunks::sites) and costs as much as 30 hits gain: an
// instruction whose accesses go from page to page is checked by the TLB (cpu::Block::roams). Which
// do is found out by a trial: a translation that counts its runs and its sites' misses.
#pragma once
#include "base/types.h"

namespace rm::jit::x64 {

struct Site {
    enum Form : u8 { kPage, kSpan, kFixed, kForms, kNone = kForms } form = kNone;
    u8* at = nullptr;  // memory::PageSite, SpanSite or FixedSite
};

}  // namespace rm::jit::x64
