// Physical memory as processors and DMA see it: guest RAM, ROM, shadow RAM, MMIO
// windows and holes, found by 4 KiB page.
// Owns: the address map, and the per-frame "holds decoded code" marks used to notice
// self-modifying code. Assumes: region borders are page-aligned, except MMIO windows smaller than a
// page, which own their whole page (bytes outside the window read as ones).
// Source: i440FX datasheet 3.2.x (PAM) for the read/write split.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "base/machine_lock.h"
#include "base/result.h"
#include "base/types.h"

namespace rm::memory {

// A device's memory-mapped registers. offset is relative to the window's start; size is 1, 2, 4 or
// 8 bytes and never crosses the window's end. The map splits what a device does not take.
class MmioWindow {
public:
    virtual ~MmioWindow() = default;
    virtual u64 mmio_read(u64 offset, unsigned size) = 0;
    virtual void mmio_write(u64 offset, unsigned size, u64 value) = 0;
};

// Guest RAM, one piece of host memory. Host address h of guest RAM byte i is host() + i. RAM is
// mapped into the physical address space by PhysicalMemory::map_ram (the PC splits it around the 4
// GiB hole).
class Ram {
public:
    static Result<std::unique_ptr<Ram>> create(u64 bytes);
    ~Ram();
    Ram(const Ram&) = delete;
    Ram& operator=(const Ram&) = delete;
    u8* host() const { return host_; }
    u64 size() const { return size_; }

private:
    Ram() = default;
    u8* host_ = nullptr;
    u64 size_ = 0;
};

// What one 4 KiB page of physical address space is. Null host pointers go to `window`; a null
// window is a hole: reads return ones, writes are dropped.
struct PageView {
    u8* read_host = nullptr;   // first byte of the page, or null
    u8* write_host = nullptr;  // may differ from read_host (shadow RAM behind ROM) or be null (ROM)
    MmioWindow* window = nullptr;
    // Offset of the page's first byte inside the window; wraps below zero where a window starts in
    // the middle of its page. Only offsets below window_size reach the window.
    u64 window_offset = 0;
    u64 window_size = 0;

    bool plain_ram() const { return read_host && read_host == write_host; }
};

// Told when translations or code derived from physical memory are no longer valid.
class PhysicalListener {
public:
    virtual ~PhysicalListener() = default;
    // The address map changed: every cached host pointer is stale.
    virtual void map_changed() = 0;
    // Someone (a processor's slow store, DMA) is about to write `bytes` at addr, in a frame that
    // holds decoded code; memory still has the old ones. Never crosses a page.
    virtual void code_written(PhysAddr addr, std::span<const u8> bytes) = 0;
    // The frame became code-bearing: drop cached *write* permission for it.
    virtual void code_marked(PhysAddr frame) = 0;
    // Does it have decoded code of the frame?
    virtual bool holds_code(PhysAddr) const { return false; }
};

class PhysicalMemory {
public:
    // lock: of a machine whose processors run at the same time, else null. Then the map, and which
    // frames hold code at all, change only while every processor stands still; accesses to devices
    // and to frames with code hold the lock; others need nothing.
    explicit PhysicalMemory(unsigned address_bits = 40, MachineLock* lock = nullptr);
    ~PhysicalMemory();

    // --- the map; later calls win over earlier ones where they overlap. Listeners hear of it only
    // if something really changed. RAM, ROM and split ranges must be page-aligned; the rest is
    // clipped to 52 address bits, so that a guest's BAR value can be passed in as it is. ---
    void map_ram(PhysAddr start, u64 size, u8* host);
    void map_rom(PhysAddr start, u64 size, u8* host);
    // Reads and writes routed separately (PAM). Null pointer = hole for that direction.
    void map_split(PhysAddr start, u64 size, u8* read_host, u8* write_host);
    void map_mmio(PhysAddr start, u64 size, MmioWindow* window);
    // Takes the MMIO windows off the range, baring RAM or ROM mapped there earlier (a guest may
    // move a BAR over its RAM and away again). A range without windows becomes a hole.
    void unmap(PhysAddr start, u64 size);
    PageView page(PhysAddr addr) const;

    // --- accesses by physical address; size 1, 2, 4, 8; may cross pages and regions ---
    u64 load(PhysAddr addr, unsigned size);
    void store(PhysAddr addr, unsigned size, u64 value);
    // A and D bits: sets `flags` in the paging-structure entry at addr (size 4 or 8, aligned),
    // whose value was `old` a moment ago. False: another processor has changed it meanwhile;
    // nothing is done.
    [[nodiscard]] bool set_entry_flags(PhysAddr addr, unsigned size, u64 old, u64 flags);
    // Bulk (DMA, loaders). Writes to ROM are dropped; holes read as 0xFF.
    void read(PhysAddr addr, std::span<u8> out);
    void write(PhysAddr addr, std::span<const u8> in);
    // Writes ROM too: for loaders that place firmware. Not for guests.
    void load_image(PhysAddr addr, std::span<const u8> in);

    // --- code marks: 64-byte lines of RAM frames that somebody holds decoded. They survive changes
    // of the map; store() and write() tell the listeners before they touch a marked line. ---
    // Bytes of one page now decoded and cached. Ignored for ROM, split and MMIO pages: guests
    // cannot change what they read there except by a change of the map.
    void mark_code(PhysAddr addr, unsigned size);
    bool has_code(PhysAddr frame) const;
    // Drops the frame's marks if no listener holds code of it any more.
    void clear_code(PhysAddr frame);
    // True if [addr, addr+size) overlaps a 64-byte line that holds code.
    bool line_has_code(PhysAddr addr, unsigned size) const;

    MachineLock* lock() const { return lock_; }

    void add_listener(PhysicalListener* listener);
    void remove_listener(PhysicalListener* listener);
    unsigned address_bits() const { return address_bits_; }

private:
    struct State;
    unsigned address_bits_;
    MachineLock* const lock_;
    std::unique_ptr<State> state_;
};

}  // namespace rm::memory
