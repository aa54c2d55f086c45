// Rows of cpu/instructions/sse_move.def, byte-masked stores, and the whole of mmx_sse_rows().
// Source: SDM 2 for each instruction.
#include <vector>

#include "cpu/semantics/mask_move.h"
#include "cpu/semantics/vector_expand.h"

namespace rm::cpu {

namespace semantics {

Step store_selected(Cpu& cpu, const Insn& i, const u8* bytes, u32 selected, unsigned size) {
    ValueEngine<kM, kN> e{cpu};
    Insn address = i;
    address.base = kRdi;
    address.index = kZeroReg;
    address.scale = 0;
    address.disp = 0;
    LinearAddr va;
    RM_TRY(size == 16 ? e.linear_of<16, memory::Access::kWrite>(address, va)
                      : e.linear_of<8, memory::Access::kWrite>(address, va));
    if (!cpu.mmu.probe(cpu.mmu.data_class(), va, size, memory::Access::kWrite)) {
        (void)cpu.access_failed(static_cast<SegReg>(i.seg));
        return Step::kFault;
    }
    for (unsigned n = 0; n < size; ++n)
        if (((selected >> n) & 1) && !cpu.mmu.store(va + n, bytes[n])) {
            (void)cpu.access_failed(static_cast<SegReg>(i.seg));
            return Step::kFault;
        }
    return Step::kNext;
}

}  // namespace semantics

using namespace semantics;

std::span<const Row> sse_move_family() {
    static constexpr Row kRows[] = {
#include "cpu/instructions/sse_move.def"
    };
    return kRows;
}

std::span<const Row> mmx_sse_rows() {
    static const std::vector<Row> kAll = [] {
        std::vector<Row> all;
        for (auto family : {mmx_family(), sse_int_family(), sse_move_family(), sse_fp_family(),
                            sse4_family(), aes_family()})
            all.insert(all.end(), family.begin(), family.end());
        return all;
    }();
    return kAll;
}

}  // namespace rm::cpu
