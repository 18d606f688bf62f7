// Which pages of RAM were written, and how they are copied out while the guest goes on writing.
#ifndef TRAPLINE_VMM_STATE_DIRTY_LOG_H_
#define TRAPLINE_VMM_STATE_DIRTY_LOG_H_

#include <cstdint>
#include <vector>

#include "vmm/machine/machine.h"

namespace trapline::state {

// A bit for each page of RAM.
class PageSet {
 public:
  explicit PageSet(uint64_t pages) : pages_(pages), words_((pages + 63) / 64) {}
  uint64_t pages() const { return pages_; }
  std::vector<uint64_t>& words() { return words_; }
  const std::vector<uint64_t>& words() const { return words_; }
  bool has(uint64_t page) const { return (words_[page / 64] >> page % 64 & 1) != 0; }
  uint64_t count() const;
  void add(const PageSet& other);
  void add_all();
  void clear();

 private:
  uint64_t pages_;
  std::vector<uint64_t> words_;
};

GuestMemory::Slot& ram_of(Machine& machine);

class DirtyLog {
 public:
  explicit DirtyLog(Machine& machine);

  // From here on, unless it has begun: what is written is noted.
  void start();
  // The pages written since the last take(), or start(); whoever reads their bytes afterwards gets
  // what was in them when they were taken, or they are in the next one.
  PageSet take();
  // All that was taken since forget(): of a save, at its last instant.
  const PageSet& since() const { return since_; }
  void forget() { since_.clear(); }
  void remember(const PageSet& pages) { since_.add(pages); }

 private:
  Machine& machine_;
  PageSet since_;
};

// Where copies of pages go. False ends the copying.
class PageSink {
 public:
  virtual ~PageSink() = default;
  // At most kMostPages of them, from page number `first` of RAM on.
  virtual bool pages(uint64_t first, uint32_t count, const uint8_t* bytes) = 0;
  virtual bool zeroes(uint64_t first, uint32_t count) = 0;
};

// The pages of `set`. `fresh`: where they go all is zero yet, and zeroes need not be said.
bool copy_pages(Machine& machine, const PageSet& set, bool fresh, PageSink& sink);

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_DIRTY_LOG_H_
