// The run's hash. The order of put() calls below is the definition of the stream (docs/trace.md);
// changing it changes every hash, which is allowed between versions and must be said in the commit.
#include "frontends/trace/run_hash.h"

#include <openssl/evp.h>

#include <cstring>

#include "base/assert.h"
#include "frontends/trace/number_text.h"
#include "memory/physical/physical.h"

namespace rm::frontends::trace {

using namespace vt::common;

namespace {

// First byte of every record in the stream.
enum Tag : u8 {
    kTagDelivery = 1,
    kTagExit = 2,
    kTagEntry = 3,
    kTagEntryFailure = 4,
    kTagOutput = 5,
    kTagProcessor = 6,
    kTagPage = 7
};
constexpr std::size_t kBufferBytes = 64 * 1024;

bool all_zero(const u8* page) {
    for (const u8* at = page; at < page + kPageSize; at += 64) {
        u64 words[8], all = 0;
        std::memcpy(words, at, sizeof words);
        for (const u64 w : words) all |= w;
        if (all) return false;
    }
    return true;
}

}  // namespace

struct RunHash::Impl {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    std::size_t used = 0;
    u8 buffer[kBufferBytes];

    void flush() {
        EVP_DigestUpdate(context, buffer, used);
        used = 0;
    }
    void bytes(const void* data, std::size_t size) {
        if (used + size > kBufferBytes) flush();
        if (size > kBufferBytes) {
            EVP_DigestUpdate(context, data, size);
            return;
        }
        std::memcpy(buffer + used, data, size);
        used += size;
    }
    // Integers as they are, booleans and enumerations as one byte.
    template <class T>
    void put(T value) {
        static_assert(std::is_integral_v<T> || std::is_enum_v<T>);
        bytes(&value, sizeof value);
    }
    template <class... Ts>
    void put_all(Ts... values) {
        (put(values), ...);
    }
    void head(Tag tag, const RecordHead& r) {
        put_all(static_cast<u8>(tag), static_cast<u32>(r.vcpu), static_cast<u8>(r.level), r.tick,
                static_cast<u8>(r.vendor), r.control_block);
    }
    void event(const EventInfo& e) {
        const bool valid = e.valid();
        put_all(valid ? e.info : 0u, valid && e.has_error() ? e.error : 0u,
                valid ? e.instruction_length : 0u);
    }
    void segment(const cpu::Segment& s) { put_all(s.selector, s.attr, s.limit, s.base); }
    void msrs(const cpu::Msrs& m);
    void fpu(const cpu::FpuState& f);
};

RunHash::RunHash() : impl_(std::make_unique<Impl>()) {
    const bool ready = impl_->context && EVP_DigestInit_ex(impl_->context, EVP_sha256(), nullptr);
    RM_ASSERT(ready, "libcrypto gives no SHA-256");
}

RunHash::~RunHash() { EVP_MD_CTX_free(impl_->context); }

void RunHash::on_delivery(const cpu::Cpu& cpu, const cpu::Event& event) {
    delivery(cpu.config.index, cpu.ticks(), cpu.current_rip(), event);
}

void RunHash::delivery(unsigned vcpu, u64 tick, u64 rip, const cpu::Event& e) {
    impl_->put_all(static_cast<u8>(kTagDelivery), static_cast<u32>(vcpu), tick, rip, e.vector,
                   static_cast<u8>(e.type), static_cast<u8>(e.has_error), e.error, e.payload,
                   e.insn_length);
}

void RunHash::on_output(const char* device, std::span<const u8> bytes) {
    const std::string_view name = device;
    impl_->put_all(static_cast<u8>(kTagOutput), static_cast<u32>(name.size()),
                   static_cast<u64>(bytes.size()));
    impl_->bytes(name.data(), name.size());
    impl_->bytes(bytes.data(), bytes.size());
}

void RunHash::add(const ExitRecord& r) {
    impl_->head(kTagExit, r);
    impl_->put_all(r.reason, r.reason_raw, r.guest_rip, r.guest_linear_rip, r.guest_rsp,
                   r.guest_rflags, r.guest_cr0, r.guest_cr3, r.guest_cpl, r.info1, r.info2,
                   r.instruction_info_valid ? r.instruction_info : 0u, r.instruction_length,
                   static_cast<u8>(r.linear_valid), r.linear_valid ? r.guest_linear : u64{0},
                   static_cast<u8>(r.physical_valid), r.physical_valid ? r.guest_physical : u64{0});
    impl_->event(r.interruption);
    impl_->event(r.idt_vectoring);
    impl_->put(r.next_rip);
}

void RunHash::add(const EntryRecord& r) {
    impl_->head(kTagEntry, r);
    impl_->put_all(r.hypervisor_rip, r.guest_rip, r.guest_linear_rip, r.guest_cr3);
    impl_->event(r.injected);
    impl_->put_all(r.address_space_id, r.second_stage);
}

void RunHash::add(const EntryFailure& r) {
    impl_->head(kTagEntryFailure, r);
    impl_->put_all(r.hypervisor_rip, r.instruction_error, r.reason, r.qualification);
}

void RunHash::Impl::msrs(const cpu::Msrs& m) {
    put_all(m.star, m.lstar, m.cstar, m.sfmask, m.kernel_gs_base, m.sysenter_cs, m.sysenter_esp,
            m.sysenter_eip, m.pat, m.tsc_aux, m.debugctl, m.misc_enable, m.mtrr_def_type);
    for (const u64 v : m.mtrr_fixed) put(v);
    for (const u64 v : m.mtrr_base) put(v);
    for (const u64 v : m.mtrr_mask) put(v);
    put_all(m.tsc_adjust, m.tsc_offset);
}

void RunHash::Impl::fpu(const cpu::FpuState& f) {
    for (const auto& x : f.xmm) put_all(x.q[0], x.q[1]);
    for (const auto& r : f.st) put_all(r.mantissa, r.sign_exponent);
    put_all(f.fcw, f.fsw, f.ftw, f.fop, f.fcs, f.fds, f.fip, f.fdp, f.mxcsr);
}

void RunHash::add_processor(unsigned vcpu, u64 tick, const cpu::CpuState& s) {
    impl_->put_all(static_cast<u8>(kTagProcessor), static_cast<u32>(vcpu), tick);
    for (unsigned n = 0; n < 16; ++n) impl_->put(s.gpr[n]);
    impl_->put_all(s.rip, s.rflags());
    for (const cpu::Segment& segment : s.seg) impl_->segment(segment);
    impl_->segment(s.ldtr);
    impl_->segment(s.tr);
    impl_->put_all(s.gdtr.base, s.gdtr.limit, s.idtr.base, s.idtr.limit);
    impl_->put_all(s.cr0, s.cr2, s.cr3, s.cr4, s.efer, s.xcr0);
    for (const u64 v : s.dr) impl_->put(v);
    impl_->put_all(s.dr6, s.dr7);
    for (const u64 v : s.pdpte) impl_->put(v);
    impl_->put_all(s.cpl, static_cast<u8>(s.activity), s.shadow, static_cast<u8>(s.nmi_blocked),
                   static_cast<u8>(s.smm), s.smbase, static_cast<u8>(s.vt_mode), s.vt_tsc_offset);
    impl_->msrs(s.msr);
    impl_->fpu(s.fpu);
}

void RunHash::add_ram(const memory::Ram& ram) {
    // Reading a page that the guest never touched maps the host's page of zeros.
    for (u64 at = 0; at < ram.size(); at += kPageSize) {
        if (all_zero(ram.host() + at)) continue;
        impl_->put_all(static_cast<u8>(kTagPage), at / kPageSize);
        impl_->bytes(ram.host() + at, kPageSize);
    }
}

std::string RunHash::digest() {
    impl_->flush();
    u8 sum[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_DigestFinal_ex(impl_->context, sum, &size);
    std::string out;
    append_bytes(out, {sum, size});
    return out;
}

std::string RunHash::finish(std::span<const cpu::Cpu* const> cpus, const memory::Ram& ram) {
    u64 instructions = 0;
    for (const cpu::Cpu* cpu : cpus) {
        add_processor(cpu->config.index, cpu->ticks(), *cpu);
        instructions += cpu->retired();
    }
    add_ram(ram);
    std::string line = "hash=" + digest() + " insns=";
    append_decimal(line, instructions);
    return line;
}

}  // namespace rm::frontends::trace
