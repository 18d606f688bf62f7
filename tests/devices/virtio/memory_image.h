// Disks that behave as no file does: one in memory, part of which fails, and one that waits.
#ifndef TRAPLINE_TESTS_DEVICES_VIRTIO_MEMORY_IMAGE_H_
#define TRAPLINE_TESTS_DEVICES_VIRTIO_MEMORY_IMAGE_H_

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "devices/virtio/image.h"

namespace trapline::virtio::test {

// A disk of 32 KiB in memory; the last 4 KiB fail.
class MemoryImage final : public Image {
 public:
  explicit MemoryImage(bool read_only) : bytes(32 * 1024) {
    bytes_ = bytes.size();
    read_only_ = read_only;
    path_ = "memory";
  }
  int readv(const iovec* iov, unsigned count, uint64_t offset) override {
    for (unsigned i = 0; i < count; ++i) {
      if (offset + iov[i].iov_len > bytes.size() - 4096) return -EIO;
      std::memcpy(iov[i].iov_base, &bytes[offset], iov[i].iov_len);
      offset += iov[i].iov_len;
    }
    return 0;
  }
  bool read_at_once(const iovec* iov, unsigned count, uint64_t offset, uint64_t) override {
    return offset / 512 % 3 != 0 && readv(iov, count, offset) == 0;
  }
  int writev(const iovec* iov, unsigned count, uint64_t offset, bool) override {
    for (unsigned i = 0; i < count; ++i) {
      if (offset + iov[i].iov_len > bytes.size() - 4096) return -ENOSPC;
      std::memcpy(&bytes[offset], iov[i].iov_base, iov[i].iov_len);
      offset += iov[i].iov_len;
    }
    return 0;
  }
  int flush() override { return 0; }
  int discard(uint64_t offset, uint64_t size) override { return write_zeroes(offset, size, true); }
  int write_zeroes(uint64_t offset, uint64_t size, bool) override {
    if (size > bytes.size() || offset > bytes.size() - size) std::abort();  // blk checks
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), size, 0);
    return 0;
  }
  std::vector<uint8_t> bytes;
};

// Reads that come back when they are let.
class SlowImage : public Image {
 public:
  SlowImage() {
    bytes_ = 1 << 20;
    read_only_ = false;
    path_ = "slow";
  }
  int readv(const iovec*, unsigned, uint64_t) override {
    std::unique_lock lock(mutex);
    ++reading;
    changed.notify_all();
    changed.wait(lock, [this] { return go; });
    return 0;
  }
  int writev(const iovec*, unsigned, uint64_t, bool) override { return -EIO; }
  int flush() override { return 0; }
  int discard(uint64_t, uint64_t) override { return -EIO; }
  int write_zeroes(uint64_t, uint64_t, bool) override { return 0; }
  void release_when_reading() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return reading > 0; });
    lock.unlock();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    lock.lock();
    go = true;
    changed.notify_all();
  }

  std::mutex mutex;
  std::condition_variable changed;
  unsigned reading = 0;
  bool go = false;
};

}  // namespace trapline::virtio::test

#endif  // TRAPLINE_TESTS_DEVICES_VIRTIO_MEMORY_IMAGE_H_
