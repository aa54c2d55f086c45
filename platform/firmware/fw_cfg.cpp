// The fw_cfg device: selector 510h, data 511h, DMA 514h-51Bh.
// Assumes: DMA completes before the write of its address returns, as the specification allows.
// Source: QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device".
#include "platform/firmware/fw_cfg.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/assert.h"
#include "base/log.h"

namespace rm::platform {
namespace {

enum DmaControl : u32 { kError = 1, kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16 };

constexpr std::array<u8, 8> kDmaSignature = {'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};

void put_be32(std::vector<u8>& out, u32 v) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<u8>(v >> shift));
}

template <class T>
std::vector<u8> le_bytes(T v) {
    std::vector<u8> out(sizeof v);
    std::memcpy(out.data(), &v, sizeof v);
    return out;
}

}  // namespace

FwCfg::FwCfg(memory::PhysicalMemory& memory) : memory_(memory) {
    add_bytes(kSignature, {'Q', 'E', 'M', 'U'});
    add_u32(kId, 3);
    rebuild_directory();
    reset();
}

void FwCfg::attach(memory::IoBus& bus) {
    bus.add(kPortBase, 2, this, memory::IoBus::kByte | memory::IoBus::kWord);
    bus.add(kPortBase + 4, 8, &dma_ports_, memory::IoBus::kAny);
}

void FwCfg::add_bytes(u16 key, std::vector<u8> bytes) {
    items_[key] = std::move(bytes);
    selected_ = {};
    offset_ = 0;
}

void FwCfg::add_string(u16 key, std::string_view text) {
    std::vector<u8> bytes(text.begin(), text.end());
    bytes.push_back(0);
    add_bytes(key, std::move(bytes));
}

void FwCfg::add_u16(u16 key, u16 value) { add_bytes(key, le_bytes(value)); }
void FwCfg::add_u32(u16 key, u32 value) { add_bytes(key, le_bytes(value)); }
void FwCfg::add_u64(u16 key, u64 value) { add_bytes(key, le_bytes(value)); }

void FwCfg::add_file(const std::string& name, std::vector<u8> bytes) {
    RM_ASSERT(name.size() <= kMaxNameLength, "fw_cfg file name too long");
    RM_ASSERT(bytes.size() <= 0xFFFFFFFF, "fw_cfg file larger than its 32-bit size field");
    files_[name] = std::move(bytes);
    selected_ = {};
    offset_ = 0;
    rebuild_directory();
}

void FwCfg::rebuild_directory() {
    directory_.clear();
    by_selector_.clear();
    put_be32(directory_, static_cast<u32>(files_.size()));
    for (const auto& [name, bytes] : files_) {
        const u16 selector = static_cast<u16>(kFileFirst + by_selector_.size());
        put_be32(directory_, static_cast<u32>(bytes.size()));
        put_be32(directory_, u32{selector} << 16);
        const size_t at = directory_.size();
        directory_.resize(at + kMaxNameLength + 1);
        std::copy(name.begin(), name.end(), directory_.begin() + static_cast<long>(at));
        by_selector_.push_back(&bytes);
    }
}

void FwCfg::reset() {
    select(0);
    dma_high_ = 0;
}

std::span<const u8> FwCfg::item(u16 key) const {
    if (key == kFileDir) return directory_;
    if (key >= kFileFirst && key - kFileFirst < static_cast<int>(by_selector_.size()))
        return *by_selector_[key - kFileFirst];
    const auto it = items_.find(key);
    return it == items_.end() ? std::span<const u8>{} : std::span<const u8>{it->second};
}

void FwCfg::select(u16 key) {
    selected_ = item(key & ~0x4000);  // bit 14 asks for write mode; no item here is writable
    offset_ = 0;
}

u8 FwCfg::next_byte() { return offset_ < selected_.size() ? selected_[offset_++] : 0; }

// Selector and data port. Neither is readable as a word; the data port is one byte wide.
u32 FwCfg::port_read(u16 offset, unsigned size) {
    if (offset == 1 && size == 1) return next_byte();
    return 0;
}

void FwCfg::port_write(u16 offset, unsigned size, u32 value) {
    if (offset == 0 && size == 2) select(static_cast<u16>(value));
}

// Reading the DMA address register gives the interface's signature, in big-endian order.
u32 FwCfg::dma_port_read(u16 offset, unsigned size) {
    u32 value = 0;
    for (unsigned i = 0; i < size && offset + i < kDmaSignature.size(); ++i)
        value |= u32{kDmaSignature[offset + i]} << (8 * i);
    return value;
}

void FwCfg::dma_port_write(u16 offset, unsigned size, u32 value) {
    if (size != 4) return;
    if (offset == 0) dma_high_ = __builtin_bswap32(value);
    if (offset == 4) {
        const PhysAddr descriptor = PhysAddr{dma_high_} << 32 | __builtin_bswap32(value);
        dma_high_ = 0;
        run_dma(descriptor);
    }
}

void FwCfg::run_dma(PhysAddr descriptor) {
    struct {
        u32 control, length;
        u64 address;
    } access;
    static_assert(sizeof access == 16);
    memory_.read(descriptor, {reinterpret_cast<u8*>(&access), sizeof access});
    const bool ok = transfer(__builtin_bswap32(access.control), __builtin_bswap32(access.length),
                             __builtin_bswap64(access.address));
    const u32 result = ok ? 0 : __builtin_bswap32(kError);
    memory_.write(descriptor, {reinterpret_cast<const u8*>(&result), sizeof result});
}

// False: the error bit is to be set. At most one of read, skip and write is done, in that order of
// preference read, write, skip.
bool FwCfg::transfer(u32 control, u32 length, PhysAddr address) {
    if (control & kSelect) select(static_cast<u16>(control >> 16));
    if (control & kRead) {
        dma_read(address, length);
        return true;
    }
    if (control & kWrite) {
        log::write(log::Item::kGuestErrors, "fw_cfg: DMA write to a read-only item\n");
        return false;
    }
    if (control & kSkip) offset_ = std::min<u64>(offset_ + length, selected_.size());
    return true;
}

void FwCfg::dma_read(PhysAddr address, u32 length) {
    const u64 present = std::min<u64>(length, selected_.size() - offset_);
    memory_.write(address, selected_.subspan(offset_, present));
    offset_ += present;
    // Past the item's end the reader gets zeros.
    static constexpr std::array<u8, kPageSize> kZeros{};
    for (u64 done = present; done < length;) {
        const u64 piece = std::min<u64>(length - done, kZeros.size());
        memory_.write(address + done, std::span(kZeros).first(piece));
        done += piece;
    }
}

}  // namespace rm::platform
