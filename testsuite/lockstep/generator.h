// Random sequences from the instruction rows. The encodings are those that testsuite/native finds
// (native/templates.h); here their free parts are chosen so that the sequence does something as a
// whole: some registers point into memory and mostly keep doing so, some hold small numbers,
// branches lead to other instructions of the sequence, the last one leads back to the first.
#pragma once
#include <memory>
#include <vector>

#include "lockstep/sequence.h"
#include "native/templates.h"
#include "native/values.h"

namespace rm::lockstep {

class Generator {
public:
    explicit Generator(u64 seed);
    // Sequence number `index`: the same for the same seed, whatever was made before.
    Sequence make(u64 index);
    // Restricts the sequences to rows of one name, or to "integer" or "vector" rows. False: there
    // is none.
    bool only(const std::string& row);

private:
    using Template = native::Template;
    struct Rows {  // of one kind of code
        std::unique_ptr<native::Encodings> encodings;
        std::vector<u16> integer, vector, others;
        bool empty() const { return integer.empty() && vector.empty() && others.empty(); }
    };
    // What a register is for in this sequence.
    enum class Role : u8 { kValue, kPointer, kIndex, kStack };
    struct Branch {
        unsigned insn;
        u16 at;   // where the distance is
        u8 size;  // its bytes
    };

    void fill_rows(Kind kind);
    void choose_roles();
    u16 choose_row();
    bool append_instruction();
    void append_idiom();
    unsigned register_of(Role role);
    bool encode(u16 row, const Template& t, u8* out);
    u8* write_memory_form(const Template& t, u8* p);
    u8* write_register_form(const Template& t, u8* p);
    bool clobbers_roles() const;
    bool align_operand(u8* code);
    void fill_displacement(u8* code, unsigned at);
    void fill_immediates(u8* code);
    void note_branch(unsigned at);
    void finish_code();
    void resolve(const Branch& b);
    void fill_registers();
    void fill_fpu();
    void fill_memory();
    void fill_stops();
    void fill_pokes();
    u64 data_address();
    u64 code_address();
    u64 stack_address();
    bool is64() const { return sequence_.kind == Kind::k64; }
    unsigned registers() const { return is64() ? 16 : 8; }
    Rows& rows() { return rows_[static_cast<unsigned>(sequence_.kind)]; }

    u64 seed_;
    bool restricted_ = false;  // by only()
    native::Random random_;
    Rows rows_[kKinds];
    std::vector<u8> system_, background_;
    Sequence sequence_;
    std::vector<u16> palette_;
    Role roles_[16] = {};
    unsigned used_ = 0, start_ = 0;  // bytes of code; where the first instruction is
    std::vector<Branch> branches_;
    ZydisDecodedInstruction z_{};
    ZydisDecodedOperand operands_[ZYDIS_MAX_OPERAND_COUNT] = {};
    cpu::Insn insn_;
};

}  // namespace rm::lockstep
