#include "jit/host/x64/sites.h"

#include <bit>
#include <new>

#include "jit/cache/code_memory.h"
#include "jit/host/x64/emitter.h"
#include "memory/tlb/access_sites.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using ir::kNoValue;
using ir::Op;
using memory::FixedSite;
using memory::PageSite;
using memory::SpanSite;

namespace {
constexpr int kPageAt = offsetof(PageSite, page), kLimitAt = offsetof(SpanSite, limit),
              kSpanPageAt = offsetof(SpanSite, page), kHostAt = offsetof(FixedSite, host);
static_assert(offsetof(PageSite, addend) == offsetof(SpanSite, addend));
constexpr int kAddendAt = offsetof(PageSite, addend);
}  // namespace

// The way to check an access that is not checked by the stack page.
Site Emitter::take_site(const Op& address, const PageUse& use, unsigned bytes, unsigned alignment) {
    const u32 bit = u32{1} << insn_;
    if (block_->sites == cpu::Block::Sites::kNo || address.c != kNoValue || (block_->roams & bit))
        return {};
    Site site;
    const bool one = use.role == PageUse::kAlone;
    if (address.a == kNoValue && address.b == kNoValue && address.size == 3 && !has_base(address) &&
        one) {
        if ((address.imm & alignment) || (address.imm & ~kPageMask) + bytes > kPageSize) return {};
        site.form = Site::kFixed;
    } else if (one && std::has_single_bit(bytes) && bytes <= 16 && !(block_->misaligned & bit)) {
        site.form = Site::kPage;
    } else {
        site.form = Site::kSpan;
    }
    static_assert(sizeof(PageSite) == 32 && sizeof(SpanSite) == 32 && sizeof(FixedSite) == 32);
    site.at = context_.memory.take_data(32);
    if (!site.at) return {};
    switch (site.form) {
        case Site::kPage: new (site.at) PageSite; break;
        case Site::kFixed: new (site.at) FixedSite; break;
        default: new (site.at) SpanSite{.full_limit = u32{kPageSize} + 1 - use.span}; break;
    }
    return site;
}

// In front of a block on trial: asks the runtime when it has run `runs` times, and goes on. (It
// must not leave here: who jumps to a block that replaces the flags need not have kept them.)
void Emitter::emit_trial(u64 runs) {
    trial_ = reinterpret_cast<u64*>(context_.memory.take_data(32));
    if (!trial_) return;
    *trial_ = runs;
    dec(site_member(reinterpret_cast<const u8*>(trial_), 0));
    trial_over_ = jump_if(kNegative);
    Point p;
    p.kind = Point::kTrial;
    p.access.retry = address(position()) + context_.thunks.executable;
    trial_point_ = point(p);
}

// A member of the site, as the operand of the next instruction, which has 7 bytes.
Address Emitter::site_member(const u8* site, int member) {
    const u8* const next = here() + context_.thunks.executable + 7;
    return qword[rip + static_cast<int>(site + member - next)];
}

// r11: the first byte's address -> the page's addend; kFixed: -> where the host has it.
Emitter::Jump Emitter::check_site(const Site& site, unsigned bytes) {
    Jump missed;
    switch (site.form) {
        case Site::kPage:
            and_(r11, static_cast<u32>(-4096) | (bytes - 1));
            cmp(r11, site_member(site.at, kPageAt));
            missed = jump_if(kNotEqual);
            break;
        case Site::kSpan:
            sub(r11, site_member(site.at, kSpanPageAt));
            cmp(r11, site_member(site.at, kLimitAt));
            missed = jump_if(kAboveOrEqual);
            break;
        default:
            mov(r11, site_member(site.at, kHostAt));
            test(r11, r11);
            return jump_if(kEqual);
    }
    load_site_addend(site);
    return missed;
}

void Emitter::load_site_addend(const Site& site) { mov(r11, site_member(site.at, kAddendAt)); }

void Emitter::emit_cold_trial() {
    if (!trial_) return;
    land(trial_over_);
    mov(r12d, trial_point_);
    jmp(context_.thunks.judge);
}

void Emitter::emit_cold_site(const ColdAccess& c) {
    if (c.note != X87Note{}) {
        push(r11);
        store_x87_note(c.note);
        pop(r11);
    }
    const Point& p = context_.points[c.number];
    if (c.site.form == Site::kSpan) add(r11, site_member(c.site.at, kSpanPageAt));
    if (c.site.form == Site::kFixed) mov(r11, p.access.displacement);
    lea(r12, site_member(c.site.at, 0));
    push(c.number);
    call_thunk(context_.thunks.sites[c.site.form][p.write]);
    jump_to(c.retry);
}

}  // namespace rm::jit::x64
