// Block I/O by io_uring: one ring, which is also what the I/O thread sleeps on.
#include <liburing.h>
#include <linux/falloc.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <iterator>

#include "devices/virtio/blk_engine.h"

namespace trapline::virtio {
namespace {

// Every request has at most one operation in the ring, and the kick's poll one.
constexpr unsigned kEntries = 2 * BlkEngine::kMaxInFlight;
// The ring's files, by their places in its table.
constexpr int kImage = 0, kKick = 1;

class UringEngine final : public BlkEngine {
 public:
  // A ring performs what no filter of system calls sees: it begins disabled, and can do what a
  // disk needs, with the files it was given, for ever.
  UringEngine(Image& image, int kick_fd) : image_(image) {
    valid_ = io_uring_queue_init(kEntries, &ring_, IORING_SETUP_R_DISABLED) == 0;
    if (valid_ && !(has_operations() && restrict_to(image.raw_fd(), kick_fd))) {
      io_uring_queue_exit(&ring_);
      valid_ = false;
    }
  }
  ~UringEngine() override {
    if (valid_) io_uring_queue_exit(&ring_);
  }
  bool valid() const { return valid_; }

  void submit(BlkRequest* r) override {
    io_uring_sqe* sqe = next_sqe();
    constexpr int fd = kImage;
    // The kernel takes no more at once; advance() comes again for the others.
    const auto iovs =
        static_cast<unsigned>(std::min<size_t>(r->iov.size() - r->first_iov, IOV_MAX));
    switch (r->syncing ? BlkOp::kFlush : r->op) {
      case BlkOp::kRead:
        io_uring_prep_readv(sqe, fd, r->iov.data() + r->first_iov, iovs, r->offset + r->done);
        break;
      case BlkOp::kWrite:
        io_uring_prep_writev(sqe, fd, r->iov.data() + r->first_iov, iovs, r->offset + r->done);
        if (r->durable) sqe->rw_flags = RWF_DSYNC;
        break;
      case BlkOp::kFlush:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
      case BlkOp::kDiscard:
        prep_fallocate(sqe, fd, FALLOC_FL_PUNCH_HOLE, *r);
        break;
      case BlkOp::kWriteZeroes:
        prep_fallocate(sqe, fd, r->may_unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE, *r);
        break;
    }
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data(sqe, r);
  }

  void wait(int kick_fd, bool block, std::vector<BlkRequest*>& done) override {
    if (!polling_) {
      io_uring_sqe* sqe = next_sqe();
      io_uring_prep_poll_add(sqe, kKick, POLLIN);
      io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
      io_uring_sqe_set_data(sqe, nullptr);
      polling_ = true;
    }
    // Errors (interrupted, completions to be reaped first) resolve by looking and coming again.
    io_uring_submit_and_wait(&ring_, block ? 1 : 0);
    io_uring_cqe* cqes[64];
    while (const unsigned n = io_uring_peek_batch_cqe(&ring_, cqes, 64)) {
      for (unsigned i = 0; i < n; ++i) {
        auto* request = static_cast<BlkRequest*>(io_uring_cqe_get_data(cqes[i]));
        const int result = cqes[i]->res;
        if (request == nullptr) {
          polling_ = false;
          drain(kick_fd, result);
        } else if (finished(*request, result)) {
          done.push_back(request);
        } else {
          submit(request);
        }
      }
      io_uring_cq_advance(&ring_, n);
    }
  }

 private:
  bool has_operations() {
    io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
    const bool all = probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_READV) &&
                     io_uring_opcode_supported(probe, IORING_OP_WRITEV) &&
                     io_uring_opcode_supported(probe, IORING_OP_FSYNC) &&
                     io_uring_opcode_supported(probe, IORING_OP_POLL_ADD) &&
                     io_uring_opcode_supported(probe, IORING_OP_FALLOCATE);
    io_uring_free_probe(probe);
    return all;
  }

  // Debian's liburing 2.3 declares functions for these two that it does not have.
  bool register_with(unsigned operation, const void* argument, unsigned count) const {
    return syscall(SYS_io_uring_register, ring_.ring_fd, operation, argument, count) == 0;
  }

  bool restrict_to(int image_fd, int kick_fd) {
    const int files[] = {image_fd, kick_fd};
    constexpr uint8_t kOperations[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
                                       IORING_OP_FALLOCATE, IORING_OP_POLL_ADD};
    io_uring_restriction rules[std::size(kOperations) + 1] = {};
    for (size_t i = 0; i < std::size(kOperations); ++i) {
      rules[i].opcode = IORING_RESTRICTION_SQE_OP;
      rules[i].sqe_op = kOperations[i];
    }
    io_uring_restriction& flags = rules[std::size(kOperations)];
    flags.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
    flags.sqe_flags = IOSQE_FIXED_FILE;
    return register_with(IORING_REGISTER_RESTRICTIONS, rules, std::size(rules)) &&
           io_uring_register_files(&ring_, files, std::size(files)) == 0 &&
           register_with(IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  }

  io_uring_sqe* next_sqe() {
    io_uring_sqe* sqe;
    while ((sqe = io_uring_get_sqe(&ring_)) == nullptr) io_uring_submit(&ring_);
    return sqe;
  }

  static void prep_fallocate(io_uring_sqe* sqe, int fd, int mode, const BlkRequest& r) {
    io_uring_prep_fallocate(sqe, fd, mode | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(r.offset),
                            static_cast<off_t>(r.bytes));
  }

  static void drain(int kick_fd, int events) {
    if (events < 0 || (events & POLLIN) == 0) return;
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(kick_fd, &count, sizeof count);
  }

  // Takes the outcome of the request's operation. False: it needs another.
  bool finished(BlkRequest& r, int result) {
    if (result == -EINTR || result == -EAGAIN) return false;
    if (r.syncing || r.op == BlkOp::kFlush) {
      r.result = result < 0 ? result : 0;
      return true;
    }
    if (r.op == BlkOp::kDiscard || r.op == BlkOp::kWriteZeroes) {
      if (result == -EOPNOTSUPP || result == -ENOSYS) {
        // Rare file systems: the slow ways, on this thread.
        perform(image_, r);
        return true;
      }
      r.result = result < 0 ? result : 0;
      if (r.result != 0 || !r.durable) return true;
      r.syncing = true;
      return false;
    }
    if (result < 0) {
      r.result = result;
      return true;
    }
    return advance(r, static_cast<uint64_t>(result));
  }

  // A read or write moved `moved` bytes.
  static bool advance(BlkRequest& r, uint64_t moved) {
    r.done += moved;
    if (r.done >= r.bytes) return true;
    if (moved == 0) {
      // The file shrank under us: its missing tail reads as zeroes and cannot be written.
      if (r.op == BlkOp::kWrite) {
        r.result = -EIO;
      } else {
        for (size_t i = r.first_iov; i < r.iov.size(); ++i) {
          std::memset(r.iov[i].iov_base, 0, r.iov[i].iov_len);
        }
      }
      return true;
    }
    while (moved >= r.iov[r.first_iov].iov_len) moved -= r.iov[r.first_iov++].iov_len;
    iovec& v = r.iov[r.first_iov];
    v.iov_base = static_cast<uint8_t*>(v.iov_base) + moved;
    v.iov_len -= moved;
    return false;
  }

  Image& image_;
  io_uring ring_;
  bool valid_ = false;
  bool polling_ = false;
};

}  // namespace

std::unique_ptr<BlkEngine> make_uring_engine(Image& image, int kick_fd) {
  if (image.raw_fd() < 0) return nullptr;
  auto engine = std::make_unique<UringEngine>(image, kick_fd);
  if (!engine->valid()) return nullptr;
  return engine;
}

}  // namespace trapline::virtio
