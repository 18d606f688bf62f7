// Guest-physical memory as the VMM and its devices touch it. Every write by the VMM goes through
// write(), or through a pointer from host() followed by dma_done() *before* the guest is told (used
// ring, interrupt): the one hook for instruction-cache invalidation and dirty tracking.
#ifndef TRAPLINE_VMM_MEMORY_GUEST_MEMORY_H_
#define TRAPLINE_VMM_MEMORY_GUEST_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mmio/zero_memory.h"

namespace trapline {

inline constexpr unsigned kPageLog2 = 12;
inline constexpr uint64_t kPageSize = uint64_t{1} << kPageLog2;
inline constexpr uint64_t kPageMask = kPageSize - 1;

class GuestMemory {
 public:
  // Why a write to a page needs more than the write; atomically set and cleared bits of a byte a
  // page. The software CPU keeps write-TLB entries of a flagged page on its slow path.
  enum PageFlag : uint8_t {
    kHasCode = 1,       // some vCPU holds predecoded instructions of this page
    kWatched = 2,       // icache policy `protect` wants to see writes
    kWatchedByAll = 8,  // no write TLB of any vCPU is older than kWatched
    kTrackDirty = 4,    // the next write is noted in `dirty`, and clears the flag
    kShown = 16,        // an observer shows the page, wants to hear of a write, and clears the flag
  };

  struct Slot {
    uint64_t base;
    uint64_t size;
    uint8_t* host;
    bool writable;  // by the guest; the VMM may write read-only slots (flash) through host
    ZeroArray<std::atomic<uint8_t>> page_flags;
    // A bit a page, of pages written since track_dirty() flagged them; null before.
    ZeroArray<std::atomic<uint64_t>> dirty;
    uint64_t pages() const { return size >> kPageLog2; }
  };

  // Called after [ipa, ipa + size) was written by the VMM, a device, or a guest store to a page
  // whose flags are not zero; any thread, no locks held.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void memory_written(uint64_t ipa, uint64_t size) = 0;
    // Stage 2 was changed, or memory got another content or host address (snapshot restore).
    virtual void memory_map_changed() {}
  };

  GuestMemory() = default;
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // Anonymous, zeroed, lazily populated memory. Returns an error text, empty on success.
  std::string add(uint64_t base, uint64_t size, bool writable);
  // Assembly time only.
  void add_observer(Observer* observer) { observers_.push_back(observer); }

  // The host address of [ipa, ipa + size), or null if not wholly inside one slot.
  uint8_t* host(uint64_t ipa, uint64_t size) const;
  const Slot* slot(uint64_t ipa) const;
  // Null outside memory.
  std::atomic<uint8_t>* page_flags(uint64_t ipa) const;

  bool read(uint64_t ipa, void* out, uint64_t size) const;
  bool write(uint64_t ipa, const void* data, uint64_t size);
  void dma_done(uint64_t ipa, uint64_t size);
  void map_changed();
  // The CPU's slow path after a store to a flagged page.
  void guest_wrote(uint64_t ipa, uint64_t size) { dma_done(ipa, size); }

  const std::vector<Slot>& slots() const { return slots_; }
  std::vector<Slot>& slots() { return slots_; }

  // Flags every page of a slot that the guest can write, and forgets what was dirty. From here on
  // dma_done() notes pages, and a vCPU's stores do once Backend::track_writes() was called.
  void track_dirty();
  bool tracks_dirty() const { return tracking_.load(std::memory_order_relaxed); }
  // Takes the bits of 64 pages, from page 64 * `word` of the slot on, and flags those again:
  // track_writes() before their bytes are read.
  static uint64_t take_dirty(Slot& slot, uint64_t word);

  // Puts `size` bytes of a file, from a page-aligned offset on, in the place of [ipa, ipa + size):
  // read when they are touched, and the guest's own from the first write. While nothing runs. Zero
  // or an errno.
  int map_file(uint64_t ipa, uint64_t size, int fd, uint64_t offset);
  // Fills [ipa, ipa + size), page-aligned, with a byte, without as much memory of the host: all of
  // it is the same pages until it is written. While nothing runs.
  void fill(uint64_t ipa, uint64_t size, uint8_t byte);
  // The host has [ipa, ipa + size), whole pages in one slot, for itself until they are touched
  // again: they are zero then, or what a mapped file holds. Any thread.
  void give_back(uint64_t ipa, uint64_t size);
  // Moves the pages at `from`, which is anonymous memory of whole pages, to [ipa, ipa + size).
  int move_in(uint64_t ipa, uint64_t size, uint8_t* from);

 private:
  void note_dirty(uint64_t ipa, uint64_t size);

  std::atomic<bool> tracking_{false};
  std::vector<Slot> slots_;
  std::vector<Observer*> observers_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_GUEST_MEMORY_H_
