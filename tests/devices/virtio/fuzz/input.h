// Takes values off a fuzzer's input; zeroes when it is used up.
#ifndef TRAPLINE_TESTS_DEVICES_VIRTIO_FUZZ_INPUT_H_
#define TRAPLINE_TESTS_DEVICES_VIRTIO_FUZZ_INPUT_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace trapline::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  template <typename T>
  T take() {
    T value{};
    const size_t n = std::min(left_, sizeof value);
    if (n > 0) std::memcpy(&value, data_, n);
    data_ += n;
    left_ -= n;
    return value;
  }
  // Up to `size` bytes in place; `size` becomes what there were.
  const uint8_t* take_bytes(size_t& size) {
    size = std::min(size, left_);
    const uint8_t* p = data_;
    data_ += size;
    left_ -= size;
    return p;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

}  // namespace trapline::fuzz

#endif  // TRAPLINE_TESTS_DEVICES_VIRTIO_FUZZ_INPUT_H_
