#include "jit/ir/print.h"

#include <cstdio>

#include "cpu/instructions/row.h"
#include "cpu/semantics/vec.h"
#include "cpu/state/cpu_state.h"

namespace rm::jit::ir {

namespace {

constexpr const char* kConditions[16] = {"o", "no", "b", "nb", "z", "nz", "be", "nbe",
                                         "s", "ns", "p", "np", "l", "nl", "le", "nle"};
constexpr const char* kSegments[cpu::kSegRegs] = {"es", "cs", "ss", "ds", "fs", "gs"};
constexpr const char* kAlign[3] = {"any", "operand", "always"};

std::string hex(u64 v) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(v));
    return text;
}
std::string at(Value v) { return "%" + std::to_string(v); }
unsigned bits(u8 size_log2) { return 8u << size_log2; }

std::string flag_names(cpu::Cc cc) {
    constexpr struct {
        cpu::Cc bit;
        char name;
    } kFlags[] = {{cpu::kCcOf, 'O'}, {cpu::kCcSf, 'S'}, {cpu::kCcZf, 'Z'},
                  {cpu::kCcAf, 'A'}, {cpu::kCcPf, 'P'}, {cpu::kCcCf, 'C'}};
    std::string s;
    for (const auto& f : kFlags)
        if (cc & f.bit) s += f.name;
    return s;
}

std::string address_text(const Op& op) {
    std::string s;
    auto add = [&](const std::string& part) { s += (s.empty() ? "" : " + ") + part; };
    if (op.a != kNoValue) add(at(op.a));
    if (op.b != kNoValue) add(at(op.b) + (op.n ? "*" + std::to_string(1u << op.n) : ""));
    if (op.c != kNoValue) add(at(op.c));
    if (op.imm || s.empty()) add(hex(op.imm));
    return std::string(op.m < cpu::kSegRegs ? kSegments[op.m] : "?") + ":[" + s + "]";
}

// What the numbers n and imm of an operation mean; goes before its operands.
std::string numbers(const Op& op) {
    switch (op.code) {
        case Code::constant:
        case Code::jump_to:
        case Code::jump_if: return hex(op.imm);
        case Code::insn:
        case Code::immediate:
        case Code::x87:
        case Code::interp: return std::to_string(op.imm);
        case Code::set_direction: return op.imm ? "1" : "0";
        case Code::get:
        case Code::put:
        case Code::put_if: return register_name(op.n, op.size);
        case Code::get_xmm:
        case Code::put_xmm: return "xmm" + std::to_string(op.n);
        case Code::address: return address_text(op);
        case Code::rmw: return op.n ? "lock" : "";
        case Code::tsc: return op.n ? "guest" : "";
        case Code::load_vec:
        case Code::store_vec: return op.size == 4 && op.n < 3 ? kAlign[op.n] : "";
        case Code::zero_extend:
        case Code::sign_extend:
        case Code::truncate:
        case Code::bit_offset:
        case Code::crc32:
        case Code::int_to_fp:
        case Code::sign_mask:
        case Code::blend: return "from." + std::to_string(bits(op.n));
        case Code::lane:
        case Code::set_lane:
        case Code::vec_field: return "lane " + std::to_string(op.n);
        case Code::string_index:
        case Code::string_mask:
            return "#" + hex(op.imm & 0xFF) +
                   (op.n ? " lengths." + std::to_string(bits(op.n)) : "");
        default: return {};
    }
}

bool has_vec_op(Code code) {
    switch (code) {
        case Code::vec:
        case Code::vec_field:
        case Code::vec_fp:
        case Code::fp_to_int:
        case Code::int_to_fp:
        case Code::fp_compare: return true;
        default: return false;
    }
}

// The operation with what refines it: "add.32", "condition.le", "vec.paddb",
// "fp_to_int.32.cvtss2si".
std::string operation(const Op& op) {
    std::string s = info(op.code).name;
    if (s.ends_with('_')) s.pop_back();  // C++'s and_, or_ ...
    if (op.code == Code::condition) return s + "." + kConditions[op.n & 15];
    const bool plain = has_vec_op(op.code) && op.code != Code::fp_to_int;
    const CodeInfo& i = info(op.code);
    const bool sized = !plain && (i.result == Kind::V || i.result == Kind::A ||
                                  i.operands[0] == Kind::V || i.operands[1] == Kind::V ||
                                  op.code == Code::load_vec || op.code == Code::store_vec);
    if (sized) s += "." + std::to_string(bits(op.size));
    if (has_vec_op(op.code)) s += std::string(".") + vec_op_name(op.imm & 0xFFFF);
    return s;
}

std::string operands(const Op& op) {
    std::string s = numbers(op);
    auto add = [&](const std::string& part) { s += (s.empty() ? "" : ", ") + part; };
    if (op.code != Code::address)
        for (Value v : {op.a, op.b, op.c})
            if (v != kNoValue) add(at(v));
    if (has_vec_op(op.code) && op.imm >> 16) add("#" + hex(op.imm >> 16));
    return s;
}

std::string marker(const Op& op, std::span<const cpu::Insn> insns, u64 block_rip) {
    std::string s = "insn " + std::to_string(op.imm);
    if (op.imm >= insns.size()) return s;
    const cpu::Insn& insn = insns[op.imm];
    char rip[24];
    std::snprintf(rip, sizeof rip, " %llx ",
                  static_cast<unsigned long long>(block_rip + insn.offset));
    return s + rip + (insn.row == 0xFFFF ? "?" : cpu::instruction_rows()[insn.row].name);
}

}  // namespace

std::string register_name(u8 offset, u8 size_log2) {
    constexpr const char* kNames[8] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
    constexpr const char* kSuffixes[4] = {"b", "w", "d", ""};
    const unsigned n = offset >> 3;
    if ((offset & 7) == 1 && size_log2 == 0 && n < 4) return std::string{kNames[n][0], 'h'};
    if ((offset & 7) || n > 15 || size_log2 > 3) return "gpr+" + std::to_string(offset);
    if (n >= 8) return "r" + std::to_string(n) + kSuffixes[size_log2];
    const std::string name = kNames[n];
    switch (size_log2) {
        case 0: return n < 4 ? std::string{name[0], 'l'} : name + "l";
        case 1: return name;
        case 2: return "e" + name;
        default: return "r" + name;
    }
}

const char* vec_op_name(unsigned op) {
    static constexpr const char* kNames[] = {
#define RM_VEC(name, ...) #name,
#define RM_VEC_FP(name, tiny) #name,
#define RM_VEC_FP_IMM(name, last, tiny) #name,
#define RM_VEC_FP_UNARY(name, tiny) #name,
#define RM_VEC_OTHER(name) #name,
#include "cpu/instructions/vec_fp.def"
#include "cpu/instructions/vec_int.def"
#undef RM_VEC
#undef RM_VEC_FP
#undef RM_VEC_FP_IMM
#undef RM_VEC_FP_UNARY
#undef RM_VEC_OTHER
    };
    return op < std::size(kNames) ? kNames[op] : "?";
}

std::string print_op(const Block& block, Value v) {
    const Op& op = block[v];
    const Kind result = info(op.code).result;
    std::string s = result == Kind::N || result == Kind::F ? "" : at(v) + " = ";
    s += operation(op);
    if (const std::string o = operands(op); !o.empty()) s += " " + o;
    const cpu::Cc reads = flags_read(block, op);
    if (op.writes) s += " ; sets " + flag_names(op.writes);
    if (reads) s += (op.writes ? ", reads " : " ; reads ") + flag_names(reads);
    return s;
}

std::string print(const Block& block, std::span<const cpu::Insn> insns, u64 block_rip) {
    std::string s;
    for (Value v = 0; v < block.ops.size(); ++v) {
        const Op& op = block[v];
        s += op.code == Code::insn ? marker(op, insns, block_rip) : "  " + print_op(block, v);
        s += '\n';
    }
    return s;
}

}  // namespace rm::jit::ir
