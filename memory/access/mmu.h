// One processor's view of memory by linear address: the inline TLB hit, the slow path behind it
// (walk, refill, page crossing, MMIO, self-modifying code), and TLB invalidation.
// Faults are values: an access returns false and leaves the reason in fault(). An access that fails
// has changed no guest memory (both pages of a crossing store are checked before the first byte).
// Canonicality of addresses is checked by the caller's slow path hook (see Cpu), segment limits
// too.
#pragma once
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "memory/paging/walker.h"
#include "memory/physical/physical.h"
#include "memory/tlb/access_sites.h"
#include "memory/tlb/tlb.h"

namespace rm::memory {

// The destination of a read-modify-write whose permission has been checked.
struct RmwPlace {
    u8* host = nullptr;      // plain RAM within one page: read and write here
    PhysAddr first = 0;      // else: physical address of the first byte ...
    PhysAddr second = 0;     // ... and of the first byte on the second page (if split != 0)
    LinearAddr va = 0;       // for Owner::special_page
    u8 size = 0, split = 0;  // split = bytes on the first page, 0 = all
    u8 special = 0;          // bit 0: the first page, bit 1: the second page is the owner's
};

struct FlushFilter {  // every set member must match; an empty filter matches all
    std::optional<u16> asid, pcid;
    std::optional<u64> second_stage;
    std::optional<LinearAddr> va;  // only the page (of any size) holding va
    bool keep_global = false;
    bool guest_only = false;  // only arrays with asid != 0 or second_stage != 0
    // Guest-physical mappings stay, as by a guest's own instructions and by INVVPID.
    bool linear_only = false;
};

class TlbArray;

class Mmu final : public PhysicalListener {
public:
    class Owner {
    public:
        enum class Special : u8 {
            kNotMine,  // an ordinary page after all: memory is accessed as the map says
            kDone,     // handled; a read has filled `value`
            kFault,  // the access must not happen: it returns false with what set_fault() was given
        };
        virtual ~Owner() = default;
        // Runs before each access to an MMIO window or a special page: the processor uses it to
        // bring its clock up to date and to leave its current block after this instruction.
        virtual void before_device_access() = 0;
        // Lines that hold decoded code are about to get `bytes` at addr, from this processor or
        // anyone else; memory still has the old ones. Never crosses a page.
        virtual void code_invalidated(PhysAddr addr, std::span<const u8> bytes) = 0;
        virtual bool holds_code(PhysAddr) const { return false; }  // decoded, of that frame
        // An access to a page named by set_special_page() (xAPIC page, VT "APIC-access page"),
        // after all paging checks. size 1, 2, 4 or 8; wider accesses come in pieces. A
        // read-modify-write comes as a read and then a write, which must not answer kFault any
        // more. A fetch comes once with size 1; kDone makes it read ones.
        virtual Special special_page(PhysAddr, LinearAddr, Access, unsigned size, u64& value) = 0;
    };

    Mmu(PhysicalMemory& memory, Owner& owner);
    ~Mmu() override;

    // --- context: called by cpu/system whenever CR0/CR3/CR4/EFER, ASID or the second stage change.
    // Selects (or creates) the arrays of `tag`; never flushes by itself.
    void set_context(const PagingContext& context, const SpaceTag& tag);
    const PagingContext& context() const { return context_; }
    const SpaceTag& tag() const { return tag_; }
    void set_data_class(PrivClass priv) {  // class used by load/store/rmw below
        data_class_ = priv;
        data_ = arrays_[data_array(priv)];
        data_changed();
    }
    PrivClass data_class() const { return data_class_; }
    // For translated code: where the current arrays' addresses are, and a number that changes
    // whenever a page that code may have been fetched from is invalidated or the code array
    // switched (the same array comes back with the same number).
    TlbEntry* const* data_table() const { return &data_; }
    TlbEntry* const* code_table() const { return &code_; }
    u64 code_epoch() const;
    void remember_code(LinearAddr va);
    // Where a plain store to a page goes whose write tag is withheld because of code, and its
    // physical address. Null: it is none, or the TLB does not hold the page. Who stores there sees
    // to it that the code's holders hear of it (PhysicalMemory::line_has_code, write).
    [[nodiscard]] u8* place_beside_code(LinearAddr va, unsigned size, PhysAddr& machine);
    // Makes the TLB hold va for an access of `size` bytes by the current class. False: it cannot (a
    // fault, a device, code in the page, a page border); nothing but A and D bits has changed.
    [[nodiscard]] bool touch(LinearAddr va, unsigned size, Access access);
    const StackPage* stack_page() const { return &stack_; }
    // Makes the page of va the stack page, if the TLB holds it for writing.
    [[nodiscard]] bool use_as_stack(LinearAddr va);
    // They are of the arrays that the user and the supervisor use now.
    const SiteLog& sites() const { return sites_; }
    void forget_sites() { sites_.forget_all(); }
    // Does the TLB hold the page of va for writing by the current class?
    bool writable(LinearAddr va) const {
        return data_[(va >> 12) & (kTlbEntries - 1)].write == (va & kPageMask);
    }
    // Is the write tag of va's page withheld only because of decoded code?
    bool withheld_for_code(LinearAddr va) const;
    // touch() for a fetch of the byte at va. A device page is refused untouched.
    [[nodiscard]] bool touch_code(LinearAddr va);
    void flush(const FlushFilter& filter);
    void flush_all() { flush(FlushFilter{}); }
    // The 4 KiB physical page whose accesses go to Owner::special_page (xAPIC base); ~0 = none.
    void set_special_page(unsigned slot, PhysAddr page);  // slot 0: xAPIC, slot 1: VT APIC access

    // --- data accesses with the current class ---
    // The TLB hit alone: false means only that load(), store() or rmw_begin() must be asked.
    template <class T>
    [[nodiscard, gnu::always_inline]] inline bool load_hit(LinearAddr va, T& out) const {
        const TlbEntry& e = data_[(va >> 12) & (kTlbEntries - 1)];
        if (e.read != ((va + sizeof(T) - 1) & kPageMask)) [[unlikely]]
            return false;
        std::memcpy(&out, reinterpret_cast<const void*>(va + e.addend), sizeof(T));
        return true;
    }
    template <class T>
    [[nodiscard, gnu::always_inline]] inline bool store_hit(LinearAddr va, T value) {
        const TlbEntry& e = data_[(va >> 12) & (kTlbEntries - 1)];
        if (e.write != ((va + sizeof(T) - 1) & kPageMask)) [[unlikely]]
            return false;
        std::memcpy(reinterpret_cast<void*>(va + e.addend), &value, sizeof(T));
        return true;
    }
    template <class T>
    [[nodiscard, gnu::always_inline]] inline bool rmw_hit(LinearAddr va, u8*& host, T& old) const {
        const TlbEntry& e = data_[(va >> 12) & (kTlbEntries - 1)];
        if (e.write != ((va + sizeof(T) - 1) & kPageMask)) [[unlikely]]
            return false;
        host = reinterpret_cast<u8*>(va + e.addend);
        std::memcpy(&old, host, sizeof(T));
        return true;
    }
    template <class T>
    [[nodiscard, gnu::always_inline]] inline bool load(LinearAddr va, T& out) {
        const TlbEntry& e = data_[(va >> 12) & (kTlbEntries - 1)];
        if (e.read == ((va + sizeof(T) - 1) & kPageMask)) [[likely]] {
            std::memcpy(&out, reinterpret_cast<const void*>(va + e.addend), sizeof(T));
            return true;
        }
        return load_slow(va, &out, sizeof(T), data_class_);
    }
    template <class T>
    [[nodiscard, gnu::always_inline]] inline bool store(LinearAddr va, T value) {
        const TlbEntry& e = data_[(va >> 12) & (kTlbEntries - 1)];
        if (e.write == ((va + sizeof(T) - 1) & kPageMask)) [[likely]] {
            std::memcpy(reinterpret_cast<void*>(va + e.addend), &value, sizeof(T));
            return true;
        }
        return store_slow(va, &value, sizeof(T), data_class_);
    }
    template <class T>
    [[nodiscard, gnu::always_inline]] inline bool rmw_begin(LinearAddr va, RmwPlace& place,
                                                            T& old) {
        const TlbEntry& e = data_[(va >> 12) & (kTlbEntries - 1)];
        if (e.write == ((va + sizeof(T) - 1) & kPageMask)) [[likely]] {
            place.host = reinterpret_cast<u8*>(va + e.addend);
            std::memcpy(&old, place.host, sizeof(T));
            return true;
        }
        return rmw_begin_slow(va, place, &old, sizeof(T));
    }
    template <class T>
    [[gnu::always_inline]] inline void rmw_end(const RmwPlace& place, T value) {
        if (place.host) [[likely]]
            std::memcpy(place.host, &value, sizeof(T));
        else
            rmw_end_slow(place, &value);
    }

    // --- explicit class: system accesses (descriptor tables, TSS, stacks of another level) ---
    template <class T>
    [[nodiscard]] bool load_as(PrivClass priv, LinearAddr va, T& out) {
        return load_slow(va, &out, sizeof(T), priv);
    }
    template <class T>
    [[nodiscard]] bool store_as(PrivClass priv, LinearAddr va, T value) {
        return store_slow(va, &value, sizeof(T), priv);
    }
    // Any size up to a page each side of one border; 1..4096 bytes.
    [[nodiscard]] bool load_bytes(PrivClass priv, LinearAddr va, void* out, unsigned size);
    [[nodiscard]] bool store_bytes(PrivClass priv, LinearAddr va, const void* in, unsigned size);
    // Would an access succeed? Sets A/D as the access would; fills fault() if not.
    [[nodiscard]] bool probe(PrivClass priv, LinearAddr va, unsigned size, Access access);

    // --- instruction fetch: host pointer to the byte at va and its machine address; the bytes up
    // to the end of the page are readable. Null: fault() tells. MMIO code is fetched into a buffer.
    const u8* fetch(LinearAddr va, PhysAddr& machine);
    // Exec hit without a walk, for the block lookup's fast path; null = call fetch().
    [[gnu::always_inline]] inline const u8* fetch_hit(LinearAddr va) const {
        const TlbEntry& e = code_[(va >> 12) & (kTlbEntries - 1)];
        return e.exec == (va & kPageMask) ? reinterpret_cast<const u8*>(va + e.addend) : nullptr;
    }
    void set_code_class(PrivClass priv);  // class for fetches (user or supervisor)

    // --- bulk for rep string instructions: host pointer for [va, va+*bytes) within one page of
    // plain RAM (writable and free of code for kWrite), or null: use load/store one by one.
    u8* span(LinearAddr va, Access access, u64* bytes);

    const WalkFault& fault() const { return fault_; }
    void set_fault(const WalkFault& fault) { fault_ = fault; }

    PhysicalMemory& memory() { return memory_; }

    // PhysicalListener
    void map_changed() override;
    void code_written(PhysAddr addr, std::span<const u8> bytes) override;
    void code_marked(PhysAddr frame) override;
    bool holds_code(PhysAddr frame) const override { return owner_.holds_code(frame); }

private:
    // Where the bytes of one page of an access are, after all checks.
    struct Place {
        u8* host = nullptr;  // plain memory, good for the access asked for
        PhysAddr machine = 0;
        bool device = false;   // an MMIO window (else, without host: ROM, hole or decoded code)
        bool special = false;  // Owner::special_page is asked first
    };
    // A whole access: one part, or two where it crosses a page border.
    struct Parts {
        Place first, second;
        unsigned split = 0;  // bytes on the first page; 0 = all
    };

    [[nodiscard]] bool load_slow(LinearAddr va, void* out, unsigned size, PrivClass priv);
    [[nodiscard]] bool store_slow(LinearAddr va, const void* in, unsigned size, PrivClass priv);
    [[nodiscard]] bool rmw_begin_slow(LinearAddr va, RmwPlace& place, void* old, unsigned size);
    void rmw_end_slow(const RmwPlace& place, const void* value);

    bool resolve(LinearAddr va, Access access, PrivClass priv, Place& place);
    bool resolve_parts(LinearAddr va, unsigned size, Access access, PrivClass priv, Parts& parts);
    void refill(LinearAddr va, const Translation& t, Access access, PrivClass priv, Place& place);
    LinearAddr next_page(LinearAddr va) const;
    bool read_part(const Place& place, LinearAddr va, u8* out, unsigned size);
    bool write_part(const Place& place, LinearAddr va, const u8* in, unsigned size);
    bool read_special(const Place& place, LinearAddr va, u8* out, unsigned size);
    bool write_special(const Place& place, LinearAddr va, const u8* in, unsigned size);
    template <class Fn>
    bool each_part(const Parts& parts, LinearAddr va, unsigned size, Fn&& fn);
    void update_arrays();
    void data_changed() {
        stack_.forget();
        if (data_ != sites_from_[data_class_ == PrivClass::kUser]) [[unlikely]]
            sites_of_data();
    }
    void sites_of_data();
    void forget_lost(TlbArray& array);

    PhysicalMemory& memory_;
    Owner& owner_;
    TlbEntry* arrays_[kTlbArrays] = {};  // of the current tag
    PrivClass data_class_ = PrivClass::kSupervisor;
    PrivClass code_class_ = PrivClass::kSupervisor;
    PagingContext context_;
    SpaceTag tag_;
    WalkFault fault_;
    struct Spaces;
    std::unique_ptr<Spaces> spaces_;
    SiteLog sites_;
    const TlbEntry* sites_from_[2] = {};  // the arrays: [1] the user's, [0] the supervisor's
    // Last, near the state of translated code (jit/host/x64/thunks.h, from_r13()).
    TlbEntry* data_ = nullptr;  // = arrays_[data_array(data_class_)]
    StackPage stack_;           // of data_
    TlbEntry* code_ = nullptr;
};

}  // namespace rm::memory
