// The boot script: what our boot ROM (roms/boot/boot.asm) has to do to start a -kernel image.
// Owns: the wire format, and the rule where a kernel may lie in memory. A script is 8 bytes of
// magic, then 64-byte commands; a load command is followed by its data. All little-endian. Assumes:
// the ROM's work area 7000h-7BFFh and the BIOS data below it stay untouched, and that firmware
// tables lie in the top MiB of RAM below 4 GiB.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "platform/firmware/byte_buffer.h"
#include "platform/firmware/ram_layout.h"

namespace rm::platform {

// Where the memory map goes and what is patched with its size. Addresses below 1 MiB; 0 = none.
struct E820Request {
    enum Format : u32 {
        kMultiboot1 = 1,  // u32 size = 20, base, length, type
        kPlain = 2,       // base, length, type, u32 zero (multiboot 2, PVH)
        kLinux = 3,       // base, length, type; nothing follows the entries
    };
    Format format = kPlain;
    u32 dest = 0;      // room for kRoom bytes: entries of at most 24 bytes, then an 8-byte {0, 8}
    u32 count_at = 0;  // u32: number of entries
    u32 bytes_at = 0;  // u32: bytes of entries + bytes_bias
    u32 bytes_bias = 0;
    u32 total_at = 0;  // u32: bytes of entries + total_bias
    u32 total_bias = 0;
    u32 lower_at = 0;  // u32: KiB of RAM from 0
    u32 upper_at = 0;  // u32: KiB of RAM from 1 MiB
    static constexpr u32 kMaxEntries = 64;
    static constexpr u32 kRoom = kMaxEntries * 24 + 8;
};

// Register values at a 32-bit protected-mode entry: flat segments, paging and interrupts off.
struct Entry32 {
    u32 eip = 0, eax = 0, ebx = 0, ecx = 0, edx = 0, esi = 0, edi = 0, ebp = 0, esp = 0x7C00;
};

// 64-bit entry below 4 GiB: page tables at cr3, interrupts off; CS = 10H and the data segments =
// 18H are flat, as Linux' 64-bit boot protocol wants them.
struct Entry64 {
    u32 rip = 0, rsi = 0, cr3 = 0;
};

// Real-mode entry: ds = es = fs = gs = data.
struct Entry16 {
    u16 ip = 0, cs = 0, ss = 0, sp = 0, data = 0;
};

// Places chunks so that they do not overlap each other nor what the firmware owns.
class BootMemory {
public:
    explicit BootMemory(const RamLayout& ram);
    // Claims [start, start+size); `what` names it in the error.
    Result<void> claim(const std::string& what, u64 start, u64 size);
    // Lowest free range of at least `size` at or above `from` with this alignment and an end <=
    // limit.
    Result<u64> place(const std::string& what, u64 size, u64 align, u64 from, u64 limit = ~u64{0});
    // Highest such range with its end at or below `limit`.
    Result<u64> place_high(const std::string& what, u64 size, u64 align, u64 limit);
    u64 top() const { return top_; }

    static constexpr u64 kLowStart = 0x8000;       // above the ROM's work area
    static constexpr u64 kLowEnd = 0x90000;        // below what the BIOS may take from 640 KiB down
    static constexpr u64 kFirmwareTop = 0x100000;  // kept free below the end of low RAM

private:
    struct Range {
        u64 start, end;
        std::string what;
    };
    const Range* overlap(u64 start, u64 end) const;
    std::vector<Range> ranges_;
    u64 top_;
};

class BootScript {
public:
    BootScript();
    // data, then `zeros` bytes of zeros after it. Empty parts write no command.
    void load(u64 address, std::span<const u8> data, u64 zeros = 0);
    void e820(const E820Request& request);
    void rsdp(u32 dest);  // the 8 bytes at dest (below 1 MiB) take the ACPI root pointer's address
    // Linux' screen_info (64 bytes of zeros at dest, below 1 MiB) takes the text screen's mode,
    // size and cursor, if there is a VGA BIOS.
    void screen(u32 dest);
    void enter32(const Entry32& entry);
    void enter16(const Entry16& entry);
    void enter64(const Entry64& entry);
    std::vector<u8> take() { return out_.take(); }

    static constexpr const char* kFileName = "opt/ringminus/boot";
    static constexpr const char* kRomName = "genroms/ringminus-boot.bin";

private:
    enum Op : u32 {
        kLoad = 1,
        kE820 = 2,
        kEnter32 = 3,
        kEnter16 = 4,
        kRsdp = 5,
        kZero = 6,
        kEnter64 = 7,
        kScreen = 8,
    };
    void command(Op op, std::initializer_list<u32> fields);
    ByteBuffer out_;
};

}  // namespace rm::platform
