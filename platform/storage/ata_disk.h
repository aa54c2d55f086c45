// ATA hard disk on one IDE unit: CHS, LBA28 and LBA48, PIO, multiple and DMA commands.
// Owns: the image (BlockDevice) and the settings a driver makes (geometry, multiple, transfer
// mode). Assumes: 512-byte sectors. PIO commands finish at once; DMA takes virtual time in the
// engine. Source: ATA/ATAPI-7 (T13 1532D) volume 1: 6 (commands), 6.17 (IDENTIFY DEVICE), annex B
// (codes).
#pragma once
#include <memory>
#include <string>

#include "platform/backends/block_device.h"
#include "platform/storage/ide_device.h"

namespace rm::platform {

class AtaDisk final : public IdeDevice {
public:
    // serial: up to 20 characters shown by IDENTIFY, e.g. "RM00001".
    AtaDisk(std::unique_ptr<BlockDevice> image, std::string serial);

    bool is_packet_device() const override { return false; }
    BlockDevice& image() { return *image_; }
    u64 sectors() const { return sectors_; }
    // Default translation, for the CMOS drive table of the firmware.
    struct Geometry {
        u16 cylinders;
        u8 heads, sectors;
    };
    Geometry geometry() const { return default_geometry_; }

private:
    enum class Addressing : u8 { k28, k48 };
    struct Command;
    static const Command kCommands[];
    static const Command* find(u8 opcode);

    void execute(u8 opcode) override;
    void set_signature() override;
    void power_on() override;
    void block_done() override;
    bool dma_read_medium(std::span<u8> out) override;
    bool dma_write_medium(std::span<const u8> in) override;
    void dma_complete() override;

    // Decodes the address and count of the task file and checks them against the medium; ends the
    // command with IDNF and returns false if they do not fit.
    bool take_extent(Addressing addressing);
    void report_extent();  // current LBA back into the task file
    void fail_medium();
    void next_read_block();
    void next_write_block();
    void set_lba_registers(u64 lba, Addressing addressing);

    void do_nothing(Addressing);
    void do_read(Addressing);
    void do_write(Addressing);
    void do_read_multiple(Addressing);
    void do_write_multiple(Addressing);
    void do_read_dma(Addressing);
    void do_write_dma(Addressing);
    void do_verify(Addressing);
    void do_seek(Addressing);
    void do_flush(Addressing);
    void do_identify(Addressing);
    void do_set_features(Addressing);
    void do_set_multiple(Addressing);
    void do_init_parameters(Addressing);
    void do_check_power(Addressing);
    void do_native_max(Addressing);
    void do_packet(Addressing);
    void read_blocks(Addressing addressing, unsigned block);
    void write_blocks(Addressing addressing, unsigned block);

    std::unique_ptr<BlockDevice> image_;
    std::string serial_;
    u64 sectors_;
    Geometry default_geometry_{};

    // Settings.
    u8 heads_ = 16, sectors_per_track_ = 63;
    u8 multiple_ = 16;
    u8 multiword_mode_ = 0, ultra_mode_ = 0;  // one-hot, as in IDENTIFY words 63 and 88
    bool write_cache_ = true, look_ahead_ = true;

    // The command in progress.
    enum class Phase : u8 { kNone, kReadBlock, kWriteBlock, kRegisterData };
    Phase phase_ = Phase::kNone;
    Addressing addressing_ = Addressing::k28;
    u64 lba_ = 0;
    u32 left_ = 0;        // sectors still to transfer
    u32 block_ = 1;       // sectors per DRQ block
    u32 in_flight_ = 0;   // sectors of the present DRQ block
    u64 dma_offset_ = 0;  // bytes into the image
};

}  // namespace rm::platform
