// ATAPI CD/DVD-ROM drive on one IDE unit: the PACKET protocol and the MMC commands of a reader.
// Owns: the medium (BlockDevice of 2048-byte blocks, or none), tray, sense data.
// Assumes: media of up to 4 GiB blocks; a last block shorter than 2048 bytes is completed with
// zeros. One data track, LBA 0 at 00:02:00.
// Source: ATA/ATAPI-7 volume 1 6.24 (PACKET), volume 2 9.10 (packet protocols); MMC-4 chapter 6
// (commands), SPC-3 4.5.3 (sense data). Files: atapi_cdrom (protocol), atapi_commands (replies).
#pragma once
#include <memory>
#include <string>

#include "platform/backends/block_device.h"
#include "platform/storage/ide_device.h"

namespace rm::platform {

class AtapiCdrom final : public IdeDevice {
public:
    // medium may be null: an empty drive.
    AtapiCdrom(std::unique_ptr<BlockDevice> medium, std::string serial);

    bool is_packet_device() const override { return true; }
    // Changes the medium under the guest's hands; it sees a unit attention. Null: ejected.
    void set_medium(std::unique_ptr<BlockDevice> medium);
    bool locked() const { return locked_; }  // the guest forbade removal

    // Sense key, additional code and qualifier of a command's end (SPC-3 table 27, annex D).
    struct Sense {
        u8 key = 0, code = 0, qualifier = 0;
    };

private:
    using Packet = std::array<u8, 12>;
    struct Command;
    static const Command kCommands[];

    // --- protocol ---
    void execute(u8 opcode) override;
    void set_signature() override;
    void power_on() override;
    void block_done() override;
    bool dma_read_medium(std::span<u8> out) override;
    bool dma_write_medium(std::span<const u8>) override { return false; }
    void dma_complete() override { command_passed(); }
    void dma_broken() override;
    void start_packet();
    void run_packet();
    void next_data_block();
    void command_passed();
    void command_failed(Sense sense);
    // Answers with the first `size` bytes of reply_, at most `allocation` of them.
    void reply(size_t size, size_t allocation);
    void start_data(u64 size);
    bool fill(std::span<u8> out);  // next bytes of the reply or of the medium

    // --- commands ---
    u32 blocks() const;
    bool ready() const { return medium_ && !tray_open_; }
    bool is_dvd() const;
    void read_blocks(u64 start, u64 count);
    void test_unit_ready();
    void request_sense();
    void inquiry();
    void start_stop();
    void prevent_removal();
    void read_capacity();
    void read_10();
    void seek();
    void read_toc();
    void get_configuration();
    void get_event_status();
    void read_disc_information();
    void mode_sense_10();
    void read_12();
    void read_dvd_structure();
    void set_speed();
    void mechanism_status();
    void read_cd();
    size_t toc_entries();
    size_t toc_raw();

    std::unique_ptr<BlockDevice> medium_;
    std::string serial_;
    u8 multiword_mode_ = 0, ultra_mode_ = 0;

    enum class Phase : u8 { kNone, kPacket, kData, kIdentify };
    Phase phase_ = Phase::kNone;
    bool use_dma_ = false;
    Packet packet_{};
    std::array<u8, 2048> reply_{};
    bool from_medium_ = false;
    u64 position_ = 0;  // byte in reply_ or on the medium
    u64 left_ = 0;      // bytes of the command still to transfer (PIO)

    Sense sense_;
    Sense attention_;  // pending unit attention; key 0: none
    bool tray_open_ = false;
    bool locked_ = false;
    u8 media_event_ = 0;  // MMC-4 table 132: 2 new media, 3 removed
};

}  // namespace rm::platform
