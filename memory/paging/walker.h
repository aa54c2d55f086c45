// Page walks of both stages: 32-bit (with PSE), PAE, 4-level; EPT and AMD nested paging; permission
// rules; accessed and dirty bits. One walker answers "which stage, which access" for every failure.
// Assumes: the caller has checked canonicality and segmentation.
// Source: SDM 3A chapter 4, SDM 3C 29.3 (EPT), APM2 chapter 5 and 15.25 (nested paging).
#pragma once
#include <expected>

#include "memory/physical/physical.h"
#include "memory/tlb/tlb.h"

namespace rm::memory {

enum class Access : u8 { kRead, kWrite, kExecute };

struct WalkCaches;  // memory/paging/table_cache.h

// Second stage of translation, in force while a guest runs.
struct SecondStage {
    enum class Kind : u8 { kNone, kEpt, kNpt };
    Kind kind = Kind::kNone;
    u64 root = 0;  // EPT: EPTP.  NPT: nCR3
    // EPT: EPTP bit 6 (accessed and dirty flags). Model capabilities:
    bool ept_accessed_dirty = false;
    bool ept_execute_only = true;  // IA32_VMX_EPT_VPID_CAP bit 0
    bool ept_1g_pages = true;      // bit 17
    // NPT: the host's paging mode at VMRUN (APM2 15.25.3)
    bool host_long = true, host_pae = true, host_nxe = true, host_pse = true;
    bool operator==(const SecondStage&) const = default;
};

// Everything of CR0/CR3/CR4/EFER that a walk looks at. Built by cpu/system when any of them
// changes.
struct PagingContext {
    bool paging = false;     // CR0.PG
    bool long_mode = false;  // EFER.LMA
    bool pae = false, pse = false, wp = false, nxe = false, smep = false, smap = false, pge = false;
    bool pcide = false;
    bool page_1g = true;  // CPUID 8000_0001 EDX.Page1GB
    u64 cr3 = 0;
    u64 pdpte[4] = {};  // PAE: the four PDPTE registers (SDM 3A 4.4.1); loaded by the CPU
    bool pdpte_from_memory =
        false;  // AMD nested paging: PDPTEs are read on each walk (APM2 15.25.10)
    unsigned physical_bits = 40;
    u64 a20_mask = ~u64{0};
    SecondStage second;
    bool operator==(const PagingContext&) const = default;
};

// Page-fault error code bits (SDM 3A 4.7).
inline constexpr u32 kPfPresent = 1, kPfWrite = 2, kPfUser = 4, kPfReserved = 8, kPfFetch = 16;

struct WalkFault {
    enum class Kind : u8 {
        kPageFault,        // first stage: #PF with error_code, CR2 = linear
        kSecondViolation,  // EPT violation / #VMEXIT(NPF)
        kEptMisconfig,     // EPT misconfiguration
        kNonCanonical,     // long mode: bits 63:47 of the linear address differ; set by Mmu only
    };
    Kind kind = Kind::kPageFault;
    u32 error_code = 0;  // #PF format; for NPT the low bits of EXITINFO1 (APM2 15.25.6)
    LinearAddr linear = 0;
    PhysAddr guest_physical = 0;  // second stage: the address that failed
    Access access = Access::kRead;
    bool walk_access =
        false;  // second stage failed while reading/writing a first-stage table entry
    bool linear_valid = true;  // EPT qualification bit 7 (clear e.g. for MOV CR3's PDPTE loads)
    u8 ept_permissions = 0;    // EPT: AND of R/W/X over the entries used (qualification bits 5:3)
    bool raced = false;  // another processor changed an entry: the walk starts over (internal)
};

// Success. Permissions are for the privilege class asked for.
struct Translation {
    PhysAddr machine = 0;         // machine physical address of the byte asked for
    PhysAddr guest_physical = 0;  // = machine without a second stage
    bool readable = false, writable = false, executable = false;
    bool dirty = false;         // D is set in both stages (or not tracked): a write needs no walk
    bool global = false;        // first-stage G with CR4.PGE
    u64 page_size = kPageSize;  // smallest of both stages
    u64 guest_page_size = kPageSize;  // first stage: what INVLPG has to drop; 4 KiB without paging
};

// Translates one linear address for one access; sets A (and D on kWrite) bits as the manual
// demands. caches: those of the context, or null to read every level.
std::expected<Translation, WalkFault> walk(PhysicalMemory& memory, const PagingContext& context,
                                           LinearAddr va, Access access, PrivClass priv,
                                           WalkCaches* caches = nullptr);

// The second stage alone, for a guest-physical address (e.g. PDPTE loads, posted structures).
std::expected<Translation, WalkFault> walk_second(PhysicalMemory& memory,
                                                  const PagingContext& context, PhysAddr gpa,
                                                  Access access, bool walk_access);

// As walk(), but changes nothing and never fails loudly: for debuggers and traces.
std::expected<Translation, WalkFault> probe_walk(PhysicalMemory& memory,
                                                 const PagingContext& context, LinearAddr va);

}  // namespace rm::memory
