// The ring of a disk, used by hand: what system call filters never see.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <string>

#include "devices/virtio/blk_engine.h"
#include "devices/virtio/image.h"
#include "tests/vmm/jail/attempts.h"
#include "vmm/jail/jail.h"

namespace trapline::jail::test {
namespace {

// Where a ring's parts lie is the same for all of its size.
struct Ring {
  io_uring_params parameters{};
  uint8_t* shared = nullptr;
  io_uring_sqe* entries = nullptr;
  int fd = -1;

  bool open(int of_the_disk, unsigned size) {
    const auto like = static_cast<int>(syscall(SYS_io_uring_setup, size, &parameters));
    if (like < 0) return false;
    ::close(like);
    fd = of_the_disk;
    const size_t bytes =
        std::max<size_t>(parameters.cq_off.cqes + parameters.cq_entries * sizeof(io_uring_cqe),
                         parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned));
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    void* sqes = mmap(nullptr, parameters.sq_entries * sizeof(io_uring_sqe), PROT_READ | PROT_WRITE,
                      MAP_SHARED, fd, IORING_OFF_SQES);
    if (at == MAP_FAILED || sqes == MAP_FAILED) return false;
    shared = static_cast<uint8_t*>(at);
    entries = static_cast<io_uring_sqe*>(sqes);
    return true;
  }
  unsigned& word(unsigned offset) { return *reinterpret_cast<unsigned*>(shared + offset); }

  // The result of one operation.
  int perform(const io_uring_sqe& entry) {
    const unsigned mask = word(parameters.sq_off.ring_mask);
    unsigned& tail = word(parameters.sq_off.tail);
    entries[tail & mask] = entry;
    word(parameters.sq_off.array + 4 * (tail & mask)) = tail & mask;
    std::atomic_ref<unsigned>(tail).store(tail + 1);
    if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) < 0) return 1;
    unsigned& head = word(parameters.cq_off.head);
    const auto* done = reinterpret_cast<io_uring_cqe*>(shared + parameters.cq_off.cqes);
    const int result = done[head & word(parameters.cq_off.ring_mask)].res;
    std::atomic_ref<unsigned>(head).store(head + 1);
    return result;
  }
};

int ring_of_this_process() {
  for (int fd = 3; fd < 256; ++fd) {
    char name[64] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    if (readlink(link.c_str(), name, sizeof name - 1) > 0 &&
        std::string(name).find("io_uring") != std::string::npos) {
      return fd;
    }
  }
  return -1;
}

TEST(Ring, OfADiskDoesWhatADiskNeeds) {
  char path[] = "/tmp/trapline-ring-XXXXXX";
  const int file = mkstemp(path);
  ASSERT_EQ(ftruncate(file, 1 << 20), 0);
  ::close(file);
  const int kick = eventfd(0, EFD_CLOEXEC);
  auto made = virtio::open_image(path, {});
  ASSERT_NE(made.image, nullptr) << made.error;
  const auto engine = virtio::make_uring_engine(*made.image, kick);
  if (engine == nullptr) GTEST_SKIP() << "no io_uring here";

  static char bytes[512];
  static iovec iov{bytes, sizeof bytes};
  static const char* const words[] = {"/etc/passwd", "/bin/true"};
  io_uring_sqe read{};
  read.opcode = IORING_OP_READV;
  read.flags = IOSQE_FIXED_FILE;
  read.addr = reinterpret_cast<uintptr_t>(&iov);
  read.len = 1;
  io_uring_sqe open{};
  open.opcode = IORING_OP_OPENAT;
  open.fd = AT_FDCWD;
  open.addr = reinterpret_cast<uintptr_t>(words[0]);
  io_uring_sqe open_fixed = open;
  open_fixed.flags = IOSQE_FIXED_FILE;
  io_uring_sqe make_socket{};
  make_socket.opcode = 45;  // IORING_OP_SOCKET
  make_socket.fd = AF_INET;
  make_socket.off = SOCK_STREAM;
  io_uring_sqe plain = read;
  plain.flags = 0;
  plain.fd = 0;
  io_uring_sqe third = read;
  third.fd = 2;
  io_uring_sqe nothing{};
  nothing.opcode = IORING_OP_NOP;
  io_uring_sqe close_it{};
  close_it.opcode = IORING_OP_CLOSE;
  close_it.flags = IOSQE_FIXED_FILE;
  io_uring_sqe update{};
  update.opcode = IORING_OP_FILES_UPDATE;
  const struct {
    const char* what;
    io_uring_sqe entry;
    int fate;
  } kRows[] = {
      {"readv of the disk", read, 0},
      {"openat", open, EACCES},
      {"openat, fixed", open_fixed, EACCES},
      {"socket", make_socket, EACCES},
      {"readv of a descriptor", plain, EACCES},
      {"readv of a third file", third, EBADF},
      {"nop", nothing, EACCES},
      {"close", close_it, EACCES},
      {"files_update", update, EACCES},
  };
  const int fd = ring_of_this_process();
  ASSERT_GE(fd, 0);
  for (const auto& row : kRows) {
    Ring ring;
    const int fate = fate_of(
        [&] {  // whoever is in the jail has the ring mapped already
          if (!ring.open(fd, 2 * virtio::BlkEngine::kMaxInFlight)) return std::string("no ring");
          std::string note;
          return close({}, note);
        },
        [&] {
          const int result = ring.perform(row.entry);
          return result < 0 ? -result : result == 512 ? 0 : 98;
        });
    EXPECT_EQ(fate, row.fate) << row.what;
  }
  unlink(path);
}

}  // namespace
}  // namespace trapline::jail::test
