// What an NBD server has said yes to and was not asked to make durable yet: if it dies, these
// writes are sent to the next one.
#ifndef TRAPLINE_DEVICES_VIRTIO_NBD_JOURNAL_H_
#define TRAPLINE_DEVICES_VIRTIO_NBD_JOURNAL_H_

#include <cstdint>
#include <deque>
#include <memory>

#include "devices/virtio/blk_engine.h"

namespace trapline::virtio {

struct NbdWrite {
  BlkOp op = BlkOp::kWrite;  // or kDiscard, kWriteZeroes
  bool may_unmap = false;
  uint64_t offset = 0, bytes = 0;
  std::unique_ptr<uint8_t[]> data;  // kWrite: `bytes` of them
};

class NbdJournal {
 public:
  // `limit`: bytes of memory.
  explicit NbdJournal(uint64_t limit) : limit_(limit) {}

  // In the order of their completion. Beyond the limit all is forgotten.
  void add(NbdWrite write);
  // What a write of `bytes` takes of the limit, and whether so much more is left.
  static uint64_t cost(uint64_t bytes) { return kOverhead + bytes; }
  bool has_room(uint64_t cost) const { return cost_ + cost <= limit_; }
  // A flush that is sent now covers what was added so far: flushed() with this once it is done.
  uint64_t mark() const { return added_; }
  void flushed(uint64_t mark);

  // False: something that was added since the last flush is not in writes().
  bool whole() const { return forgotten_ == 0; }
  // So much is kept that a flush should be asked for, whether the guest does or not.
  bool wants_flush() const { return cost_ > limit_ / 2; }
  const std::deque<NbdWrite>& writes() const { return writes_; }
  // How many of writes(), from `first` on and at most `most`, touch no byte that another of them
  // does: these may be sent at once, in any order.
  size_t apart(size_t first, size_t most) const;

 private:
  static constexpr uint64_t kOverhead = 64;  // bytes of an entry, besides its data
  void forget();

  const uint64_t limit_;
  uint64_t cost_ = 0;
  uint64_t added_ = 0;      // in all; the last of writes_ has this number
  uint64_t forgotten_ = 0;  // up to this number, and not flushed; 0: none
  std::deque<NbdWrite> writes_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NBD_JOURNAL_H_
