// Operand decoding for exits, and the capture of a guest's surroundings.
#include "vt-emulation/common/instruction.h"

#include <algorithm>

#include "cpu/decode/decoder.h"

namespace rm::vt::common {

u64 memory_offset(const cpu::Cpu& cpu, const cpu::Insn& i) {
    return (cpu.gpr[i.base] + (cpu.gpr[i.index] << i.scale) + i.disp) & address_mask(i);
}

LinearAddr segment_linear(const cpu::Cpu& cpu, cpu::SegReg s, u64 offset) {
    if (cpu.code64()) return offset + (s == cpu::kFs || s == cpu::kGs ? cpu.seg[s].base : 0);
    return (offset + cpu.seg[s].base) & 0xFFFFFFFF;
}

IoAccess decode_io(const cpu::Cpu& cpu, const cpu::Insn& i) {
    IoAccess io;
    io.size = static_cast<u8>(std::min(i.size(), 4u));
    const cpu::PortForm form = cpu::port_form(i);
    io.in = form.in;
    io.string = form.string;
    if (form.string) io.size = form.string_size;
    io.port = static_cast<u16>(cpu.gpr[cpu::kRdx]);
    if (io.string) {
        const u64 mask = address_mask(i);
        const u64 offset = cpu.gpr[io.in ? cpu::kRdi : cpu::kRsi] & mask;
        io.segment = io.in ? u8{cpu::kEs} : i.seg;
        io.linear = segment_linear(cpu, static_cast<cpu::SegReg>(io.segment), offset);
        io.rep = i.prefixes & (cpu::kPrefixRep | cpu::kPrefixRepne);
        if (io.rep) io.count = cpu.gpr[cpu::kRcx] & mask;
    } else if (i.kind(io.in ? 1 : 0) == cpu::OperandKind::kImm) {
        io.immediate = true;
        io.port = static_cast<u8>(i.imm);
    }
    return io;
}

namespace {

// Copies readable bytes at va, at most one page border crossed; devices are not touched.
u8 peek_bytes(const cpu::Cpu& cpu, LinearAddr va, std::array<u8, 15>& out) {
    memory::PhysicalMemory& memory = cpu.memory;
    unsigned done = 0;
    while (done < out.size()) {
        const auto t = memory::probe_walk(memory, cpu.mmu.context(), va + done);
        if (!t) break;
        const memory::PageView view = memory.page(t->machine);
        if (!view.read_host) break;
        const u64 in_page = t->machine & ~kPageMask;
        const unsigned n =
            static_cast<unsigned>(std::min<u64>(out.size() - done, kPageSize - in_page));
        std::copy_n(view.read_host + in_page, n, out.data() + done);
        done += n;
    }
    return static_cast<u8>(done);
}

}  // namespace

void capture_guest(const cpu::Cpu& cpu, ExitRecord& r, bool bytes) {
    r.guest_rip = cpu.current_rip();
    r.guest_linear_rip =
        cpu.code64() ? r.guest_rip : (r.guest_rip + cpu.seg[cpu::kCs].base) & 0xFFFFFFFF;
    r.guest_rsp = cpu.gpr[cpu::kRsp];
    r.guest_rflags = cpu.rflags();
    r.guest_cr0 = cpu.cr0;
    r.guest_cr3 = cpu.cr3;
    r.guest_cpl = cpu.cpl;
    r.code_size = cpu.code64() ? 8 : cpu.seg[cpu::kCs].db() ? 4 : 2;
    if (bytes) r.byte_count = peek_bytes(cpu, r.guest_linear_rip, r.bytes);
}

void fill_head(const cpu::Cpu& cpu, RecordHead& head) {
    head.vcpu = cpu.config.index;
    head.tick = cpu.ticks();
    head.ns = cpu.clock.now_ns();
}

}  // namespace rm::vt::common
