// Finds and checks firmware files. See firmware_images.h.
// Source of the ROM size rule: PCI Local Bus 2.2, 6.2.5.2 (expansion ROM base address register).
#include "platform/firmware/firmware_images.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "platform/firmware/host_file.h"

namespace rm::platform {
namespace {

std::string variable(const char* name, const char* otherwise) {
    const char* value = std::getenv(name);
    return value && *value ? value : otherwise;
}

void add_list(std::vector<std::string>& out, const std::string& list) {
    for (size_t start = 0; start <= list.size();) {
        const size_t end = std::min(list.find(':', start), list.size());
        const std::string folder = list.substr(start, end - start);
        if (!folder.empty())
            for (const char* sub : {"", "/seabios", "/qemu"}) out.push_back(folder + sub);
        start = end + 1;
    }
}

}  // namespace

std::vector<std::string> firmware_folders() {
    std::vector<std::string> out;
    add_list(out, variable("RINGMINUS_DATA", ""));
    const std::string home = variable("HOME", "");
    add_list(out, variable("XDG_DATA_HOME", home.empty() ? "" : (home + "/.local/share").c_str()));
    add_list(out, variable("XDG_DATA_DIRS", "/usr/local/share:/usr/share"));
    return out;
}

Result<std::string> find_firmware(const std::string& name, const std::string& override_path) {
    const std::string wanted = override_path.empty() ? name : override_path;
    if (!override_path.empty() && ::access(wanted.c_str(), F_OK) == 0) return wanted;
    if (wanted.find('/') == std::string::npos)
        for (const std::string& folder : firmware_folders())
            if (const std::string path = folder + "/" + wanted; ::access(path.c_str(), R_OK) == 0)
                return path;
    if (!override_path.empty())
        return fail("firmware '%s': no such file; give -bios an existing file", wanted.c_str());
    return fail(
        "firmware '%s' was not found; install the package `seabios`, or set RINGMINUS_DATA "
        "to the folder that holds it",
        wanted.c_str());
}

Result<std::vector<u8>> read_system_bios(const std::string& override_path) {
    constexpr u64 kUnit = 64 << 10, kMax = 16 << 20;
    const auto path = find_firmware(kSystemBios, override_path);
    if (!path) return std::unexpected(path.error());
    auto bytes = read_host_file("firmware", *path, kMax);
    if (!bytes) return std::unexpected(bytes.error());
    if (bytes->size() % kUnit)
        return fail("firmware '%s': %zu bytes are not a multiple of 64 KiB", path->c_str(),
                    bytes->size());
    return bytes;
}

Result<std::vector<u8>> read_vga_bios(const std::string& override_path) {
    constexpr u64 kMax = 256 << 10;
    const auto path = find_firmware(kVgaBios, override_path);
    if (!path) return std::unexpected(path.error());
    auto bytes = read_host_file("firmware", *path, kMax);
    if (!bytes) return std::unexpected(bytes.error());
    if (bytes->size() < 3 || (*bytes)[0] != 0x55 || (*bytes)[1] != 0xAA)
        return fail("firmware '%s': not an option ROM (55 AA missing)", path->c_str());
    bytes->resize(std::bit_ceil(std::max<size_t>(bytes->size(), kPageSize)));
    return bytes;
}

}  // namespace rm::platform
