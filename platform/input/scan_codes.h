// Scan code tables: the controller's set 2 to set 1 translation, and set 3.
// Owns: constant tables. Source: IBM PS/2 Hardware Interface TR, keyboard (scan code sets) and
// keyboard controller (translation); "8042" column of the scan code tables.
#pragma once
#include <array>

#include "base/types.h"

namespace rm::platform {

// Index: a set 2 byte (without F0 prefix). Value: set 1 make code.
extern const std::array<u8, 256> kSet2ToSet1;

// Inverse for keys: set 1 make code (01-7F) to the set 2 code; 0 if there is no such key.
u8 set1_to_set2(u8 set1);
// Set 3 make code of a key named by its set 1 code, with or without E0 prefix; 0 if none.
u8 key_to_set3(u8 set1, bool extended);

}  // namespace rm::platform
