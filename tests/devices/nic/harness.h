// What stands around a network card in a test: a slot on PCI, and a wire whose other end is ours.
#ifndef TRAPLINE_TESTS_DEVICES_NIC_HARNESS_H_
#define TRAPLINE_TESTS_DEVICES_NIC_HARNESS_H_

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "devices/pci/endpoint.h"
#include "devices/virtio/net_backend.h"
#include "devices/virtio/net_features.h"

namespace trapline::test {

using Frame = std::vector<uint8_t>;

class FakeSlot final : public pci::Slot {
 public:
  std::mutex& config_mutex() override { return mutex_; }
  void remap() override {}
  void set_line(bool level) override { line = level; }
  std::atomic<bool> line{false};

  // Bus mastering, memory and I/O space.
  void plug(pci::Endpoint& endpoint) {
    endpoint.connect(this, nullptr, 0);
    std::lock_guard lock(mutex_);
    endpoint.config_write(pci::kCommand, 2, 7);
  }

 private:
  std::mutex mutex_;
};

// Both ends of the wire live in it; the card owns it.
class FakeWire final : public virtio::NetBackend {
 public:
  struct Sent {
    virtio::NetHeader header;
    Frame frame;
  };

  ~FakeWire() override { close(event_); }
  uint64_t offloads() const override { return virtio::net::kUserOffloads; }
  void send(const virtio::NetHeader& header, uint8_t* frame, size_t size) override {
    std::lock_guard lock(mutex_);
    sent_.push_back({header, Frame(frame, frame + size)});
    changed_.notify_all();
  }
  void fill(std::vector<pollfd>& fds, int&) override {
    fds.push_back({.fd = event_, .events = POLLIN, .revents = 0});
  }
  void dispatch(const std::vector<pollfd>& fds, size_t first) override {
    if (first < fds.size() && fds[first].revents != 0) {
      uint64_t count;
      [[maybe_unused]] const ssize_t n = ::read(event_, &count, sizeof count);
    }
    hand_over();
  }
  void ready() override {
    {
      std::lock_guard lock(mutex_);
      waiting_ = false;
    }
    hand_over();
  }

  // --- the test's end ---
  Sent next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !sent_.empty(); });
    Sent sent = std::move(sent_.front());
    sent_.pop_front();
    return sent;
  }
  void put(const Frame& frame) {
    {
      std::lock_guard lock(mutex_);
      frames_.push_back(frame);
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(event_, &one, sizeof one);
  }
  // Until the card has taken all, or has no room for the next.
  void settle() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return frames_.empty() || waiting_; });
  }
  bool waits() {
    std::lock_guard lock(mutex_);
    return waiting_ && !frames_.empty();
  }

 private:
  void hand_over() {
    std::lock_guard lock(mutex_);
    while (!frames_.empty() && !waiting_) {
      waiting_ = !receive_({}, frames_.front().data(), frames_.front().size());
      if (!waiting_) frames_.pop_front();
    }
    changed_.notify_all();
  }

  const int event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Sent> sent_;
  std::deque<Frame> frames_;
  bool waiting_ = false;
};

inline constexpr virtio::MacAddress kMac = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

inline Frame frame_to(const virtio::MacAddress& to, size_t size, uint8_t seed = 1) {
  Frame frame(size);
  for (size_t i = 0; i < size; ++i) frame[i] = static_cast<uint8_t>(seed + i * 3);
  std::copy(to.begin(), to.end(), frame.begin());
  frame[12] = 0x08, frame[13] = 0x00;
  return frame;
}

}  // namespace trapline::test

#endif  // TRAPLINE_TESTS_DEVICES_NIC_HARNESS_H_
