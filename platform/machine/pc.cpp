// Building a PC from its configuration: checks values, opens images, fills CMOS and fw_cfg.
// Assumes: every error here is the user's to read: one line, naming the option or the file.
#include "platform/machine/pc.h"

#include <algorithm>
#include <cstring>

#include "platform/acpi/smbios.h"
#include "platform/firmware/firmware_config.h"
#include "platform/firmware/firmware_images.h"
#include "platform/machine/board.h"
#include "platform/machine/cmos_layout.h"

namespace rm::platform {
namespace {

constexpr u64 kIsaBiosBytes = 128 << 10;
constexpr const char* kDriveNames[4] = {"hda", "hdb", "hdc", "hdd"};

Result<void> check(const PcConfig& c) {
    if (c.ram_bytes < (1 << 20) || c.ram_bytes % kPageSize)
        return fail("-m: %llu bytes of RAM; at least 1M and whole 4 KiB pages are needed",
                    (unsigned long long)c.ram_bytes);
    if (c.ram_bytes > u64{1} << 38)
        return fail("-m: %llu bytes of RAM are more than the 256G a machine can have",
                    (unsigned long long)c.ram_bytes);
    if (c.cpus < 1 || c.cpus > Scheduler::kMaxProcessors)
        return fail("-smp %u: 1 to %u processors are possible", c.cpus, Scheduler::kMaxProcessors);
    if (c.kernel.empty() && !c.initrd.empty()) return fail("-initrd needs -kernel");
    if (c.kernel.empty() && !c.append.empty()) return fail("-append needs -kernel");
    std::array<bool, 4> used{};
    for (const DriveConfig& drive : c.drives) {
        if (drive.unit >= used.size())
            return fail("-drive index=%u: IDE has positions 0 to 3", drive.unit);
        if (used[drive.unit])
            return fail("-drive: two drives at IDE position %u (%s)", drive.unit,
                        kDriveNames[drive.unit]);
        if (drive.file.empty() && !drive.cdrom)
            return fail("-drive: the disk at IDE position %u has no file", drive.unit);
        used[drive.unit] = true;
    }
    return {};
}

Result<std::unique_ptr<memory::Ram>> block_of(const std::vector<u8>& bytes, u64 size) {
    auto block = memory::Ram::create(size);
    if (!block) return block;
    std::memset((*block)->host(), 0xFF, size - bytes.size());
    std::memcpy((*block)->host() + size - bytes.size(), bytes.data(), bytes.size());
    return block;
}

Result<BoardMemory> make_memory(const PcConfig& config) {
    BoardMemory out;
    const auto take = [](std::unique_ptr<memory::Ram>& place,
                         Result<std::unique_ptr<memory::Ram>> block) {
        if (block) place = std::move(*block);
        return block ? Result<void>{} : std::unexpected(block.error());
    };
    const auto bios = read_system_bios(config.bios);
    if (!bios) return std::unexpected(bios.error());
    out.bios_bytes = bios->size();
    Result<void> ok = take(out.ram, memory::Ram::create(config.ram_bytes));
    if (ok) ok = take(out.bios, block_of(*bios, std::max<u64>(bios->size(), kIsaBiosBytes)));
    if (ok && config.vga) {
        const auto rom = read_vga_bios(config.vga_bios);
        if (!rom) return std::unexpected(rom.error());
        ok = take(out.vga_bios, block_of(*rom, rom->size()));
        if (ok) ok = take(out.vram, memory::Ram::create(Vga::kVramBytes));
    }
    if (!ok) return std::unexpected(ok.error());
    return out;
}

struct OpenDrive {
    const DriveConfig* config;
    std::unique_ptr<BlockDevice> image;  // null: empty CD-ROM drive
};

Result<std::vector<OpenDrive>> open_drives(const PcConfig& config) {
    std::vector<OpenDrive> out;
    for (const DriveConfig& drive : config.drives) {
        out.push_back({&drive, nullptr});
        if (drive.file.empty()) continue;
        auto image = open_raw_image(
            drive.file, {.read_only = drive.read_only || drive.cdrom, .snapshot = drive.snapshot});
        if (!image) return std::unexpected(image.error());
        if (drive.cdrom)
            if (auto ok = check_cd_image(drive.file, **image); !ok)
                return std::unexpected(ok.error());
        out.back().image = std::make_unique<ObservedDisk>(std::move(*image),
                                                          kDriveNames[drive.unit], config.observer);
    }
    return out;
}

std::string serial_number(unsigned unit) { return "RM0000" + std::to_string(unit + 1); }

// How much of COM1-COM4 exists, one bit each.
unsigned com_ports(const PcConfig& config) {
    unsigned out = 0;
    for (unsigned i = 0; i < config.serials.size(); ++i)
        out |= unsigned{config.serials[i].present} << i;
    return out;
}

}  // namespace

Pc::Pc() = default;
Pc::~Pc() = default;

Result<std::unique_ptr<Pc>> Pc::create(PcConfig config, const MakeCpu& make_cpu) {
    if (auto ok = check(config); !ok) return std::unexpected(ok.error());
    const auto boot = boot_nibbles(config.boot_order);
    if (!boot) return std::unexpected(boot.error());
    const RamLayout layout = RamLayout::of(config.ram_bytes);
    std::optional<LoadedKernel> kernel;
    if (!config.kernel.empty()) {
        auto loaded = load_kernel_files(config.kernel, config.initrd, config.append, layout,
                                        config.linux_entry64);
        if (!loaded) return std::unexpected(loaded.error());
        kernel = std::move(*loaded);
    }
    auto drives = open_drives(config);
    if (!drives) return std::unexpected(drives.error());
    auto blocks = make_memory(config);
    if (!blocks) return std::unexpected(blocks.error());

    CmosConfig cmos{.ram = layout, .cpus = config.cpus, .boot = *boot};
    std::unique_ptr<Pc> pc(new Pc);
    // The drives' descriptions live in `config`, which moves into the board.
    std::vector<DriveConfig> descriptions = config.drives;
    pc->board_ = std::make_unique<Board>(std::move(config), std::move(*blocks), make_cpu);
    Board& board = *pc->board_;
    for (size_t i = 0; i < drives->size(); ++i) {
        const DriveConfig& d = descriptions[i];
        std::unique_ptr<BlockDevice> image = std::move((*drives)[i].image);
        if (image) board.disks.push_back(image.get());
        if (!d.cdrom) cmos.disk_sectors[d.unit] = image->size() / 512;
        std::unique_ptr<IdeDevice> device;
        if (d.cdrom)
            device = std::make_unique<AtapiCdrom>(std::move(image), serial_number(d.unit));
        else
            device = std::make_unique<AtaDisk>(std::move(image), serial_number(d.unit));
        board.ide.attach(d.unit / 2, d.unit % 2, std::move(device));
    }
    board.ide.reset();  // drives show their power-up signatures

    for (const auto& [index, value] : cmos_bytes(cmos)) board.rtc.set_byte(index, value);
    FirmwareConfig firmware{.ram = layout,
                            .cpus = board.config.cpus,
                            .nographic = board.config.nographic,
                            .boot_menu = board.config.boot_menu,
                            .msr_feature_control = board.config.msr_feature_control,
                            .boot_devices = {}};
    if (kernel) firmware.boot_devices = {kKernelBootDevice};
    add_firmware_config(board.fw_cfg, firmware);
    if (kernel) add_kernel(board.fw_cfg, std::move(*kernel));
    add_acpi_files(board.fw_cfg, {.cpus = board.config.cpus,
                                  .com_ports = com_ports(board.config),
                                  .pci_window = static_cast<u32>(layout.below_4g)});
    add_smbios_files(board.fw_cfg, {.cpus = board.config.cpus, .ram = layout});
    return pc;
}

PcExit Pc::run(const std::atomic<bool>& interrupt) { return board_->run(interrupt); }
void Pc::reset() { board_->reset(); }
void Pc::request_reset() { board_->request(Board::Request::kReset); }
void Pc::request_quit() { board_->request(Board::Request::kQuit); }
void Pc::press_power_button() { board_->pm.press_power_button(); }
void Pc::set_host_poll(std::function<void()> poll) {
    board_->scheduler->set_host_poll(std::move(poll));
}

void Pc::key(u16 code, bool pressed) { board_->keyboard.keyboard().key(code, pressed); }
void Pc::move_mouse(int dx, int dy, int wheel, u8 buttons) {
    board_->keyboard.mouse().move(dx, dy, wheel, buttons);
}

void Pc::send_break(unsigned serial) {
    if (serial < board_->com.size() && board_->com[serial]) board_->com[serial]->receive_break();
}

Result<void> Pc::flush_disks() {
    for (BlockDevice* disk : board_->disks)
        if (auto ok = disk->flush(); !ok) return ok;
    return {};
}

Vga* Pc::vga() { return board_->vga.get(); }
EventQueue& Pc::events() { return board_->events; }
memory::PhysicalMemory& Pc::memory() { return board_->memory; }
memory::IoBus& Pc::io() { return board_->io; }
memory::Ram& Pc::ram() { return *board_->blocks.ram; }
Scheduler& Pc::scheduler() { return *board_->scheduler; }
unsigned Pc::cpu_count() const { return static_cast<unsigned>(board_->cpus.size()); }
Processor& Pc::cpu(unsigned index) { return *board_->cpus.at(index); }
LocalApic& Pc::local_apic(unsigned index) { return board_->lapics.at(index); }
const RamLayout& Pc::ram_layout() const { return board_->layout; }

}  // namespace rm::platform
