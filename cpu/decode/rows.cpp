// The instruction table as one array, and its index by mnemonic. Assembled once from the families.
#include <Zydis/Zydis.h>

#include <vector>

#include "cpu/instructions/row.h"

namespace rm::cpu {

namespace {

struct Table {
    std::vector<Row> rows;
    std::vector<u16>
        first;  // by mnemonic: index + 1 of the first row, rows of one mnemonic chained
    std::vector<u16> next;

    Table() : first(ZYDIS_MNEMONIC_MAX_VALUE + 1, 0) {
        for (auto family : {arith_rows(), logic_rows(), move_rows(), branch_rows(), string_rows(),
                            system_rows(), x87_rows(), mmx_sse_rows(), fpstate_rows(), vt_rows()})
            for (const Row& row : family) {
                rows.push_back(row);
                next.push_back(first[row.mnemonic]);
                first[row.mnemonic] = static_cast<u16>(rows.size());
            }
    }
};

const Table& table() {
    static const Table t;
    return t;
}

}  // namespace

std::span<const Row> instruction_rows() { return table().rows; }

std::size_t string_rows_at() {
    static const std::size_t at =
        arith_rows().size() + logic_rows().size() + move_rows().size() + branch_rows().size();
    return at;
}

const Row* find_row(unsigned mnemonic, Variant variant) {
    const Table& t = table();
    for (unsigned at = t.first[mnemonic]; at; at = t.next[at - 1])
        if (t.rows[at - 1].variant == variant) return &t.rows[at - 1];
    return nullptr;
}

}  // namespace rm::cpu
