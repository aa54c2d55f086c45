#include "jit/host/x64/vectors.h"

#include "jit/host/x64/host_vectors.h"

namespace rm::jit::x64 {

namespace {

using namespace Xbyak;

class VectorEmitter {
public:
    VectorEmitter(Emitter& e, const VectorForm& form) : e_(e), f_(form) {}

    void run() {
        if (to_gpr()) return emit_to_gpr();
        if (f_.kind == VectorForm::kStringIndex) e_.before_write(cpu::kRcx);
        with_source([&](const Operand& s) { emit_host_vector(e_, f_, s, e_.r12, e_.r12); });
        if (f_.flags != ir::kNoValue) keep_flags();
    }

private:
    bool to_gpr() const { return f_.kind >= VectorForm::kToGpr && f_.kind <= VectorForm::kCrc32; }
    bool store() const {
        return f_.kind >= VectorForm::kStore && f_.kind <= VectorForm::kStoreLane;
    }

    template <class F>
    void with_source(F&& f) {
        const VectorSource& s = f_.source;
        switch (s.kind) {
            case VectorSource::kMemory: {
                const unsigned alignment = alignment_bits(s.size, s.align);
                return f(Emitter::sized(e_.checked(s.address, 1u << s.size, store(), alignment),
                                        s.size));
            }
            case VectorSource::kGpr: {
                const int host = Emitter::host_of(s.n >> 3);
                if (host < 0) return f(Emitter::sized(e_.gpr_home(s.n >> 3), s.size));
                return f(Emitter::sized_reg(Reg64(host), s.size));
            }
            case VectorSource::kXmm: return f(Xmm(s.n));
            case VectorSource::kCount: return f(e_.xmm0);  // not looked at
        }
    }

    void emit_to_gpr() {
        const unsigned guest = f_.dst >> 3;
        const int host = Emitter::host_of(guest);
        e_.before_write(guest);
        const Reg64 d = host < 0 ? e_.r12 : Reg64(host);
        with_source([&](const Operand& s) {
            // CRC32 reads its destination too.
            if (host < 0 && f_.kind == VectorForm::kCrc32)
                e_.mov(e_.r12d, Emitter::sized(e_.gpr_home(guest), 2));
            emit_host_vector(e_, f_, s, d, e_.r12);
        });
        if (host < 0) e_.mov(Emitter::sized(e_.gpr_home(guest), 3), d);
    }

    // The operands may change before anybody asks, so the flags are stored.
    void keep_flags() {
        if (!e_.ir()[f_.flags].writes) return e_.clobber_flags();
        const RegExp cc = e_.state(&e_.cpu().cc);
        e_.mov(e_.r12, e_.rax);
        e_.lahf();
        e_.seto(e_.al);
        e_.mov(e_.word[cc], e_.ax);
        e_.mov(e_.rax, e_.r12);
        e_.flags_in_memory();
        e_.set_host_flags(cpu::kCcAll);
    }

    Emitter& e_;
    const VectorForm& f_;
};

}  // namespace

bool emit_vector(Emitter& e, const ir::Block& block, ir::Value first, ir::Value end) {
    const std::optional<VectorForm> form = vector_form(block, first, end);
    if (!form) return false;
    VectorEmitter(e, *form).run();
    return true;
}

}  // namespace rm::jit::x64
