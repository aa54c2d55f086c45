// ATA commands of a hard disk. Section numbers: ATA/ATAPI-7 volume 1.
#include "platform/storage/ata_disk.h"

#include <algorithm>
#include <iterator>

#include "base/log.h"
#include "platform/storage/ata_identify.h"

namespace rm::platform {
namespace {

constexpr u32 kSector = 512;
constexpr u8 kMaxMultiple = 16;
constexpr u64 kMaxLba28 = 0x0FFFFFFF;  // sectors reachable with 28 bits

}  // namespace

// Annex B, table of command codes: the ones of the general feature set, power management, 48-bit
// addressing and flush cache. `ext`: the 48-bit form of the task file.
struct AtaDisk::Command {
    u8 opcode;
    Addressing addressing;
    void (AtaDisk::*run)(Addressing);
};

const AtaDisk::Command AtaDisk::kCommands[] = {
    {0x20, Addressing::k28, &AtaDisk::do_read},             // READ SECTOR(S)
    {0x21, Addressing::k28, &AtaDisk::do_read},             //   (without retries, obsolete)
    {0x24, Addressing::k48, &AtaDisk::do_read},             // READ SECTOR(S) EXT
    {0x25, Addressing::k48, &AtaDisk::do_read_dma},         // READ DMA EXT
    {0x27, Addressing::k48, &AtaDisk::do_native_max},       // READ NATIVE MAX ADDRESS EXT
    {0x29, Addressing::k48, &AtaDisk::do_read_multiple},    // READ MULTIPLE EXT
    {0x30, Addressing::k28, &AtaDisk::do_write},            // WRITE SECTOR(S)
    {0x31, Addressing::k28, &AtaDisk::do_write},            //   (without retries, obsolete)
    {0x34, Addressing::k48, &AtaDisk::do_write},            // WRITE SECTOR(S) EXT
    {0x35, Addressing::k48, &AtaDisk::do_write_dma},        // WRITE DMA EXT
    {0x39, Addressing::k48, &AtaDisk::do_write_multiple},   // WRITE MULTIPLE EXT
    {0x40, Addressing::k28, &AtaDisk::do_verify},           // READ VERIFY SECTOR(S)
    {0x41, Addressing::k28, &AtaDisk::do_verify},           //   (without retries, obsolete)
    {0x42, Addressing::k48, &AtaDisk::do_verify},           // READ VERIFY SECTOR(S) EXT
    {0x70, Addressing::k28, &AtaDisk::do_seek},             // SEEK
    {0x91, Addressing::k28, &AtaDisk::do_init_parameters},  // INITIALIZE DEVICE PARAMETERS
    {0x94, Addressing::k28, &AtaDisk::do_nothing},          // STANDBY IMMEDIATE (old code)
    {0x95, Addressing::k28, &AtaDisk::do_nothing},          // IDLE IMMEDIATE (old code)
    {0x96, Addressing::k28, &AtaDisk::do_nothing},          // STANDBY (old code)
    {0x97, Addressing::k28, &AtaDisk::do_nothing},          // IDLE (old code)
    {0x98, Addressing::k28, &AtaDisk::do_check_power},      // CHECK POWER MODE (old code)
    {0x99, Addressing::k28, &AtaDisk::do_nothing},          // SLEEP (old code)
    {0xA0, Addressing::k28, &AtaDisk::do_packet},           // PACKET
    {0xA1, Addressing::k28, &AtaDisk::do_packet},           // IDENTIFY PACKET DEVICE
    {0xC4, Addressing::k28, &AtaDisk::do_read_multiple},    // READ MULTIPLE
    {0xC5, Addressing::k28, &AtaDisk::do_write_multiple},   // WRITE MULTIPLE
    {0xC6, Addressing::k28, &AtaDisk::do_set_multiple},     // SET MULTIPLE MODE
    {0xC8, Addressing::k28, &AtaDisk::do_read_dma},         // READ DMA
    {0xC9, Addressing::k28, &AtaDisk::do_read_dma},         //   (without retries, obsolete)
    {0xCA, Addressing::k28, &AtaDisk::do_write_dma},        // WRITE DMA
    {0xCB, Addressing::k28, &AtaDisk::do_write_dma},        //   (without retries, obsolete)
    {0xE0, Addressing::k28, &AtaDisk::do_nothing},          // STANDBY IMMEDIATE
    {0xE1, Addressing::k28, &AtaDisk::do_nothing},          // IDLE IMMEDIATE
    {0xE2, Addressing::k28, &AtaDisk::do_nothing},          // STANDBY
    {0xE3, Addressing::k28, &AtaDisk::do_nothing},          // IDLE
    {0xE5, Addressing::k28, &AtaDisk::do_check_power},      // CHECK POWER MODE
    {0xE6, Addressing::k28, &AtaDisk::do_nothing},          // SLEEP
    {0xE7, Addressing::k28, &AtaDisk::do_flush},            // FLUSH CACHE
    {0xEA, Addressing::k48, &AtaDisk::do_flush},            // FLUSH CACHE EXT
    {0xEC, Addressing::k28, &AtaDisk::do_identify},         // IDENTIFY DEVICE
    {0xEF, Addressing::k28, &AtaDisk::do_set_features},     // SET FEATURES
    {0xF8, Addressing::k28, &AtaDisk::do_native_max},       // READ NATIVE MAX ADDRESS
};

const AtaDisk::Command* AtaDisk::find(u8 opcode) {
    const auto row = std::lower_bound(std::begin(kCommands), std::end(kCommands), opcode,
                                      [](const Command& c, u8 code) { return c.opcode < code; });
    return row != std::end(kCommands) && row->opcode == opcode ? row : nullptr;
}

AtaDisk::AtaDisk(std::unique_ptr<BlockDevice> image, std::string serial)
    : image_(std::move(image)), serial_(std::move(serial)), sectors_(image_->size() / kSector) {
    const u64 cylinders = std::clamp<u64>(sectors_ / (16 * 63), 1, 16383);
    default_geometry_ = {static_cast<u16>(cylinders), 16, 63};
}

void AtaDisk::execute(u8 opcode) {
    phase_ = Phase::kNone;
    if (opcode >= 0x10 && opcode <= 0x1F) return do_nothing(Addressing::k28);  // RECALIBRATE
    const Command* command = find(opcode);
    if (!command) {
        // NOP (00h) is defined to end with ABRT, like anything unknown (6.23).
        if (opcode) log::write(log::Item::kUnimp, "ata: command %02xh\n", opcode);
        return abort();
    }
    (this->*command->run)(command->addressing);
}

void AtaDisk::set_signature() {
    // Volume 2, 9.12: signature of a device without the PACKET feature set.
    now_ = {.feature = 0, .count = 1, .low = 1, .mid = 0, .high = 0};
    previous_ = {};
}

void AtaDisk::power_on() {
    phase_ = Phase::kNone;
    heads_ = default_geometry_.heads;
    sectors_per_track_ = default_geometry_.sectors;
    multiple_ = kMaxMultiple;
    multiword_mode_ = 0;
    ultra_mode_ = 0;
    write_cache_ = look_ahead_ = true;
}

// --- addresses
// ------------------------------------------------------------------------------------

bool AtaDisk::take_extent(Addressing addressing) {
    addressing_ = addressing;
    const u64 low24 = now_.low | u32{now_.mid} << 8 | u32{now_.high} << 16;
    bool valid = true;
    if (addressing == Addressing::k48) {
        lba_ =
            low24 | u64{previous_.low} << 24 | u64{previous_.mid} << 32 | u64{previous_.high} << 40;
        left_ = now_.count | u32{previous_.count} << 8;
        if (!left_) left_ = 65536;
    } else {
        left_ = now_.count ? now_.count : 256;
        if (device_ & ata::kDevLba) {
            lba_ = low24 | u64{device_ & 0xFu} << 24;
        } else {
            const u32 cylinder = now_.mid | u32{now_.high} << 8, head = device_ & 0xF;
            valid = now_.low >= 1 && now_.low <= sectors_per_track_ && head < heads_;
            lba_ = (u64{cylinder} * heads_ + head) * sectors_per_track_ + now_.low - 1;
        }
    }
    if (valid && lba_ < sectors_ && left_ <= sectors_ - lba_) return true;
    end_with(ata::kIdNotFound);
    return false;
}

void AtaDisk::set_lba_registers(u64 lba, Addressing addressing) {
    now_.low = static_cast<u8>(lba);
    now_.mid = static_cast<u8>(lba >> 8);
    now_.high = static_cast<u8>(lba >> 16);
    if (addressing == Addressing::k48) {
        previous_.low = static_cast<u8>(lba >> 24);
        previous_.mid = static_cast<u8>(lba >> 32);
        previous_.high = static_cast<u8>(lba >> 40);
    } else {
        device_ = static_cast<u8>((device_ & 0xF0) | (lba >> 24 & 0xF));
    }
}

void AtaDisk::report_extent() {
    if (addressing_ == Addressing::k48 || (device_ & ata::kDevLba)) {
        set_lba_registers(lba_, addressing_);
    } else {
        const u64 track = lba_ / sectors_per_track_, cylinder = track / heads_;
        now_.low = static_cast<u8>(lba_ % sectors_per_track_ + 1);
        now_.mid = static_cast<u8>(cylinder);
        now_.high = static_cast<u8>(cylinder >> 8);
        device_ = static_cast<u8>((device_ & 0xF0) | (track % heads_));
    }
    now_.count = static_cast<u8>(left_);
    if (addressing_ == Addressing::k48) previous_.count = static_cast<u8>(left_ >> 8);
}

void AtaDisk::fail_medium() {
    phase_ = Phase::kNone;
    report_extent();
    end_with(ata::kUncorrectable);
}

// --- PIO (volume 2, 9.7 and 9.8)
// ------------------------------------------------------------------

void AtaDisk::read_blocks(Addressing addressing, unsigned block) {
    if (!take_extent(addressing)) return;
    block_ = block;
    next_read_block();
}

void AtaDisk::next_read_block() {
    in_flight_ = std::min(block_, left_);
    const std::span<u8> part(buffer_.data(), in_flight_ * kSector);
    if (auto r = image_->read(lba_ * kSector, part); !r) {
        log::warn("%s", r.error().message.c_str());
        return fail_medium();
    }
    phase_ = Phase::kReadBlock;
    start_in(part.size());
    raise_intrq();
}

void AtaDisk::write_blocks(Addressing addressing, unsigned block) {
    if (!take_extent(addressing)) return;
    if (image_->read_only()) return abort();
    block_ = block;
    next_write_block();  // the first block is asked for without an interrupt
}

void AtaDisk::next_write_block() {
    in_flight_ = std::min(block_, left_);
    phase_ = Phase::kWriteBlock;
    start_out(in_flight_ * kSector);
}

void AtaDisk::block_done() {
    const Phase phase = phase_;
    phase_ = Phase::kNone;
    if (phase == Phase::kRegisterData) {
        set_status(ata::kIdle);
        return;
    }
    if (phase == Phase::kWriteBlock) {
        const std::span<const u8> part(buffer_.data(), in_flight_ * kSector);
        if (auto r = image_->write(lba_ * kSector, part); !r) {
            log::warn("%s", r.error().message.c_str());
            return fail_medium();
        }
    }
    lba_ += in_flight_;
    left_ -= in_flight_;
    report_extent();
    if (phase == Phase::kReadBlock) {
        if (left_) return next_read_block();
        set_status(ata::kIdle);  // the interrupt of the last block was the last one
    } else {
        if (!left_) return complete();
        next_write_block();
        raise_intrq();
    }
}

void AtaDisk::do_read(Addressing a) { read_blocks(a, 1); }
void AtaDisk::do_write(Addressing a) { write_blocks(a, 1); }

void AtaDisk::do_read_multiple(Addressing a) {
    if (!multiple_) return abort();
    read_blocks(a, multiple_);
}

void AtaDisk::do_write_multiple(Addressing a) {
    if (!multiple_) return abort();
    write_blocks(a, multiple_);
}

// --- DMA
// ------------------------------------------------------------------------------------------

void AtaDisk::do_read_dma(Addressing a) {
    if (!take_extent(a)) return;
    dma_offset_ = lba_ * kSector;
    start_dma(true, u64{left_} * kSector);
}

void AtaDisk::do_write_dma(Addressing a) {
    if (!take_extent(a)) return;
    if (image_->read_only()) return abort();
    dma_offset_ = lba_ * kSector;
    start_dma(false, u64{left_} * kSector);
}

bool AtaDisk::dma_read_medium(std::span<u8> out) {
    if (auto r = image_->read(dma_offset_, out); !r) {
        log::warn("%s", r.error().message.c_str());
        fail_medium();
        return false;
    }
    dma_offset_ += out.size();
    return true;
}

bool AtaDisk::dma_write_medium(std::span<const u8> in) {
    if (auto r = image_->write(dma_offset_, in); !r) {
        log::warn("%s", r.error().message.c_str());
        fail_medium();
        return false;
    }
    dma_offset_ += in.size();
    return true;
}

void AtaDisk::dma_complete() {
    lba_ += left_;
    left_ = 0;
    report_extent();
    complete();
}

// --- without data
// ---------------------------------------------------------------------------------

void AtaDisk::do_nothing(Addressing) { complete(); }

void AtaDisk::do_verify(Addressing a) {
    if (!take_extent(a)) return;
    lba_ += left_;
    left_ = 0;
    report_extent();
    complete();
}

void AtaDisk::do_seek(Addressing a) {
    now_.count = 1;
    if (take_extent(a)) complete();
}

void AtaDisk::do_flush(Addressing) {
    if (auto r = image_->flush(); !r) {
        log::warn("%s", r.error().message.c_str());
        return abort();
    }
    complete();
}

void AtaDisk::do_check_power(Addressing) {
    now_.count = 0xFF;  // active or idle (6.7)
    complete();
}

void AtaDisk::do_set_multiple(Addressing) {
    const u8 count = now_.count;
    if (count > kMaxMultiple || (count & (count - 1))) return abort();
    multiple_ = count;  // 0 switches READ/WRITE MULTIPLE off
    complete();
}

void AtaDisk::do_init_parameters(Addressing) {
    if (!now_.count) return abort();
    heads_ = static_cast<u8>((device_ & 0xF) + 1);
    sectors_per_track_ = now_.count;
    complete();
}

void AtaDisk::do_native_max(Addressing a) {
    const u64 limit = a == Addressing::k48 ? sectors_ : std::min(sectors_, kMaxLba28);
    set_lba_registers(limit - 1, a);
    complete();
}

void AtaDisk::do_packet(Addressing) {
    // 6.16: a device without the PACKET feature set aborts and shows its signature.
    set_signature();
    abort();
}

void AtaDisk::do_identify(Addressing) {
    IdentifyState state{.sectors = sectors_,
                        .default_cylinders = default_geometry_.cylinders,
                        .heads = heads_,
                        .sectors_per_track = sectors_per_track_,
                        .multiple = multiple_,
                        .max_multiple = kMaxMultiple,
                        .multiword_mode = multiword_mode_,
                        .ultra_mode = ultra_mode_,
                        .write_cache = write_cache_,
                        .look_ahead = look_ahead_,
                        .serial = serial_};
    fill_identify_device(state, std::span<u8, 512>(buffer_.data(), 512));
    phase_ = Phase::kRegisterData;
    start_in(512);
    raise_intrq();
}

void AtaDisk::do_set_features(Addressing) {
    switch (now_.feature) {
        case 0x02: write_cache_ = true; break;
        case 0x82: write_cache_ = false; break;
        case 0xAA: look_ahead_ = true; break;
        case 0x55: look_ahead_ = false; break;
        case 0x66:         // keep settings over SRST: accepted, power_on() decides
        case 0xCC: break;  // revert to defaults at SRST
        case 0x03:
            if (!decode_transfer_mode(now_.count, multiword_mode_, ultra_mode_)) return abort();
            break;
        default: return abort();
    }
    complete();
}

}  // namespace rm::platform
