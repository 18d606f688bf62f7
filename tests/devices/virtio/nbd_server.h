// An NBD server with a disk whose cache is lost when it crashes (NetworkBlockDevice/nbd,
// doc/proto.md: fixed newstyle, simple replies).
#ifndef TRAPLINE_TESTS_DEVICES_VIRTIO_NBD_SERVER_H_
#define TRAPLINE_TESTS_DEVICES_VIRTIO_NBD_SERVER_H_

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/devices/virtio/temp_file.h"

namespace trapline::virtio::test {

class NbdServer {
 public:
  enum Flag : uint16_t {
    kHasFlags = 1,
    kReadOnly = 2,
    kFlush = 4,
    kFua = 8,
    kTrim = 32,
    kZeroes = 64,
    kMultiConn = 256,
  };
  static constexpr uint16_t kUsual = kHasFlags | kFlush | kFua | kTrim | kZeroes;
  enum Command : uint16_t {
    kRead = 0,
    kWrite = 1,
    kDisc = 2,
    kFlushNow = 3,
    kTrimNow = 4,
    kZero = 6
  };
  struct Request {
    uint16_t flags, command;
    uint64_t offset;
    uint32_t bytes;
  };

  explicit NbdServer(size_t bytes, uint16_t flags = kUsual)
      : flags_(flags), durable_(bytes), cache_(bytes) {
    start();
  }
  ~NbdServer() { crash(); }

  std::string uri() const { return "nbd+unix:///?socket=" + file_.path; }

  // What is not flushed is gone, and so are all connections.
  void crash() {
    if (listener_ < 0) return;
    ending_ = true;
    shutdown(listener_, SHUT_RDWR);
    {
      std::lock_guard lock(mutex_);
      for (const int fd : connections_) shutdown(fd, SHUT_RDWR);
    }
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    connections_.clear();
    close(listener_);
    listener_ = -1;
    cache_ = durable_;
  }
  void start() {
    ending_ = false;
    unlink(file_.path.c_str());
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, file_.path.c_str(), sizeof at.sun_path - 1);
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
        listen(listener_, 16) != 0) {
      abort();
    }
    acceptor_ = std::thread([this] { accept_all(); });
  }
  void resize(size_t bytes) {
    durable_.resize(bytes);
    cache_.resize(bytes);
  }

  // Called for each request; what it returns is the error, and below 0 ends the connection without
  // an answer.
  std::function<int(const Request&)> judge;
  std::vector<uint8_t> durable() {
    std::lock_guard lock(mutex_);
    return durable_;
  }
  std::vector<uint8_t> cache() {
    std::lock_guard lock(mutex_);
    return cache_;
  }
  unsigned count(Command command) const { return counts_[command]; }
  unsigned connections() {
    std::lock_guard lock(mutex_);
    return static_cast<unsigned>(connections_.size());
  }
  unsigned most_bytes() const { return most_; }

 private:
  static bool get(int fd, void* out, size_t size) {
    auto* p = static_cast<uint8_t*>(out);
    while (size > 0) {
      const ssize_t n = recv(fd, p, size, 0);
      if (n <= 0) return false;
      p += n;
      size -= static_cast<size_t>(n);
    }
    return true;
  }
  static bool put(int fd, const std::vector<uint8_t>& bytes) {
    return send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  template <typename T>
  static T big(const uint8_t* p) {
    T value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value << 8 | p[i]);
    return value;
  }
  template <typename T>
  static void add(std::vector<uint8_t>& out, T value) {
    for (size_t i = sizeof(T); i-- > 0;) out.push_back(static_cast<uint8_t>(value >> 8 * i));
  }

  void accept_all() {
    for (;;) {
      const int fd = accept(listener_, nullptr, nullptr);
      if (fd < 0 || ending_) {
        if (fd >= 0) close(fd);
        return;
      }
      std::lock_guard lock(mutex_);
      connections_.push_back(fd);
      threads_.emplace_back([this, fd] {
        if (greet(fd)) serve(fd);
        {
          std::lock_guard inner(mutex_);
          std::erase(connections_, fd);
        }
        close(fd);
      });
    }
  }

  bool greet(int fd) {
    std::vector<uint8_t> hello;
    add<uint64_t>(hello, 0x4e42444d41474943);  // NBDMAGIC
    add<uint64_t>(hello, 0x49484156454f5054);  // IHAVEOPT
    add<uint16_t>(hello, 3);
    uint8_t client_flags[4];
    if (!put(fd, hello) || !get(fd, client_flags, 4)) return false;
    for (;;) {
      uint8_t head[16];
      if (!get(fd, head, sizeof head)) return false;
      const auto option = big<uint32_t>(head + 8), length = big<uint32_t>(head + 12);
      std::vector<uint8_t> data(length);
      if (!get(fd, data.data(), length)) return false;
      const auto reply = [&](uint32_t type, const std::vector<uint8_t>& payload) {
        std::vector<uint8_t> out;
        add<uint64_t>(out, 0x3e889045565a9);
        add<uint32_t>(out, option);
        add<uint32_t>(out, type);
        add<uint32_t>(out, static_cast<uint32_t>(payload.size()));
        out.insert(out.end(), payload.begin(), payload.end());
        return put(fd, out);
      };
      if (option != 7) {  // GO
        if (!reply(0x80000001, {})) return false;
        continue;
      }
      std::vector<uint8_t> info;
      add<uint16_t>(info, 0);
      add<uint64_t>(info, durable_.size());
      add<uint16_t>(info, flags_);
      return reply(3, info) && reply(1, {});
    }
  }

  void serve(int fd) {
    for (;;) {
      uint8_t head[28];
      if (!get(fd, head, sizeof head)) return;
      const Request r{big<uint16_t>(head + 4), big<uint16_t>(head + 6), big<uint64_t>(head + 16),
                      big<uint32_t>(head + 24)};
      std::vector<uint8_t> data;
      if (r.command == kWrite) {
        data.resize(r.bytes);
        if (!get(fd, data.data(), data.size())) return;
      }
      if (r.command == kDisc) return;
      const int error = judge ? judge(r) : 0;
      if (error < 0) return;
      std::vector<uint8_t> out;
      add<uint32_t>(out, 0x67446698);
      add<uint32_t>(out, static_cast<uint32_t>(error));
      out.insert(out.end(), head + 8, head + 16);
      std::lock_guard lock(mutex_);
      if (ending_) return;
      ++counts_[r.command];
      if (error == 0) perform(r, data, out);
      if (!put(fd, out)) return;
    }
  }

  void perform(const Request& r, const std::vector<uint8_t>& data, std::vector<uint8_t>& out) {
    const auto at = cache_.begin() + static_cast<ptrdiff_t>(r.offset);
    if (r.command == kRead || r.command == kWrite) most_ = std::max<unsigned>(most_, r.bytes);
    if (r.command == kRead) out.insert(out.end(), at, at + r.bytes);
    if (r.command == kWrite) std::copy(data.begin(), data.end(), at);
    if (r.command == kZero || r.command == kTrimNow) std::fill(at, at + r.bytes, uint8_t{0});
    if (r.command == kFlushNow || ((r.flags & 1) != 0 && r.command != kRead)) durable_ = cache_;
  }

  const TempFile file_;
  const uint16_t flags_;
  std::mutex mutex_;
  std::vector<uint8_t> durable_, cache_;
  std::atomic<unsigned> counts_[8]{};
  std::atomic<unsigned> most_{0};
  std::atomic<bool> ending_{false};
  int listener_ = -1;
  std::thread acceptor_;
  std::vector<int> connections_;
  std::vector<std::thread> threads_;
};

}  // namespace trapline::virtio::test

#endif  // TRAPLINE_TESTS_DEVICES_VIRTIO_NBD_SERVER_H_
