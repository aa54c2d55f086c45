// The local APIC's register map as one table: number (xAPIC offset / 16 = x2APIC MSR - 800H), what
// each mode may do with it, writable bits, and bits that are read-only rather than reserved.
// Source: SDM 3A tables 11-1 and 11-6, figures 11-8 (LVT), 11-12 (ICR), 11-23 (SVR).
#pragma once
#include "base/types.h"

namespace rm::platform::apic {

enum Register : u8 {
    kId = 0x02,
    kVersionRegister = 0x03,
    kTpr = 0x08,
    kApr = 0x09,
    kPpr = 0x0A,
    kEoi = 0x0B,
    kRemoteRead = 0x0C,
    kLdr = 0x0D,
    kDfr = 0x0E,
    kSvr = 0x0F,
    kIsr = 0x10,  // 8 registers each
    kTmr = 0x18,
    kIrr = 0x20,
    kEsr = 0x28,
    kIcrLow = 0x30,
    kIcrHigh = 0x31,
    kLvtTimer = 0x32,
    kLvtThermal = 0x33,
    kLvtPerformance = 0x34,
    kLvtLint0 = 0x35,
    kLvtLint1 = 0x36,
    kLvtError = 0x37,
    kInitialCount = 0x38,
    kCurrentCount = 0x39,
    kDivide = 0x3E,
    kSelfIpi = 0x3F,
};

enum Access : u8 { kNone = 0, kRead = 1, kWrite = 2, kReadWrite = 3 };

struct RegisterRow {
    u8 first, count;
    Access xapic, x2apic;
    u32 writable;   // bits software may change
    u32 read_only;  // further bits that x2APIC writes may carry without #GP
};

// clang-format off
inline constexpr RegisterRow kRegisters[] = {
    // register       n  xAPIC       x2APIC      writable    read-only
    {kId,              1, kReadWrite, kRead,      0xFF000000, 0},
    {kVersionRegister, 1, kRead,      kRead,      0,          0},
    {kTpr,             1, kReadWrite, kReadWrite, 0x000000FF, 0},
    {kApr,             1, kRead,      kNone,      0,          0},
    {kPpr,             1, kRead,      kRead,      0,          0},
    {kEoi,             1, kWrite,     kWrite,     0,          0},  // xAPIC: any value; x2APIC: 0
    {kRemoteRead,      1, kRead,      kNone,      0,          0},
    {kLdr,             1, kReadWrite, kRead,      0xFF000000, 0},
    {kDfr,             1, kReadWrite, kNone,      0xF0000000, 0},
    {kSvr,             1, kReadWrite, kReadWrite, 0x000003FF, 0},
    {kIsr,             8, kRead,      kRead,      0,          0},
    {kTmr,             8, kRead,      kRead,      0,          0},
    {kIrr,             8, kRead,      kRead,      0,          0},
    {kEsr,             1, kReadWrite, kReadWrite, 0,          0},  // xAPIC: any value; x2APIC: 0
    {kIcrLow,          1, kReadWrite, kReadWrite, 0x000CCFFF, 0x1000},
    {kIcrHigh,         1, kReadWrite, kNone,      0xFF000000, 0},  // x2APIC: part of 830H
    {kLvtTimer,        1, kReadWrite, kReadWrite, 0x000700FF, 0x1000},
    {kLvtThermal,      1, kReadWrite, kReadWrite, 0x000107FF, 0x1000},
    {kLvtPerformance,  1, kReadWrite, kReadWrite, 0x000107FF, 0x1000},
    {kLvtLint0,        1, kReadWrite, kReadWrite, 0x0001A7FF, 0x5000},
    {kLvtLint1,        1, kReadWrite, kReadWrite, 0x0001A7FF, 0x5000},
    {kLvtError,        1, kReadWrite, kReadWrite, 0x000100FF, 0x1000},
    {kInitialCount,    1, kReadWrite, kReadWrite, 0xFFFFFFFF, 0},
    {kCurrentCount,    1, kRead,      kRead,      0,          0},
    {kDivide,          1, kReadWrite, kReadWrite, 0x0000000B, 0},
    {kSelfIpi,         1, kNone,      kWrite,     0x000000FF, 0},
};
// clang-format on

// Null: no such register in either mode.
constexpr const RegisterRow* find_register(unsigned number) {
    for (const RegisterRow& row : kRegisters)
        if (number >= row.first && number < unsigned{row.first} + row.count) return &row;
    return nullptr;
}

// Bits of an LVT entry (SDM 3A figure 11-8).
inline constexpr u32 kLvtRemoteIrr = 1 << 14, kLvtLevel = 1 << 15, kLvtMasked = 1 << 16;

// Error status bits (SDM 3A 11.5.3).
inline constexpr u8 kSendIllegalVector = 1 << 5, kReceiveIllegalVector = 1 << 6,
                    kIllegalRegister = 1 << 7;

}  // namespace rm::platform::apic
