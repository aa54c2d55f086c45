#include "jit/host/x64/repeat.h"

#include <string_view>

#include "cpu/instructions/row.h"
#include "cpu/interpreter/block_cache.h"
#include "cpu/state/flags.h"
#include "jit/host/x64/thunks.h"

namespace rm::jit::x64 {

using namespace Xbyak;
using cpu::Insn;

std::optional<Repeat> repeat_of(const Insn& i, cpu::Mode mode) {
    if (!(i.prefixes & (cpu::kPrefixRep | cpu::kPrefixRepne)) || !mode.code64() ||
        i.addr != cpu::AddrMode::k64 || i.seg == cpu::kFs || i.seg == cpu::kGs)
        return {};
    const std::size_t begin = cpu::string_rows_at();
    if (i.row < begin || i.row - begin >= cpu::string_rows().size()) return {};
    const cpu::Row& row = cpu::instruction_rows()[i.row];
    if (i.fn != row.select(i)) return {};  // it does something else: a fault
    const std::string_view name = row.name;
    const bool moves = name.starts_with("MOVS");
    if (!moves && !name.starts_with("STOS")) return {};
    constexpr std::string_view kSizes = "BWDQ";
    return Repeat{moves, static_cast<unsigned>(kSizes.find(name.back()))};
}

void write_repeat(CodeGenerator& c, const cpu::Cpu& cpu, Repeat repeat) {
    using memory::TlbEntry;
    constexpr int kReturnAddress = 8;
    const auto state = [&](const void* member) { return c.r13 + from_r13(cpu, member); };
    const Address ticks = c.qword[c.rsp + kReturnAddress + Frame::kTicksLeft];
    const int bytes = 1 << repeat.size;
    Label done, refused, on_other_pages;
    c.mov(c.r12d, 1);
    c.test(c.rcx, c.rcx);
    c.jz(done);
    c.cmp(c.rcx, static_cast<u32>(kPageSize) / static_cast<u32>(bytes));
    c.ja(refused);
    c.test(c.dword[state(&cpu.flags_other)], static_cast<u32>(cpu::kFlagDf));
    c.jnz(refused);
    // The instructions of the block before this one have not been counted.
    c.mov(c.r11, ticks);
    c.sub(c.r11, c.rcx);
    c.cmp(c.r11, cpu::BlockCache::kMaxInsns);
    c.jle(refused);
    c.push(c.r10);
    // r11 = host - linear address of the page that all of the operand is on.
    const auto check = [&](const Reg64& first, std::size_t permission) {
        c.lea(c.r12, c.ptr[first + c.rcx * bytes - 1]);
        c.and_(c.r12, -static_cast<int>(kPageSize));
        c.mov(c.r11, first);
        c.shr(c.r11, 7);
        c.and_(c.r11d, (memory::kTlbEntries - 1) * sizeof(TlbEntry));
        c.add(c.r11, c.qword[state(cpu.mmu.data_table())]);
        c.cmp(c.r12, c.qword[c.r11 + permission]);
        c.jne(on_other_pages);
        c.mov(c.r11, c.qword[c.r11 + offsetof(TlbEntry, addend)]);
    };
    check(c.rdi, offsetof(TlbEntry, write));
    c.mov(c.r10, c.r11);
    if (repeat.moves) {
        check(c.rsi, offsetof(TlbEntry, read));
        c.add(c.rsi, c.r11);
    }
    c.add(c.rdi, c.r10);
    c.mov(c.r12, c.rcx);
    if (repeat.size == 1) c.db(0x66);
    c.db(0xF3);
    if (repeat.size == 3) c.db(0x48);  // REX.W
    c.db((repeat.moves ? 0xA4 : 0xAA) | (repeat.size != 0));
    if (repeat.moves) c.sub(c.rsi, c.r11);
    c.sub(c.rdi, c.r10);
    c.pop(c.r10);
    c.L(done);  // r12: the iterations, or one if there are none
    c.dec(c.r12);
    c.sub(ticks, c.r12);
    c.xor_(c.r12d, c.r12d);
    c.ret();
    c.L(on_other_pages);
    c.pop(c.r10);
    c.L(refused);
    c.mov(c.r12d, 1);
    c.ret();
}

}  // namespace rm::jit::x64
