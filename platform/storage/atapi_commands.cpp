// MMC commands of a CD/DVD reader: one row each, replies built in reply_.
// Section numbers: MMC-4 (T10/1545-D) unless named otherwise.
#include <algorithm>
#include <iterator>

#include "base/log.h"
#include "platform/storage/atapi_cdrom.h"

namespace rm::platform {
namespace {

constexpr u64 kBlock = 2048;
constexpr u32 kCdBlocks = 99 * 60 * 75;  // more than any CD holds: then the medium is a DVD
constexpr u32 kMsfOffset = 150;          // LBA 0 is 00:02:00
constexpr u8 kLeadOut = 0xAA, kDataTrack = 0x14;  // ADR 1, control: data, copy prohibited
constexpr u16 kProfileCd = 0x0008, kProfileDvd = 0x0010;

using Sense = AtapiCdrom::Sense;
constexpr Sense kNoMedium{2, 0x3A, 0}, kNoMediumTrayOpen{2, 0x3A, 2};
constexpr Sense kInvalidCommand{5, 0x20, 0}, kInvalidField{5, 0x24, 0}, kOutOfRange{5, 0x21, 0};
constexpr Sense kSavingNotSupported{5, 0x39, 0}, kRemovalPrevented{5, 0x53, 2};
constexpr Sense kIncompatibleMedium{5, 0x30, 2};

u16 be16(const u8* p) { return static_cast<u16>(p[0] << 8 | p[1]); }
u32 be32(const u8* p) { return u32{be16(p)} << 16 | be16(p + 2); }
void put16(u8* p, u32 v) {
    p[0] = static_cast<u8>(v >> 8);
    p[1] = static_cast<u8>(v);
}
void put32(u8* p, u32 v) {
    put16(p, v >> 16);
    put16(p + 2, v);
}
void put_msf(u8* p, u32 lba) {
    const u32 frames = lba + kMsfOffset;
    p[0] = 0;
    p[1] = static_cast<u8>(frames / (60 * 75));
    p[2] = static_cast<u8>(frames / 75 % 60);
    p[3] = static_cast<u8>(frames % 75);
}

enum Flags : u8 {
    kMedium = 1,     // NOT READY without a medium
    kAttention = 2,  // runs in spite of a pending unit attention (SPC-3 5.9.7, MMC-4 4.1.6)
};

}  // namespace

// Table 252 of MMC-4, the part a read-only drive has.
struct AtapiCdrom::Command {
    u8 opcode, flags;
    void (AtapiCdrom::*run)();
};

const AtapiCdrom::Command AtapiCdrom::kCommands[] = {
    {0x00, kMedium, &AtapiCdrom::test_unit_ready},
    {0x03, kAttention, &AtapiCdrom::request_sense},
    {0x12, kAttention, &AtapiCdrom::inquiry},
    {0x1B, 0, &AtapiCdrom::start_stop},
    {0x1E, 0, &AtapiCdrom::prevent_removal},
    {0x25, kMedium, &AtapiCdrom::read_capacity},
    {0x28, kMedium, &AtapiCdrom::read_10},
    {0x2B, kMedium, &AtapiCdrom::seek},
    {0x43, kMedium, &AtapiCdrom::read_toc},
    {0x46, kAttention, &AtapiCdrom::get_configuration},
    {0x4A, kAttention, &AtapiCdrom::get_event_status},
    {0x51, kMedium, &AtapiCdrom::read_disc_information},
    {0x5A, 0, &AtapiCdrom::mode_sense_10},
    {0xA8, kMedium, &AtapiCdrom::read_12},
    {0xAD, kMedium, &AtapiCdrom::read_dvd_structure},
    {0xBB, 0, &AtapiCdrom::set_speed},
    {0xBD, 0, &AtapiCdrom::mechanism_status},
    {0xBE, kMedium, &AtapiCdrom::read_cd},
};

void AtapiCdrom::run_packet() {
    const auto row = std::find_if(std::begin(kCommands), std::end(kCommands),
                                  [this](const Command& c) { return c.opcode == packet_[0]; });
    const u8 flags = row == std::end(kCommands) ? 0 : row->flags;
    if (attention_.key && !(flags & kAttention)) {
        const Sense attention = attention_;
        attention_ = {};
        return command_failed(attention);
    }
    if (row == std::end(kCommands)) {
        log::write(log::Item::kUnimp, "atapi: command %02xh\n", packet_[0]);
        return command_failed(kInvalidCommand);
    }
    if ((flags & kMedium) && !ready())
        return command_failed(tray_open_ ? kNoMediumTrayOpen : kNoMedium);
    reply_.fill(0);
    (this->*row->run)();
}

u32 AtapiCdrom::blocks() const {
    if (!medium_) return 0;
    return static_cast<u32>(std::min<u64>((medium_->size() + kBlock - 1) / kBlock, 0xFFFFFFFF));
}

bool AtapiCdrom::is_dvd() const { return blocks() > kCdBlocks; }

void AtapiCdrom::test_unit_ready() { command_passed(); }

void AtapiCdrom::request_sense() {
    Sense sense = sense_;
    if (!sense.key && attention_.key) {
        sense = attention_;
        attention_ = {};
    }
    reply_[0] = 0x70;  // current error, fixed format (SPC-3 4.5.3)
    reply_[2] = sense.key;
    reply_[7] = 10;
    reply_[12] = sense.code;
    reply_[13] = sense.qualifier;
    reply(18, packet_[4]);
}

void AtapiCdrom::inquiry() {
    if ((packet_[1] & 1) || packet_[2]) return command_failed(kInvalidField);
    reply_[0] = 0x05;  // CD/DVD device
    reply_[1] = 0x80;  // removable
    reply_[3] = 0x21;  // ATAPI, response format
    reply_[4] = 31;
    std::copy_n("RINGMIN ", 8, reply_.begin() + 8);
    std::copy_n("DVD-ROM         ", 16, reply_.begin() + 16);
    std::copy_n("1.0 ", 4, reply_.begin() + 32);
    reply(36, packet_[4]);
}

void AtapiCdrom::start_stop() {
    constexpr u8 kStart = 1, kLoadEject = 2;
    if (packet_[4] & kLoadEject) {
        const bool open = !(packet_[4] & kStart);
        if (open && locked_) return command_failed(kRemovalPrevented);
        if (open != tray_open_ && medium_) {
            media_event_ = open ? 3 : 2;
            if (!open) attention_ = {6, 0x28, 0};
        }
        tray_open_ = open;
    }
    command_passed();
}

void AtapiCdrom::prevent_removal() {
    locked_ = packet_[4] & 1;
    command_passed();
}

void AtapiCdrom::read_capacity() {
    put32(&reply_[0], blocks() - 1);
    put32(&reply_[4], kBlock);
    reply(8, 8);
}

void AtapiCdrom::read_10() { read_blocks(be32(&packet_[2]), be16(&packet_[7])); }
void AtapiCdrom::read_12() { read_blocks(be32(&packet_[2]), be32(&packet_[6])); }

void AtapiCdrom::read_cd() {
    // 6.14: user data of mode 1 sectors (or "any type") only; no headers, no raw sectors.
    const u32 count = u32{packet_[6]} << 16 | be16(&packet_[7]);
    const unsigned type = packet_[1] >> 2 & 7;
    if (!count || (packet_[9] & 0xF8) == 0) return command_passed();
    if ((type != 0 && type != 2) || (packet_[9] & 0xFE) != 0x10 || (packet_[10] & 7))
        return command_failed(kInvalidField);
    read_blocks(be32(&packet_[2]), count);
}

void AtapiCdrom::seek() {
    if (be32(&packet_[2]) >= blocks()) return command_failed(kOutOfRange);
    command_passed();
}

void AtapiCdrom::set_speed() { command_passed(); }

// --- READ TOC/PMA/ATIP (6.26)
// ---------------------------------------------------------------------

// Format 0: track 1 and the lead-out. Returns the reply's size, 0 for a bad starting track.
size_t AtapiCdrom::toc_entries() {
    const bool msf = packet_[1] & 2;
    const u8 start = packet_[6];
    if (start > 1 && start != kLeadOut) return 0;
    const auto put_address = [msf](u8* p, u32 lba) { msf ? put_msf(p, lba) : put32(p, lba); };
    u8* p = &reply_[4];
    reply_[2] = reply_[3] = 1;  // first and last track
    if (start <= 1) {
        p[1] = kDataTrack;
        p[2] = 1;
        put_address(p + 4, 0);
        p += 8;
    }
    p[1] = kDataTrack;
    p[2] = kLeadOut;
    put_address(p + 4, blocks());
    p += 8;
    return static_cast<size_t>(p - reply_.data());
}

// Format 2: the Q sub-channel of the lead-in: A0 first track, A1 last track, A2 lead-out, track 1.
size_t AtapiCdrom::toc_raw() {
    reply_[2] = reply_[3] = 1;  // sessions
    u8* p = &reply_[4];
    for (const u8 point : {u8{0xA0}, u8{0xA1}, u8{0xA2}, u8{1}}) {
        p[0] = 1;
        p[1] = kDataTrack;
        p[3] = point;
        if (point == 0xA0 || point == 0xA1)
            p[8] = 1;
        else
            put_msf(p + 7, point == 1 ? 0 : blocks());
        p += 11;
    }
    return static_cast<size_t>(p - reply_.data());
}

void AtapiCdrom::read_toc() {
    // Old drivers put the format into the control byte's upper bits.
    const unsigned format = packet_[2] & 0xF ? packet_[2] & 0xF : packet_[9] >> 6;
    size_t size = 0;
    switch (format) {
        case 0: size = toc_entries(); break;
        case 1:  // one session, its first track
            reply_[2] = reply_[3] = 1;
            reply_[5] = kDataTrack;
            reply_[6] = 1;
            if (packet_[1] & 2) put_msf(&reply_[8], 0);
            size = 12;
            break;
        case 2: size = toc_raw(); break;
        default: break;
    }
    if (!size) return command_failed(kInvalidField);
    put16(&reply_[0], static_cast<u32>(size - 2));
    reply(size, be16(&packet_[7]));
}

// --- configuration and status
// ---------------------------------------------------------------------

void AtapiCdrom::get_configuration() {
    // 5.3: feature code, version/persistent/current, additional length, data.
    const u16 current = !ready() ? u16{0} : is_dvd() ? kProfileDvd : kProfileCd;
    const bool cd = current == kProfileCd, dvd = current == kProfileDvd;
    struct Feature {
        u16 code;
        u8 version;
        bool persistent, current;
        u8 length;
        u8 data[8];
    };
    const Feature features[] = {
        {0x0000, 0, true, true, 8, {0, 0x10, dvd, 0, 0, 0x08, cd, 0}},  // profile list
        {0x0001, 1, true, true, 8, {0, 0, 0, 2, 1, 0, 0, 0}},           // core: ATAPI, DBEvent
        {0x0003, 0, true, true, 4, {0x29, 0, 0, 0}},                    // tray, eject, lock
        {0x0010, 0, false, cd || dvd, 8, {0, 0, 8, 0, 0, 1, 0, 0}},     // random readable, 2048
        {0x001E, 2, false, cd, 4, {0, 0, 0, 0}},                        // CD read
        {0x001F, 0, false, dvd, 0, {}},                                 // DVD read
    };
    const unsigned request = packet_[1] & 3;  // 0 all, 1 current, 2 one
    const u16 start = be16(&packet_[2]);
    size_t size = 8;
    for (const Feature& feature : features) {
        if (feature.code < start || (request == 1 && !feature.current) ||
            (request == 2 && feature.code != start))
            continue;
        u8* p = &reply_[size];
        put16(p, feature.code);
        p[2] = static_cast<u8>(feature.version << 2 | feature.persistent << 1 | feature.current);
        p[3] = feature.length;
        std::copy_n(feature.data, feature.length, p + 4);
        size += 4u + feature.length;
    }
    put32(&reply_[0], static_cast<u32>(size - 4));
    put16(&reply_[6], current);
    reply(size, be16(&packet_[7]));
}

void AtapiCdrom::get_event_status() {
    constexpr u8 kPolled = 1, kMediaClass = 4, kMediaMask = 1 << kMediaClass;
    if (!(packet_[1] & kPolled)) return command_failed(kInvalidField);  // no asynchronous events
    reply_[3] = kMediaMask;                                             // classes we have
    if (!(packet_[4] & kMediaMask)) {
        put16(&reply_[0], 2);
        reply_[2] = 0x80;  // none of the asked classes
        return reply(4, be16(&packet_[7]));
    }
    put16(&reply_[0], 6);
    reply_[2] = kMediaClass;
    reply_[4] = media_event_;
    reply_[5] = static_cast<u8>((ready() ? 2 : 0) | (tray_open_ ? 1 : 0));
    media_event_ = 0;
    reply(8, be16(&packet_[7]));
}

void AtapiCdrom::read_disc_information() {
    if (packet_[1] & 7) return command_failed(kInvalidField);  // standard information only
    put16(&reply_[0], 32);
    reply_[2] = 0x0E;                                   // last session complete, disc complete
    reply_[3] = reply_[4] = reply_[5] = reply_[6] = 1;  // tracks and sessions
    reply_[7] = 0x20;                                   // unrestricted use
    reply(34, be16(&packet_[7]));
}

void AtapiCdrom::mode_sense_10() {
    // 7.2: header of 8 bytes, then the pages asked for; all values are current and fixed.
    struct Page {
        u8 code, length;
        u8 data[20];
    };
    static constexpr Page kPages[] = {
        {0x01, 6, {0x00, 0x05}},                                 // read error recovery: 5 retries
        {0x0E, 14, {0x04, 0, 0, 0, 0, 0x4B, 1, 0xFF, 2, 0xFF}},  // CD audio control
        // 7.3: CD/DVD capabilities: reads CD-R/RW/DVD-ROM, mode 2, multi-session; tray, lock,
        // eject; speed 24x (4234 kB/s), 512 KiB buffer.
        {0x2A, 20, {0x0B, 0, 0x70, 0x00, 0x29, 0, 0x10, 0x8A, 0, 2, 2, 0, 0x10, 0x8A}},
    };
    if (packet_[2] >> 6 == 3) return command_failed(kSavingNotSupported);
    const bool changeable = packet_[2] >> 6 == 1;
    const u8 wanted = packet_[2] & 0x3F;
    size_t size = 8;
    for (const Page& page : kPages) {
        if (wanted != page.code && wanted != 0x3F) continue;
        reply_[size] = page.code;
        reply_[size + 1] = page.length;
        if (!changeable) std::copy_n(page.data, page.length, &reply_[size + 2]);
        size += 2u + page.length;
    }
    if (size == 8) return command_failed(kInvalidField);
    put16(&reply_[0], static_cast<u32>(size - 2));
    reply_[2] = tray_open_ ? 0x71 : !medium_ ? 0x70 : 0x01;  // medium type: data disc
    reply(size, be16(&packet_[7]));
}

void AtapiCdrom::mechanism_status() {
    reply_[1] = tray_open_ ? 0x10 : 0;
    reply_[5] = 1;  // no slot table follows
    reply(8, be16(&packet_[8]));
}

void AtapiCdrom::read_dvd_structure() {
    if (!is_dvd()) return command_failed(kIncompatibleMedium);
    if (packet_[7] != 0 || packet_[6] != 0) return command_failed(kInvalidField);
    // Format 0, physical format information (6.22.3.1): DVD-ROM, one layer, 12 cm.
    constexpr u32 kFirstSector = 0x30000;
    put16(&reply_[0], 2048 + 2);
    reply_[4] = 0x01;
    reply_[5] = 0x0F;
    reply_[6] = 0x01;
    put32(&reply_[8], kFirstSector);
    put32(&reply_[12], kFirstSector + blocks() - 1);
    reply(reply_.size(), be16(&packet_[8]));
}

}  // namespace rm::platform
