// Descriptor -> object. Looked up at every ioctl, close and dup of the process, without a lock.
#ifndef TRAPLINE_VMM_NISV_DESCRIPTORS_H_
#define TRAPLINE_VMM_NISV_DESCRIPTORS_H_

#include <atomic>
#include <memory>
#include <mutex>

#include "vmm/nisv/object.h"

namespace trapline::nisv {

class Descriptors {
 public:
  // Whether there is something at `fd`; safe in a signal's handler and in a vfork's child.
  bool known(int fd) const { return peek(fd) != nullptr; }
  // Empty if there is nothing.
  Ref<Object> find(int fd) const;
  // Takes over a reference; what was there is let go. Of a negative number the reference is
  // dropped.
  void set(int fd, Object* object);
  void forget(int fd) { set(fd, nullptr); }
  // `to` is what `from` is, after a dup.
  void copy(int from, int to);
  // In a fork's child: all are gone, without a word to anybody.
  void clear();
  // Calls visit(fd, Object&) of each.
  template <typename Visit>
  void each(Visit&& visit) const {
    for (unsigned c = 0; c < kChunks; ++c) {
      Chunk* chunk = chunks_[c].load(std::memory_order_acquire);
      if (chunk == nullptr) continue;
      for (unsigned i = 0; i < kChunk; ++i) {
        Ref<Object> found = find(static_cast<int>(c * kChunk + i));
        if (found) visit(static_cast<int>(c * kChunk + i), *found.get());
      }
    }
  }

 private:
  static constexpr unsigned kChunk = 1024, kChunks = 1024;
  using Chunk = std::atomic<Object*>[kChunk];

  Object* peek(int fd) const;
  std::atomic<Object*>* place(int fd);

  std::atomic<Chunk*> chunks_[kChunks]{};
  std::mutex growing_;
};

}  // namespace trapline::nisv

#endif  // TRAPLINE_VMM_NISV_DESCRIPTORS_H_
