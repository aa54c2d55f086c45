// Random cases of one instruction row: a random encoding of a random form, and inputs that make it
// do something: addresses that mostly fall into the scratch memory, operands of the right type,
// counts and divisors that do not always fault.
#pragma once
#include "native/templates.h"
#include "native/values.h"

namespace rm::native {

class Generator {
public:
    Generator(Encodings& encodings, u64 seed, bool segment_bases);
    // Makes the next case of a row. False: no encoding of it could be made (not in this mode).
    bool make(unsigned row, Case& out);
    // Of the case just made.
    const ZydisDecodedInstruction& instruction() const { return z_; }
    const ZydisDecodedOperand* operands() const { return operands_; }
    const cpu::Insn& insn() const { return insn_; }
    Random& random() { return random_; }

private:
    bool encode(unsigned row, const Template& t, Case& c);
    unsigned write_modrm(const Template& t, u8* out);
    void fill_state(Case& c);
    void fill_fx(FxImage& fx);
    u64 stack_address();
    u64 stack_offset();
    u64 target_address(unsigned size, bool low_only);
    bool place_operands(Case& c);
    void note_operand(Case& c) const;
    bool place(Case& c, const ZydisDecodedOperand& op, u32& pinned);
    bool patch_displacement(Case& c, u64 value);
    u64 register_value(const Case& c, ZydisRegister r) const;
    u64 offset_of(const Case& c, const ZydisDecodedOperand& op) const;
    u64 linear_of(const Case& c, const ZydisDecodedOperand& op) const;
    u64 segment_base(const Case& c, const ZydisDecodedOperand& op) const;
    bool operands_harmless(const Case& c) const;
    void type_operands(Case& c);
    u8* memory_at(Case& c, u64 linear, u64 size) const;
    u8* stack_at(Case& c, u64 size) const;  // null: RSP points elsewhere
    void shape_inputs(Case& c);
    void shape_branch(Case& c);
    void shape_image(Case& c);
    void shape_compare_exchange(Case& c);
    u16 selector();
    u64 far_target(u16 selector);
    bool loads_thread_pointer() const;
    void put_selector(Case& c, unsigned n);
    void put_far_pointer(u8* at, unsigned bytes);
    void put_return_frame(Case& c);
    void shape_selectors(Case& c);
    u64 code_pointer();

    Encodings& encodings_;
    Random random_;
    bool segment_bases_;
    ZydisDecodedInstruction z_{};
    ZydisDecodedOperand operands_[ZYDIS_MAX_OPERAND_COUNT] = {};
    cpu::Insn insn_;
    u8 background_[kScratchBytes];
};

}  // namespace rm::native
