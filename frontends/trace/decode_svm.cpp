// SVM EXITINFO1 and EXITINFO2 as rows (APM2 15.8-15.13, 15.25.6, appendix C). What only decode
// assists fill (15.8) is not shown for models without them.
#include "base/bits.h"
#include "frontends/trace/bit_fields.h"
#include "frontends/trace/decode.h"

namespace rm::frontends::trace {

using vt::common::ExitRecord;

namespace {

// Exit codes by the manual's names; ranges hold one code a register or vector.
enum ExitCode : u64 {
#define RM_EXIT(name, code, count) name = code,
#include "vt-emulation/svm/exit_codes.def"
#undef RM_EXIT
};
constexpr u64 kPageFault = EXCP + 14;

constexpr const char* kIoDirections[] = {"out", "in"};
constexpr const char* kIoSizes[] = {"?", "1", "2", "?", "4", "?", "?", "?"};
constexpr const char* kAddressSizes[] = {"?", "16", "32", "?", "64", "?", "?", "?"};
constexpr const char* kMsrAccess[] = {"read", "write"};
constexpr const char* kNestedUse[] = {"?", "translation", "page-walk", "?"};
constexpr u64 kHasErrorCode = bit(11);  // EventInfo::info

constexpr BitField kMovCr[] = {{"register", 3, 0, Show::kGpr, nullptr, bit(63), bit(63)}};
constexpr BitField kMovDr[] = {{"register", 3, 0, Show::kGpr}};
constexpr BitField kErrorCode[] = {{"error", 31, 0, Show::kHex}};
constexpr BitField kAddress[] = {{"address", 63, 0, Show::kHex}};
constexpr BitField kVector[] = {{"vector", 7, 0, Show::kHex}};
constexpr BitField kIoInfo1[] = {{"direction", 0, 0, Show::kName, kIoDirections},
                                 {"port", 31, 16, Show::kHex},
                                 {"size", 6, 4, Show::kName, kIoSizes},
                                 {"string", 2, 2, Show::kFlag},
                                 {"rep", 3, 3, Show::kFlag},
                                 {"address_size", 9, 7, Show::kName, kAddressSizes}};
constexpr BitField kIoInfo2[] = {{"next_rip", 63, 0, Show::kHex}};
constexpr BitField kMsrInfo1[] = {{"access", 0, 0, Show::kName, kMsrAccess}};
constexpr BitField kTaskInfo1[] = {{"selector", 15, 0, Show::kHex}};
constexpr BitField kTaskInfo2[] = {{"iret", 36, 36, Show::kFlag},
                                   {"jmp", 38, 38, Show::kFlag},
                                   {"error", 31, 0, Show::kHex, nullptr, bit(44), bit(44)},
                                   {"rf", 48, 48, Show::kFlag}};
constexpr BitField kNpfInfo1[] = {
    {"present", 0, 0, Show::kFlag}, {"write", 1, 1, Show::kFlag},
    {"user", 2, 2, Show::kFlag},    {"reserved", 3, 3, Show::kFlag},
    {"fetch", 4, 4, Show::kFlag},   {"for", 33, 32, Show::kName, kNestedUse}};

struct ExitRow {
    u64 first, last;
    const char* index_key;  // the code minus `first`, under this name; null: none
    std::span<const BitField> info1, info2;
    bool assists = false;  // info1 needs decode assists
};
constexpr ExitRow kExits[] = {
    {CR_READ, CR_READ + 15, "cr", kMovCr, {}},
    {CR_WRITE, CR_WRITE + 15, "cr", kMovCr, {}},
    {DR_READ, DR_READ + 15, "dr", kMovDr, {}, true},
    {DR_WRITE, DR_WRITE + 15, "dr", kMovDr, {}, true},
    {kPageFault, kPageFault, nullptr, kErrorCode, kAddress},
    {EXCP, EXCP + 31, nullptr, {}, {}},
    {CR0_SEL_WRITE, CR0_SEL_WRITE, nullptr, kMovCr, {}},
    {CPUID, CPUID, nullptr, {}, {}},
    {SWINT, SWINT, nullptr, kVector, {}, true},
    {INVLPG, INVLPG, nullptr, kAddress, {}, true},
    {IOIO, IOIO, nullptr, kIoInfo1, kIoInfo2},
    {MSR, MSR, nullptr, kMsrInfo1, {}},
    {TASK_SWITCH, TASK_SWITCH, nullptr, kTaskInfo1, kTaskInfo2},
    {VMMCALL, VMMCALL, nullptr, {}, {}},
    {XSETBV, XSETBV, nullptr, {}, {}},
    {NPF, NPF, nullptr, kNpfInfo1, {}},
};

const ExitRow* find_row(u64 code) {
    for (const ExitRow& row : kExits)
        if (code >= row.first && code <= row.last) return &row;
    return nullptr;
}

void show_registers(LineBuilder& line, u64 code, const GuestRegisters& registers) {
    if (code == MSR && registers.rcx) line.hex("msr", static_cast<u32>(*registers.rcx));
    if (code == XSETBV && registers.rcx) line.hex("xcr", static_cast<u32>(*registers.rcx));
    if (code == CPUID && registers.rax) line.hex("leaf", static_cast<u32>(*registers.rax));
    if (code == VMMCALL && registers.rax) line.hex("hypercall", static_cast<u32>(*registers.rax));
}

}  // namespace

void decode_svm_exit(LineBuilder& line, const ExitRecord& exit, const GuestRegisters& registers) {
    const ExitRow* row = find_row(exit.reason);
    if (!row) return;
    const bool info1_known = !row->assists || exit.decode_assists;
    if (!info1_known && !row->index_key) return;  // nothing to say
    line.open("decoded");
    if (exit.reason >= EXCP && exit.reason <= EXCP + 31) {
        const unsigned vector = static_cast<unsigned>(exit.reason - EXCP);
        if (const char* name = exception_name(vector)) line.word("exception", name);
        if (exit.reason != kPageFault && (exit.interruption.info & kHasErrorCode))
            show_fields(line, exit.info1, kErrorCode);
    }
    if (row->index_key) line.number(row->index_key, exit.reason - row->first);
    if (info1_known) show_fields(line, exit.info1, row->info1);
    show_fields(line, exit.info2, row->info2);
    show_registers(line, exit.reason, registers);
    line.close();
}

}  // namespace rm::frontends::trace
