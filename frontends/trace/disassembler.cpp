// See disassembler.h.
#include "frontends/trace/disassembler.h"

namespace rm::frontends::trace {

Disassembler::Text Disassembler::disassemble(std::span<const u8> bytes, unsigned code_size,
                                             LinearAddr rip, unsigned level) {
    const auto& line = text_.of(bytes, code_size >= 8 ? 3 : code_size >= 4 ? 2 : 1, rip);
    out_ = line.text;
    for (unsigned n = 0; n < line.target_count; ++n) {
        const std::size_t mark = out_.size();
        out_ += " <";
        if (symbols_.append(out_, level, line.targets[n]))
            out_ += '>';
        else
            out_.resize(mark);
    }
    return {out_, line.length};
}

}  // namespace rm::frontends::trace
