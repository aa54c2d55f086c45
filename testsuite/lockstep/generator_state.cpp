// The generator's other half: what is in registers and memory when a sequence starts.
#include <cstring>

#include "lockstep/generator.h"

namespace rm::lockstep {

u64 Generator::code_address() {
    const auto& insns = sequence_.insns;
    return kCode + (insns.empty() ? 0 : insns[random_.below(insns.size())].offset);
}

u64 Generator::stack_address() {
    switch (random_.below(60)) {
        case 0: return kStack + random_.below(64);                  // pushes leave the area
        case 1: return kStack + kStackBytes - random_.below(64);    // pops end in data
        case 2: return kStack + kPageSize + random_.below(16) - 8;  // page border
        case 3: return page_at(kReadOnlyPage) + random_.below(64);
        case 4: return is64() ? kAfterHole + random_.below(64) : random_.below(64);
        case 5: return is64() ? kBeforeHole + kPageSize - random_.below(32) : kBelow4G + 0xFF0;
        case 6: return kStack + kPageSize + random_.below(2048);
        default: return kStack + kPageSize + (random_.below(2048) & ~u64{15});
    }
}

u64 Generator::data_address() {
    const u64 within = 256 + random_.below(kPageSize - 512);
    const u64 aligned = within & ~u64{15};
    const u64 border = kPageSize - random_.below(20);
    if (random_.percent(80)) return kData + random_.below(3) * kPageSize + aligned;
    switch (random_.below(22)) {
        case 0: return page_at(kReadOnlyPage) + within;
        case 1: return page_at(kSupervisorPage) + within;
        case 2: return page_at(kReadOnlyPage - 1) + border;
        case 3: return page_at(kReadOnlyPage) + border;
        case 4:
        case 5: return kData + border;
        case 6: return kCode + used_ + random_.below(64);  // beside the code
        case 7: return kCode + start_ + random_.below(used_ - start_ + 1);
        case 8: return kMmio + (within & ~u64{7});
        case 9: return kMmio + within;
        case 10: return stack_address();
        case 11: return page_at(kAliasPage) + border;  // the tables follow
        case 12: return is64() ? kBeforeHole + border : kBelow4G + border;
        case 13: return is64() ? kAfterHole + random_.below(64) - 16 : kBelow4G + within;
        case 14: return kBelow4G + border;
        case 15: return is64() ? kAfterHole + within : kBelow4G + within;
        case 16: return native::integer_value(random_);
        case 17: return kBase - random_.below(32);
        default: return kData + random_.below(3) * kPageSize + within;
    }
}

void Generator::fill_registers() {
    Sequence& s = sequence_;
    for (unsigned r = 0; r < 16; ++r) {
        switch (roles_[r]) {
            case Role::kPointer: s.gpr[r] = data_address(); break;
            case Role::kIndex:
                s.gpr[r] = random_.percent(80) ? random_.below(24) : u64{0} - random_.below(16);
                break;
            case Role::kStack: s.gpr[r] = stack_address(); break;
            default:
                s.gpr[r] = random_.percent(12) ? code_address() : native::integer_value(random_);
        }
        if (!is64() && random_.percent(95)) s.gpr[r] &= 0xFFFFFFFF;
    }
    using namespace cpu;
    s.rflags = 2 | (random_.next() & kFlagsArith);
    const auto sometimes = [&](unsigned percent, u64 flag) {
        if (random_.percent(percent)) s.rflags |= flag;
    };
    sometimes(80, kFlagIf);
    sometimes(20, kFlagDf);
    sometimes(3, kFlagAc);
    sometimes(2, kFlagNt);
    sometimes(1, kFlagTf);
    sometimes(1, kFlagRf);
    sometimes(10, kFlagId);
    sometimes(20, kFlagIopl);
    if (random_.percent(30)) s.fs_base = is64() ? random_.below(256) : 0;
    if (random_.percent(20)) s.gs_base = is64() ? u64{0} - random_.below(256) : 0;
    if (random_.percent(2)) {  // a data breakpoint
        s.dr0 = data_address() & ~u64{7};
        s.dr7 = 0x401 | (random_.percent(50) ? 1 : 3) << 16 | random_.below(4) << 18;
    }
}

void Generator::fill_fpu() {
    cpu::FpuState& f = sequence_.fpu;
    for (auto& x : f.xmm) native::fill(random_, native::random_element(random_), x.b, 16);
    if (random_.percent(40)) f.mxcsr = static_cast<u32>(random_.next() & 0xFFFF);
    if (random_.percent(85)) f.mxcsr |= 0x1F80;
    if (random_.percent(70)) return;
    u8 value[10];
    for (auto& st : f.st) {
        native::float80_value(random_, value);
        std::memcpy(&st.mantissa, value, 8);
        std::memcpy(&st.sign_exponent, value + 8, 2);
    }
    f.ftw = random_.percent(50) ? 0 : 0xFFFF;
    f.fsw = static_cast<u16>(random_.next() & 0x7F00);
    if (random_.percent(30)) {
        f.fcw = static_cast<u16>((random_.next() & 0x1F3F) | 0x40);
        if (random_.percent(60)) f.fcw |= 0x3F;
    }
    if (random_.percent(5)) f.fsw |= 0x8081;  // pending, if it is not masked
    if (f.fsw & 0x80) f.fcw &= 0xFFFE;
}

// Some fresh values among the background; the stack gets code addresses to return to.
void Generator::fill_memory() {
    u8* ram = sequence_.memory.data();
    for (unsigned n = 0; n < 24; ++n)
        native::fill(random_, native::random_element(random_),
                     ram + kDataPage * kPageSize + (random_.below(3 * kPageSize) & ~u64{15}), 16);
    const u64 sp = sequence_.gpr[cpu::kRsp] - kBase;
    if (sp > kRamBytes - 256 || !random_.percent(60)) return;
    const unsigned word = is64() ? 8 : 4;
    for (unsigned n = 0; n < 8; ++n) {
        const u64 v = code_address();
        std::memcpy(ram + sp + n * word, &v, word);
    }
}

void Generator::fill_stops() {
    u64 at = 0;
    const bool pokes = !sequence_.insns.empty() && random_.percent(20);
    const u64 slices = pokes                 ? 3 + random_.below(6)
                       : random_.percent(75) ? 1
                                             : 2 + random_.below(2);
    for (u64 n = 0; n < slices; ++n) {
        at += random_.percent(35) ? 1 + random_.below(40) : 60 + random_.below(340);
        sequence_.stops.push_back(at);
    }
    if (pokes) fill_pokes();
}

// Mostly the last bytes of one instruction, where immediates are; some of it as it is.
void Generator::fill_pokes() {
    Sequence::Place favourite = sequence_.insns[random_.below(sequence_.insns.size())];
    for (const Sequence::Place& place : sequence_.insns)  // one that is long enough for 32 bits
        if (place.length >= 5 && (favourite.length < 5 || random_.percent(20))) favourite = place;
    while (sequence_.pokes.size() + 1 < sequence_.stops.size()) {
        const Sequence::Place& place = random_.percent(60)
                                           ? favourite
                                           : sequence_.insns[random_.below(sequence_.insns.size())];
        Sequence::Poke p{};
        p.size = static_cast<u8>(random_.percent(50) ? 4 : 1u << random_.below(4));
        const unsigned end = place.offset + place.length;
        const unsigned from =
            random_.percent(80) && p.size < place.length ? end - p.size : place.offset;
        p.at = kCode + from;
        if (random_.percent(20))
            std::memcpy(&p.value, &sequence_.memory[kCodePage * kPageSize + from], p.size);
        else
            p.value = random_.percent(50) ? random_.next() : random_.below(256);
        sequence_.pokes.push_back(p);
    }
}

}  // namespace rm::lockstep
