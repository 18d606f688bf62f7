// Byte streams for device state (snapshots). Little-endian, sections with a tag, a version and a
// length, so that a reader can reject what it does not know and never runs past the end.
#ifndef TRAPLINE_MMIO_STATE_H_
#define TRAPLINE_MMIO_STATE_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

namespace trapline {

class StateWriter {
 public:
  template <typename T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& value) { bytes(&value, sizeof value); }
  void bytes(const void* data, size_t size) {
    const auto* p = static_cast<const uint8_t*>(data);
    buffer_.insert(buffer_.end(), p, p + size);
  }
  void string(const std::string& s) {
    put<uint32_t>(static_cast<uint32_t>(s.size()));
    bytes(s.data(), s.size());
  }
  const std::vector<uint8_t>& buffer() const { return buffer_; }

 private:
  std::vector<uint8_t> buffer_;
};

// Reads never fail loudly: past the end they yield zeroes and ok() turns false.
class StateReader {
 public:
  StateReader(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  template <typename T>
  requires std::is_trivially_copyable_v<T> T get() {
    T value{};
    bytes(&value, sizeof value);
    return value;
  }
  void bytes(void* out, size_t size) {
    if (size > left_) {
      ok_ = false;
      left_ = 0;
      std::memset(out, 0, size);
      return;
    }
    std::memcpy(out, data_, size);
    data_ += size;
    left_ -= size;
  }
  std::string string() {
    uint32_t size = get<uint32_t>();
    if (size > left_) {
      ok_ = false;
      left_ = 0;
      return {};
    }
    std::string s(reinterpret_cast<const char*>(data_), size);
    data_ += size;
    left_ -= size;
    return s;
  }
  bool ok() const { return ok_; }
  size_t left() const { return left_; }

 private:
  const uint8_t* data_;
  size_t left_;
  bool ok_ = true;
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_STATE_H_
