// What loops over arrays and tables are made of, which random encodings hardly ever are: pointers
// and counters that move by a constant, indices that are certainly small, accesses by both.
#include <cstring>
#include <initializer_list>

#include "lockstep/generator.h"

namespace rm::lockstep {

unsigned Generator::register_of(Role role) {
    for (;;) {
        const unsigned r = static_cast<unsigned>(random_.below(registers()));
        if (roles_[r] == role) return r;
    }
}

// 64-bit code: REX, opcode bytes, ModRM and what follows it.
void Generator::append_idiom() {
    const unsigned pointer = register_of(Role::kPointer), index = register_of(Role::kIndex),
                   value = register_of(Role::kValue);
    const auto append = [this](unsigned rex, std::initializer_list<unsigned> bytes) {
        u8* p = sequence_.memory.data() + kCodePage * kPageSize + used_;
        *p++ = static_cast<u8>(0x40 | rex);
        for (const unsigned b : bytes) *p++ = static_cast<u8>(b);
        const unsigned length = static_cast<unsigned>(bytes.size()) + 1;
        sequence_.insns.push_back({static_cast<u16>(used_), static_cast<u8>(length)});
        used_ += length;
    };
    constexpr unsigned kW = 8, kR = 4, kX = 2, kB = 1;
    const auto high = [](unsigned r, unsigned bit) { return r > 7 ? bit : 0; };
    const auto modrm = [](unsigned mod, unsigned reg, unsigned rm) {
        return mod << 6 | (reg & 7) << 3 | (rm & 7);
    };
    const unsigned disp = static_cast<unsigned>(random_.below(48));
    switch (random_.below(8)) {
        case 0: {  // ADD pointer, imm8
            constexpr int kSteps[] = {1, 4, 8, 16, 24, 48, -8, -16};
            const unsigned by = static_cast<u8>(kSteps[random_.below(8)]);
            return append(kW | high(pointer, kB), {0x83, modrm(3, 0, pointer), by});
        }
        case 1:  // SUB index, 1
            return append(kW | high(index, kB), {0x83, modrm(3, 5, index), 1});
        case 2:  // MOVZX index, value's lowest byte
            return append(high(index, kR) | high(value, kB), {0x0F, 0xB6, modrm(3, index, value)});
        case 3:  // SHR index, 24 to 31
            return append(high(index, kB),
                          {0xC1, modrm(3, 5, index), 24 + static_cast<unsigned>(random_.below(8))});
        case 4:  // AND index, imm8
            return append(high(index, kB),
                          {0x83, modrm(3, 4, index), static_cast<unsigned>(random_.below(128))});
        case 5:  // LEA index, [index + disp8]
            return append(kW | high(index, kR) | high(index, kB),
                          {0x8D, modrm(1, index, index), disp});
        default: {  // MOV or XOR value, [pointer + index * scale + disp8], or MOV there
            constexpr unsigned kOpcodes[] = {0x8B, 0x33, 0x89};
            const unsigned sib =
                static_cast<unsigned>(random_.below(4)) << 6 | (index & 7) << 3 | (pointer & 7);
            return append((random_.percent(50) ? kW : 0) | high(value, kR) | high(index, kX) |
                              high(pointer, kB),
                          {kOpcodes[random_.below(3)], modrm(1, value, 4), sib, disp});
        }
    }
}

}  // namespace rm::lockstep
