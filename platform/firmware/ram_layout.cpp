// The fw_cfg file "etc/e820". See ram_layout.h for the source and the split rule.
// Assumes: the firmware merges what it reserves.
#include "platform/firmware/ram_layout.h"

#include "platform/firmware/byte_buffer.h"

namespace rm::platform {

std::vector<u8> e820_file(const RamLayout& layout) {
    ByteBuffer out;
    const auto entry = [&out](u64 base, u64 length) {
        out.u64v(base).u64v(length).u32v(static_cast<u32>(E820Type::kRam));
    };
    entry(0, layout.below_4g);
    if (layout.above_4g) entry(RamLayout::kFourGiB, layout.above_4g);
    return out.take();
}

}  // namespace rm::platform
