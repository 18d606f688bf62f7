// An output that takes as much as a test allows.
#ifndef TRAPLINE_TESTS_DEVICES_FAKE_SINK_H_
#define TRAPLINE_TESTS_DEVICES_FAKE_SINK_H_

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <string>

#include "devices/output_sink.h"

namespace trapline {

class FakeSink : public OutputSink {
 public:
  size_t put(const uint8_t* data, size_t size) override {
    std::lock_guard lock(mutex_);
    const size_t n = std::min(size, room_);
    text_.append(reinterpret_cast<const char*>(data), n);
    room_ -= n;
    return n;
  }
  void force(const uint8_t* data, size_t size) override {
    std::lock_guard lock(mutex_);
    text_.append(reinterpret_cast<const char*>(data), size);
    forced_ += size;
  }

  // Bytes that put() takes from now on.
  void set_room(size_t room) {
    std::lock_guard lock(mutex_);
    room_ = room;
  }
  std::string text() const {
    std::lock_guard lock(mutex_);
    return text_;
  }
  size_t forced() const {
    std::lock_guard lock(mutex_);
    return forced_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
  size_t room_ = ~size_t{0};
  size_t forced_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_TESTS_DEVICES_FAKE_SINK_H_
