// Block devices in memory: the copy-on-write overlay of `-snapshot`, and a disk of zeros.
// Owns: the changed clusters (64 KiB each, found by number).
#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include "base/bits.h"
#include "platform/backends/block_device.h"

namespace rm::platform {
namespace {

constexpr u64 kCluster = 64 << 10;
using Cluster = std::array<u8, kCluster>;

class MemoryOverlay final : public BlockDevice {
public:
    MemoryOverlay(std::unique_ptr<BlockDevice> base, u64 size)
        : base_(std::move(base)), size_(size) {}

    u64 size() const override { return size_; }
    bool read_only() const override { return false; }
    Result<void> flush() override { return {}; }

    Result<void> read(u64 offset, std::span<u8> out) override {
        if (offset > size_ || out.size() > size_ - offset) return fail("read past the end of disk");
        while (!out.empty()) {
            const u64 inside = offset % kCluster;
            const size_t n = std::min<u64>(out.size(), kCluster - inside);
            const auto found = clusters_.find(offset / kCluster);
            if (found != clusters_.end()) {
                std::memcpy(out.data(), found->second->data() + inside, n);
            } else if (base_) {
                if (auto r = base_->read(offset, out.first(n)); !r) return r;
            } else {
                std::memset(out.data(), 0, n);
            }
            out = out.subspan(n);
            offset += n;
        }
        return {};
    }

    Result<void> write(u64 offset, std::span<const u8> in) override {
        if (offset > size_ || in.size() > size_ - offset) return fail("write past the end of disk");
        while (!in.empty()) {
            const u64 inside = offset % kCluster;
            const size_t n = std::min<u64>(in.size(), kCluster - inside);
            auto cluster = own(offset / kCluster);
            if (!cluster) return std::unexpected(cluster.error());
            std::memcpy((*cluster)->data() + inside, in.data(), n);
            in = in.subspan(n);
            offset += n;
        }
        return {};
    }

private:
    // The cluster's private copy, made on first use.
    Result<Cluster*> own(u64 number) {
        auto& slot = clusters_[number];
        if (slot) return slot.get();
        auto fresh = std::make_unique<Cluster>();
        fresh->fill(0);
        const u64 start = number * kCluster;
        if (base_) {
            const size_t n = std::min(kCluster, size_ - start);
            if (auto r = base_->read(start, std::span(*fresh).first(n)); !r) {
                clusters_.erase(number);
                return std::unexpected(r.error());
            }
        }
        slot = std::move(fresh);
        return slot.get();
    }

    std::unique_ptr<BlockDevice> base_;  // null: zeros
    u64 size_;
    std::unordered_map<u64, std::unique_ptr<Cluster>> clusters_;
};

}  // namespace

std::unique_ptr<BlockDevice> make_memory_overlay(std::unique_ptr<BlockDevice> base) {
    const u64 size = base->size();
    return std::make_unique<MemoryOverlay>(std::move(base), size);
}

std::unique_ptr<BlockDevice> make_memory_disk(u64 size) {
    return std::make_unique<MemoryOverlay>(nullptr, align_up(size, 512));
}

}  // namespace rm::platform
