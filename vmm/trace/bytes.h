// Numbers as a trace holds them: little endian, LEB128 varints, signed ones in zigzag.
#ifndef TRAPLINE_VMM_TRACE_BYTES_H_
#define TRAPLINE_VMM_TRACE_BYTES_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace trapline::trace {

constexpr uint64_t zigzag(uint64_t difference) {
  return difference << 1 ^ static_cast<uint64_t>(static_cast<int64_t>(difference) >> 63);
}
constexpr uint64_t unzigzag(uint64_t coded) { return coded >> 1 ^ (0 - (coded & 1)); }

// Calls `f(i)` for each set bit i, from the lowest.
template <typename F>
constexpr void for_each_bit(uint64_t mask, F&& f) {
  for (; mask != 0; mask &= mask - 1) f(static_cast<unsigned>(std::countr_zero(mask)));
}

// Appends to a buffer whose owner sees to it that there is room.
class Encoder {
 public:
  static constexpr size_t kLongestVarint = 10;

  explicit Encoder(uint8_t* at = nullptr) : at_(at) {}
  void byte(uint8_t value) { *at_++ = value; }
  void varint(uint64_t value) {
    while (value >= 0x80) {
      *at_++ = static_cast<uint8_t>(value | 0x80);
      value >>= 7;
    }
    *at_++ = static_cast<uint8_t>(value);
  }
  void bytes(const void* data, size_t size) {
    if (size != 0) std::memcpy(at_, data, size);  // of nothing, `data` may be null
    at_ += size;
  }
  uint8_t* at() const { return at_; }

 private:
  uint8_t* at_;
};

// Reads what may be anything: past the end all is zero, and ok() is false.
class Decoder {
 public:
  explicit Decoder(std::span<const uint8_t> data)
      : at_(data.data()), end_(data.data() + data.size()) {}
  uint8_t byte() {
    if (at_ == end_) return fail();
    return *at_++;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) return fail();
      const uint8_t b = *at_++;
      value |= uint64_t{b & 0x7fu} << shift;
      if (b < 0x80) return value;
    }
    return fail();
  }
  std::span<const uint8_t> bytes(size_t size) {
    if (size > static_cast<size_t>(end_ - at_)) {
      fail();
      return {};
    }
    at_ += size;
    return {at_ - size, size};
  }
  bool ok() const { return ok_; }
  bool at_end() const { return at_ == end_; }

 private:
  uint8_t fail() {
    ok_ = false;
    at_ = end_;
    return 0;
  }
  const uint8_t* at_;
  const uint8_t* end_;
  bool ok_ = true;
};

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_BYTES_H_
