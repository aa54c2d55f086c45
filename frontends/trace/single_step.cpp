// Lines of -singlestep. See single_step.h; format: docs/trace.md.
#include "frontends/trace/single_step.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace rm::frontends::trace {

namespace {

constexpr unsigned kMaxInsn = 15;

LinearAddr linear_of(const cpu::Cpu& cpu, u64 rip) {
    return cpu.mode.code64() ? rip : (cpu.seg[cpu::kCs].base + rip) & 0xFFFFFFFF;
}

// Copies what is reachable without a page walk; returns the number of bytes.
unsigned code_bytes(const cpu::Cpu& cpu, LinearAddr at, unsigned length, u8* out) {
    unsigned done = 0;
    length = std::min(length, kMaxInsn);
    while (done < length) {
        const LinearAddr here = at + done;
        const u8* host = cpu.mmu.fetch_hit(here);
        if (!host) break;
        const unsigned on_page = static_cast<unsigned>(kPageSize - (here & (kPageSize - 1)));
        const unsigned n = std::min(length - done, on_page);
        std::memcpy(out + done, host, n);
        done += n;
    }
    return done;
}

}  // namespace

SingleStep::SingleStep(unsigned level, std::shared_ptr<OutputFile> file, Format format,
                       const Symbols& symbols)
    : level_(level), file_(std::move(file)), line_(format, symbols), disassembler_(symbols) {}

void SingleStep::before_insn(cpu::Cpu& cpu, const cpu::Insn& insn) {
    if (file_->failed() || !wants(cpu)) return;
    std::array<u8, kMaxInsn> bytes;
    Step step{.vcpu = cpu.config.index,
              .tick = cpu.ticks(),
              .ns = cpu.clock.now_ns(),
              .rip = cpu.rip_of(insn),
              .cpl = cpu.cpl,
              .code_size = static_cast<u8>(1u << cpu.mode.code_size_log2())};
    step.linear = linear_of(cpu, step.rip);
    step.bytes = std::span(bytes).first(code_bytes(cpu, step.linear, insn.length, bytes.data()));
    file_->line(step_line(step));
}

std::string_view SingleStep::step_line(const Step& step) {
    line_.begin("insn", step.vcpu, level_, step.tick, step.ns);
    line_.number("cpl", step.cpl);
    line_.code("rip", step.rip, step.linear, level_);
    if (!step.bytes.empty()) {
        line_.bytes("bytes", step.bytes);
        line_.quoted(
            "insn",
            disassembler_.disassemble(step.bytes, step.code_size, step.linear, level_).text);
    }
    return line_.end();
}

}  // namespace rm::frontends::trace
