// The two functions that grow a ByteBuffer; out of line, because inlined chains of single-byte
// appends make gcc 12 warn about overflows that cannot happen. See byte_buffer.h.
#include "platform/firmware/byte_buffer.h"

namespace rm::platform {

ByteBuffer& ByteBuffer::append(const void* data, size_t n) {
    const u8* const first = static_cast<const u8*>(data);
    bytes_.insert(bytes_.end(), first, first + n);
    return *this;
}

ByteBuffer& ByteBuffer::zeros(size_t n) {
    bytes_.resize(bytes_.size() + n);
    return *this;
}

}  // namespace rm::platform
