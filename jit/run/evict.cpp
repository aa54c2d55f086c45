// Room in the code memory. Its arenas are filled in turn; when the next one is needed, what is in
// it, the oldest code, goes. Only translate() asks for room, and it is never called while
// translated code is running or has called into C++, so nobody can come back to what has gone.
//
// A page guard is never in an older arena than the translation that it belongs to, which therefore
// goes before it or with it. Recipes for flags stay: only their code goes.
#include <algorithm>
#include <iterator>

#include "jit/run/translator.h"

namespace rm::jit {

// For one block, with some to spare for the guards and resolvers that follow.
void Translator::make_room() {
    constexpr std::size_t kRecipesOfBlock = 1024;  // far more than one adds
    if (recipes_.size() > kMaxRecipes - kRecipesOfBlock) return empty();
    if (code_->left() >= kMaxBlockBytes && points_.left() >= kMaxBlockPoints) return;
    const unsigned next = (code_->arena() + 1) % CodeMemory::kArenas;
    evict(next);
    code_->use(next);
    points_.use(next);
}

void Translator::evict(unsigned arena) {
    Arena& a = arenas_[arena];
    if (a.translations.empty() && a.resolvers.empty() && points_.of(arena).empty()) return;
    for (Translation& t : a.translations) {
        if (!t.block) continue;
        unlink_incoming(t);
        detach(*t.block);
        t.block->runs = 0;  // it has to get hot again
        ++statistics_.evicted;
    }
    unlink_exits(arena);
    cpu_.mmu.forget_sites();  // some are the arena's
    statistics_.sites_filled += sites_filled(arena);
    for (auto& target : cpu_.translated.targets)
        if (code_->holds(arena, target.code)) target = no_target();
    for (const u32 recipe : a.resolvers) resolvers_[recipe] = generic_resolver_;
    a.translations.clear();
    a.resolvers.clear();
    ++generation_;
    ++statistics_.evictions;
}

// Takes the arena's exits out of the lists of what they are linked to.
void Translator::unlink_exits(unsigned arena) {
    for (Point& p : points_.of(arena)) {
        if (p.kind != Point::kExit || !p.exit.linked || !p.exit.linked->translation) continue;
        // All of the arena's at once: each list is gone through once.
        for (u32* at = &of(*p.exit.linked)->incoming; *at != Point::kNone;) {
            Point::Exit& exit = points_[*at].exit;
            if (Points::arena_of(*at) != arena) {
                at = &exit.next_incoming;
                continue;
            }
            *at = exit.next_incoming;
            exit.linked = nullptr;
        }
    }
}

void Translator::empty() {
    for (Arena& a : arenas_)
        for (Translation& t : a.translations)
            if (t.block) detach(*t.block);
    flushed();
}

void Translator::flushed() {
    for (unsigned n = CodeMemory::kArenas; n-- > 0;) {
        statistics_.sites_filled += sites_filled(n);
        arenas_[n] = {};
        code_->use(n);
        points_.use(n);
    }
    cpu_.mmu.forget_sites();
    std::fill_n(resolvers_.get(), std::min(recipes_.size(), kMaxRecipes), generic_resolver_);
    // Lazy flags must not name recipes that are gone.
    recipes_.clear();
    forget_targets();
    ++generation_;
    ++statistics_.flushes;
}

}  // namespace rm::jit
