// An exception or interrupt on its way to delivery (SDM 3A 6.x; types as in SDM 3C 24.8.3).
#pragma once
#include "base/types.h"

namespace rm::cpu {

enum Vector : u8 {
    kDe = 0,
    kDb = 1,
    kNmiVector = 2,
    kBp = 3,
    kOf = 4,
    kBr = 5,
    kUd = 6,
    kNm = 7,
    kDf = 8,
    kTs = 10,
    kNp = 11,
    kSs12 = 12,
    kGp = 13,
    kPf = 14,
    kMf = 16,
    kAc = 17,
    kMc = 18,
    kXm = 19,
    kSx = 30
};

enum class EventType : u8 {
    kExternalInterrupt = 0,
    kNmi = 2,
    kHardwareException = 3,
    kSoftwareInterrupt = 4,            // INT n
    kPrivilegedSoftwareException = 5,  // INT1 (ICEBP)
    kSoftwareException = 6,            // INT3, INTO
};

struct Event {
    u8 vector = 0;
    EventType type = EventType::kHardwareException;
    bool has_error = false;
    u32 error = 0;
    u64 payload = 0;     // #PF: linear address (CR2).  #DB: the DR6 bits to set
    u8 insn_length = 0;  // software events: length of the instruction, 0 otherwise
    bool operator==(const Event&) const = default;
};

}  // namespace rm::cpu
