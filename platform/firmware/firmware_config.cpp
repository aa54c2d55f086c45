// Fills fw_cfg. See firmware_config.h for the sources.
// Assumes: files are little-endian integers or text as SeaBIOS reads them.
#include "platform/firmware/firmware_config.h"

#include "platform/firmware/byte_buffer.h"
#include "roms/boot_rom.h"

namespace rm::platform {
namespace {

// "etc/system-states": bit 7 = supported, low bits = SLP_TYP. Only S0 and S5 exist here.
const std::vector<u8> kSystemStates = {0x80, 0, 0, 0x01, 0x02, 0x80};

std::vector<u8> text_bytes(const std::string& text) { return {text.begin(), text.end()}; }

}  // namespace

void add_firmware_config(FwCfg& fw, const FirmwareConfig& config) {
    constexpr u16 kComPort = 0x3F8;
    fw.add_bytes(FwCfg::kUuid, std::vector<u8>(16));
    fw.add_u64(FwCfg::kRamSize, config.ram.total());
    fw.add_u16(FwCfg::kNoGraphic, config.nographic);
    fw.add_u16(FwCfg::kNbCpus, static_cast<u16>(config.cpus));
    fw.add_u16(FwCfg::kMaxCpus, static_cast<u16>(config.cpus));
    fw.add_u16(FwCfg::kBootMenu, config.boot_menu);
    fw.add_u32(FwCfg::kIrq0Override, 1);
    fw.add_file("etc/e820", e820_file(config.ram));
    fw.add_file("etc/system-states", kSystemStates);
    fw.add_file("etc/boot-fail-wait", ByteBuffer().u32v(~u32{0}).take());  // never reboot by itself
    fw.add_file("etc/show-boot-menu", ByteBuffer().u16v(config.boot_menu).take());
    if (config.nographic) fw.add_file("etc/sercon-port", ByteBuffer().u16v(kComPort).take());
    if (config.msr_feature_control)
        fw.add_file("etc/msr_feature_control",
                    ByteBuffer().u64v(config.msr_feature_control).take());
    if (!config.boot_devices.empty()) {
        std::string order;  // lines, the last one ended by a NUL instead of a newline
        for (const std::string& device : config.boot_devices)
            order += (order.empty() ? "" : "\n") + device;
        std::vector<u8> bytes = text_bytes(order);
        bytes.push_back(0);
        fw.add_file("bootorder", std::move(bytes));
    }
}

void add_kernel(FwCfg& fw, LoadedKernel kernel) {
    const auto rom = roms::boot_rom();
    fw.add_file(BootScript::kRomName, {rom.begin(), rom.end()});
    fw.add_file(BootScript::kFileName, std::move(kernel.script));
    if (!kernel.linux_parts) return;
    LoadedKernel::Linux& linux_image = *kernel.linux_parts;
    fw.add_u32(FwCfg::kSetupAddr, linux_image.setup_address);
    fw.add_u32(FwCfg::kSetupSize, static_cast<u32>(linux_image.setup.size()));
    fw.add_bytes(FwCfg::kSetupData, std::move(linux_image.setup));
    fw.add_u32(FwCfg::kKernelAddr, linux_image.payload_address);
    fw.add_u32(FwCfg::kKernelSize, static_cast<u32>(linux_image.payload.size()));
    fw.add_bytes(FwCfg::kKernelData, std::move(linux_image.payload));
    fw.add_u32(FwCfg::kCmdlineAddr, linux_image.cmdline_address);
    fw.add_u32(FwCfg::kCmdlineSize, static_cast<u32>(linux_image.cmdline.size() + 1));
    fw.add_string(FwCfg::kCmdlineData, linux_image.cmdline);
    if (linux_image.initrd.empty()) return;
    fw.add_u32(FwCfg::kInitrdAddr, linux_image.initrd_address);
    fw.add_u32(FwCfg::kInitrdSize, static_cast<u32>(linux_image.initrd.size()));
    fw.add_bytes(FwCfg::kInitrdData, std::move(linux_image.initrd));
}

}  // namespace rm::platform
