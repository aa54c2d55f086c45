// The host's vector instructions: those of jit/host/x64/vectors.def by operation number, and the
// instruction for each VectorForm.
#pragma once
#include <xbyak/xbyak.h>

#include "cpu/semantics/vec.h"
#include "jit/host/x64/vector_form.h"

namespace rm::jit::x64 {

enum class HostFeature : u8 { kSse2, kSse3, kSsse3, kSse4_1, kSse4_2, kAes, kPclmul };
bool host_has(HostFeature f);

struct HostVector {
    using Emit = void (*)(Xbyak::CodeGenerator& c, const Xbyak::Xmm& d, const Xbyak::Operand& s,
                          unsigned imm);
    u8 bytes = 0;            // of a memory source; 0: registers only
    Emit emit = nullptr;     // d = op(d, s), s: XMM register or memory; null: there is no such form
    Emit shift = nullptr;    // d = op(d, imm)
    bool available = false;  // on this host
};
const HostVector& host_vector(cpu::VecOp op);

// Emits the form's one instruction (or two: a 64-bit integer of memory goes through `scratch`).
// source: what form.source says, an Xmm, an Address of that size or a general register of it;
// ignored for counts. dst: the general destination, if there is one; its upper half is cleared.
// String forms use rax, rcx, rdx as the guest's registers of these names. Host flags survive but
// for forms with VectorForm::flags, which set all six.
void emit_host_vector(Xbyak::CodeGenerator& c, const VectorForm& form, const Xbyak::Operand& source,
                      const Xbyak::Reg64& dst, const Xbyak::Reg64& scratch);

}  // namespace rm::jit::x64
