// Code page 437, the character set of a PC's text screen, as UTF-8.
// Owns: the table. Assumes: 00h-1Fh are shown as glyphs (on screen there are no control
// characters). Source: Unicode consortium mapping tables, vendor/Microsoft PC CP437 and IBM
// graphics.
#pragma once
#include <string_view>

#include "base/types.h"

namespace rm::platform {

std::string_view cp437_utf8(u8 character);

}  // namespace rm::platform
