// The PACKET protocol: command packet in, data blocks out by PIO or DMA, status. Sections as in
// atapi_cdrom.h; the medium's commands are in atapi_commands.cpp.
#include "platform/storage/atapi_cdrom.h"

#include <algorithm>

#include "base/log.h"
#include "platform/storage/ata_identify.h"

namespace rm::platform {
namespace {

// Interrupt reason, in the sector count register (6.24.4).
constexpr u8 kCommandData = 1, kToHost = 2;
constexpr u8 kFeatureDma = 1;
constexpr u64 kBlock = 2048;
constexpr AtapiCdrom::Sense kNewMedium{6, 0x28, 0}, kReadError{3, 0x11, 0};

}  // namespace

AtapiCdrom::AtapiCdrom(std::unique_ptr<BlockDevice> medium, std::string serial)
    : medium_(std::move(medium)), serial_(std::move(serial)) {}

void AtapiCdrom::set_medium(std::unique_ptr<BlockDevice> medium) {
    medium_ = std::move(medium);
    tray_open_ = false;
    media_event_ = medium_ ? 2 : 3;
    if (medium_) attention_ = kNewMedium;
}

void AtapiCdrom::set_signature() {
    // Volume 2, 9.12: signature of a packet device.
    now_ = {.feature = 0, .count = 1, .low = 1, .mid = 0x14, .high = 0xEB};
    previous_ = {};
}

void AtapiCdrom::power_on() {
    phase_ = Phase::kNone;
    sense_ = {};
    locked_ = false;
    multiword_mode_ = ultra_mode_ = 0;
}

void AtapiCdrom::execute(u8 opcode) {
    phase_ = Phase::kNone;
    switch (opcode) {
        case 0x08:  // DEVICE RESET: no interrupt (6.11)
            reset_end();
            return;
        case 0xA0: return start_packet();
        case 0xA1:  // IDENTIFY PACKET DEVICE
            fill_identify_packet(multiword_mode_, ultra_mode_, serial_,
                                 std::span<u8, 512>(buffer_.data(), 512));
            phase_ = Phase::kIdentify;
            start_in(512);
            raise_intrq();
            return;
        case 0xEF:  // SET FEATURES: transfer mode only
            if (now_.feature == 0x03 &&
                decode_transfer_mode(now_.count, multiword_mode_, ultra_mode_))
                return complete();
            return abort();
        case 0xE5:  // CHECK POWER MODE
            now_.count = 0xFF;
            return complete();
        case 0xE0:  // STANDBY IMMEDIATE
        case 0xE1:  // IDLE IMMEDIATE
        case 0xE6:  // SLEEP
            return complete();
        case 0x20:
        case 0xEC:  // READ SECTOR(S), IDENTIFY DEVICE: abort and tell what we are (6.17.5)
            set_signature();
            return abort();
        default: return abort();
    }
}

void AtapiCdrom::start_packet() {
    use_dma_ = now_.feature & kFeatureDma;
    phase_ = Phase::kPacket;
    start_out(packet_.size());
    now_.count = kCommandData;
}

void AtapiCdrom::block_done() {
    switch (phase_) {
        case Phase::kPacket:
            std::copy_n(buffer_.begin(), packet_.size(), packet_.begin());
            phase_ = Phase::kNone;
            run_packet();
            break;
        case Phase::kData: next_data_block(); break;
        case Phase::kIdentify:
        case Phase::kNone:
            phase_ = Phase::kNone;
            set_status(ata::kIdle);
            break;
    }
}

void AtapiCdrom::command_passed() {
    phase_ = Phase::kNone;
    sense_ = {};
    now_.count = kCommandData | kToHost;
    complete();
}

void AtapiCdrom::command_failed(Sense sense) {
    phase_ = Phase::kNone;
    sense_ = sense;
    now_.count = kCommandData | kToHost;
    const bool illegal = sense.key == 5;
    end_with(static_cast<u8>(sense.key << 4 | (illegal ? ata::kAbort : 0)));
}

void AtapiCdrom::dma_broken() { command_failed({0xB, 0, 0}); }

// --- data
// -----------------------------------------------------------------------------------------

void AtapiCdrom::reply(size_t size, size_t allocation) {
    from_medium_ = false;
    position_ = 0;
    start_data(std::min({size, allocation, reply_.size()}));
}

void AtapiCdrom::start_data(u64 size) {
    if (!size) return command_passed();
    phase_ = Phase::kData;
    left_ = size;
    if (use_dma_) return start_dma(true, size);
    // 6.24.5: a byte count limit of zero is an error when the command has data.
    if (!now_.mid && !now_.high) {
        phase_ = Phase::kNone;
        return abort();
    }
    next_data_block();
}

void AtapiCdrom::next_data_block() {
    if (!left_) return command_passed();
    u64 limit = now_.mid | u32{now_.high} << 8;
    // An odd limit stands for the even number below it unless everything fits (6.24.5).
    if (left_ > limit) limit &= ~u64{1};
    const u64 n = std::min({left_, std::max<u64>(limit, 2), u64{0xFFFE}});
    if (!fill(std::span<u8>(buffer_.data(), n))) return;
    left_ -= n;
    now_.mid = static_cast<u8>(n);
    now_.high = static_cast<u8>(n >> 8);
    now_.count = kToHost;
    start_in(n);
    raise_intrq();
}

bool AtapiCdrom::dma_read_medium(std::span<u8> out) { return fill(out); }

bool AtapiCdrom::fill(std::span<u8> out) {
    if (!from_medium_) {
        std::copy_n(reply_.begin() + static_cast<ptrdiff_t>(position_), out.size(), out.begin());
        position_ += out.size();
        return true;
    }
    // set_medium may have come between two blocks.
    const u64 size = medium_ ? medium_->size() : 0;
    const size_t inside = position_ < size ? std::min<u64>(out.size(), size - position_) : 0;
    if (!medium_) {
        command_failed(kReadError);
        return false;
    }
    if (auto r = medium_->read(position_, out.first(inside)); !r) {
        log::warn("%s", r.error().message.c_str());
        command_failed(kReadError);
        return false;
    }
    std::fill(out.begin() + static_cast<ptrdiff_t>(inside), out.end(), u8{0});
    position_ += out.size();
    return true;
}

void AtapiCdrom::read_blocks(u64 start, u64 count) {
    if (start > blocks() || count > blocks() - start) return command_failed({5, 0x21, 0});
    from_medium_ = true;
    position_ = start * kBlock;
    start_data(count * kBlock);
}

}  // namespace rm::platform
