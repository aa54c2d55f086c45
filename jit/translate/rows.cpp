#include "jit/translate/rows.h"

#include <vector>

#include "cpu/instructions/row.h"

namespace rm::jit {

namespace {

std::vector<BuildFn> assemble() {
    using namespace cpu;
    std::vector<BuildFn> all;
    auto add = [&](std::span<const Row> rows, std::span<const BuildFn> builders) {
        for (std::size_t n = 0; n < rows.size(); ++n)
            all.push_back(n < builders.size() ? builders[n] : nullptr);
    };
    add(arith_rows(), arith_builders());
    add(logic_rows(), logic_builders());
    add(move_rows(), move_builders());
    add(branch_rows(), branch_builders());
    add(string_rows(), {});
    add(system_rows(), system_builders());
    add(x87_rows(), x87_builders());
    add(mmx_sse_rows(), vector_builders());
    add(fpstate_rows(), fpstate_builders());
    add(vt_rows(), {});
    return all;
}

}  // namespace

std::span<const BuildFn> build_rows() {
    static const std::vector<BuildFn> kAll = assemble();
    return kAll;
}

}  // namespace rm::jit
