// Xbyak for code that is written block after block: one object for all of them, and jumps forward
// as plain positions that are patched when their target is there. (Xbyak's labels keep hash tables,
// and building its object anew takes longer than emitting a small block.)
#pragma once
#include <xbyak/xbyak.h>

#include <cstring>

#include "base/assert.h"
#include "base/types.h"

namespace rm::jit::x64 {

// Condition codes as in the low bits of Jcc, SETcc and CMOVcc (SDM 1 B.1); an odd one is the
// opposite of the even one before it.
enum Condition : u8 {
    kAboveOrEqual = 3,
    kEqual = 4,
    kNotEqual = 5,
    kBelowOrEqual = 6,
    kAbove = 7,
    kNegative = 8,
    kLessOrEqual = 14
};

class Assembler : public Xbyak::CodeGenerator {
public:
    // Where a jump's displacement ends, and its size: 1 or 4 bytes; 0: no jump.
    struct Jump {
        u32 end = 0;
        u8 size = 0;
    };

    Assembler() : CodeGenerator(0, &nowhere_) {}
    // Everything after this goes to `memory`.
    void start(void* memory, std::size_t bytes) {
        top_ = static_cast<u8*>(memory);
        maxSize_ = bytes;
        resetSize();
    }
    u32 position() const { return static_cast<u32>(getSize()); }
    u8* address(u32 position) const { return top_ + position; }
    u8* here() const { return top_ + getSize(); }

    // Forward, patched by land(). skip*: to less than 128 bytes further on.
    Jump jump() {
        db(0xE9);
        return displacement(4);
    }
    Jump jump_if(unsigned condition) {
        db(0x0F);
        db(0x80 | static_cast<int>(condition));
        return displacement(4);
    }
    Jump skip() {
        db(0xEB);
        return displacement(1);
    }
    Jump skip_if(unsigned condition) {
        db(0x70 | static_cast<int>(condition));
        return displacement(1);
    }
    Jump skip_if_rcx_zero() {
        db(0xE3);
        return displacement(1);
    }
    // The jump leads here.
    void land(Jump j) {
        const u32 distance = position() - j.end;
        if (j.size == 1) {
            RM_ASSERT(distance < 128, "a short jump was emitted for a long way");
            top_[j.end - 1] = static_cast<u8>(distance);
        } else if (j.size == 4) {
            std::memcpy(top_ + j.end - 4, &distance, 4);
        }
    }
    // To code that is there already, as short as possible.
    void jump_to(u32 target) { jmp(static_cast<const void*>(address(target))); }
    void jump_to_if(unsigned condition, u32 target) {
        const i32 distance = static_cast<i32>(target) - static_cast<i32>(position());
        if (distance - 2 >= -128) {
            db(0x70 | static_cast<int>(condition));
            db(distance - 2);
        } else {
            db(0x0F);
            db(0x80 | static_cast<int>(condition));
            dd(static_cast<u32>(distance - 6));
        }
    }

private:
    Jump displacement(u8 size) {
        for (u8 n = 0; n < size; ++n) db(0);
        return {position(), size};
    }

    u8 nowhere_ = 0;
};

}  // namespace rm::jit::x64
