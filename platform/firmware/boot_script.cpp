// Writes boot scripts and keeps track of the memory that a kernel's parts take.
// Assumes: the reader is roms/boot/boot.asm; field offsets are the order of the lists below.
// Source: our own format, described in boot_script.h.
#include "platform/firmware/boot_script.h"

#include <algorithm>

#include "base/bits.h"

namespace rm::platform {
namespace {
constexpr u64 kHole = 0xA0000;  // VGA and ROMs
constexpr u64 kHighMemory = 0x100000;
}  // namespace

BootMemory::BootMemory(const RamLayout& ram)
    : top_(ram.below_4g > kHighMemory + kFirmwareTop ? ram.below_4g - kFirmwareTop : kHighMemory) {
    ranges_.push_back({0, kLowStart, "the interrupt table, BIOS data and boot ROM"});
    ranges_.push_back({kLowEnd, kHole, "memory that the firmware uses below 640 KiB"});
    ranges_.push_back({kHole, kHighMemory, "the video memory and ROMs at 640 KiB"});
}

const BootMemory::Range* BootMemory::overlap(u64 start, u64 end) const {
    for (const Range& range : ranges_)
        if (start < range.end && range.start < end) return &range;
    return nullptr;
}

Result<void> BootMemory::claim(const std::string& what, u64 start, u64 size) {
    if (!size) return {};
    const u64 end = start + size;
    if (end < start || end > top_)
        return fail("%s needs memory at %#llx..%#llx, but usable RAM ends at %#llx; raise -m",
                    what.c_str(), (unsigned long long)start, (unsigned long long)end,
                    (unsigned long long)top_);
    if (const Range* other = overlap(start, end))
        return fail("%s at %#llx..%#llx overlaps %s", what.c_str(), (unsigned long long)start,
                    (unsigned long long)end, other->what.c_str());
    ranges_.push_back({start, end, what});
    return {};
}

Result<u64> BootMemory::place(const std::string& what, u64 size, u64 align, u64 from, u64 limit) {
    limit = std::min(limit, top_);
    u64 start = align_up(from, align);
    while (start + size >= start && start + size <= limit) {
        const Range* other = overlap(start, start + std::max<u64>(size, 1));
        if (!other) {
            ranges_.push_back({start, start + size, what});
            return start;
        }
        start = align_up(other->end, align);
    }
    return fail("%s (%llu bytes) does not fit below %#llx; raise -m", what.c_str(),
                (unsigned long long)size, (unsigned long long)limit);
}

Result<u64> BootMemory::place_high(const std::string& what, u64 size, u64 align, u64 limit) {
    u64 end = std::min(limit, top_);
    while (end >= size) {
        const u64 start = align_down(end - size, align);
        const Range* other = overlap(start, start + std::max<u64>(size, 1));
        if (!other) {
            ranges_.push_back({start, start + size, what});
            return start;
        }
        end = other->start;
    }
    return fail("%s (%llu bytes) does not fit below %#llx; raise -m", what.c_str(),
                (unsigned long long)size, (unsigned long long)std::min(limit, top_));
}

BootScript::BootScript() { out_.padded("RMBOOT1", 8); }

void BootScript::command(Op op, std::initializer_list<u32> fields) {
    constexpr size_t kCommandBytes = 64;
    const size_t start = out_.size();
    out_.u32v(op);
    for (u32 field : fields) out_.u32v(field);
    out_.zeros(start + kCommandBytes - out_.size());
}

void BootScript::load(u64 address, std::span<const u8> data, u64 zeros) {
    // One DMA is less than 4 GiB long, because RAM below 4 GiB is.
    if (!data.empty()) {
        command(kLoad, {static_cast<u32>(data.size()), static_cast<u32>(address),
                        static_cast<u32>(address >> 32)});
        out_.raw(data);
    }
    if (zeros) {
        const u64 at = address + data.size();
        command(kZero, {static_cast<u32>(zeros), static_cast<u32>(at), static_cast<u32>(at >> 32)});
    }
}

void BootScript::e820(const E820Request& r) {
    command(kE820, {r.format, r.dest, 0, E820Request::kMaxEntries, r.count_at, r.bytes_at,
                    r.bytes_bias, r.total_at, r.total_bias, r.lower_at, r.upper_at});
}

void BootScript::rsdp(u32 dest) { command(kRsdp, {dest}); }

void BootScript::screen(u32 dest) { command(kScreen, {dest}); }

void BootScript::enter64(const Entry64& e) { command(kEnter64, {e.rip, e.rsi, e.cr3}); }

void BootScript::enter32(const Entry32& e) {
    command(kEnter32, {e.eip, e.eax, e.ebx, e.ecx, e.edx, e.esi, e.edi, e.ebp, e.esp});
}

void BootScript::enter16(const Entry16& e) {
    command(kEnter16, {u32{e.ip} | u32{e.cs} << 16, u32{e.ss} | u32{e.sp} << 16, e.data});
}

}  // namespace rm::platform
