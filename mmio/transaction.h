// One access on its way through translation, checks and performance. Internal to mmio/: emulate.cc
// builds one on its stack and hands it to the file of the instruction's kind.
//
// Rule 2, all or nothing: plan() translates and checks every byte and touches nothing; read() and
// write() then perform the pieces; the caller stores registers last.
#ifndef TRAPLINE_MMIO_TRANSACTION_H_
#define TRAPLINE_MMIO_TRANSACTION_H_

#include <cstdint>

#include "mmio/emulate.h"
#include "mmio/single_access.h"

namespace trapline::emulation {

inline constexpr uint64_t kPageBytes = 0x1000;
inline constexpr unsigned kMaxBytes = 64;  // of an access that is planned in pieces

// DFSC, D17.2.37.
inline constexpr uint8_t kFscAlignment = 0x21;
inline constexpr uint8_t kFscUnsupportedAtomic = 0x35;

// Bytes that one RAM or device access performs.
struct Piece {
  uint8_t* host;                 // RAM; null: a device
  const BusMap::Region* region;  // the device's window
  uint64_t ipa;
  uint8_t at;    // the first byte's place in the access
  uint8_t size;  // 1, 2, 4 or 8
};

// An access cut into pieces, which lie in the transaction's workspace.
struct Pieces {
  Piece* piece = nullptr;
  unsigned count = 0;
  uint64_t va = 0;
};

// What plan() is asked for: `bytes` at `va` in units of 1, 2, 4 or 8.
struct Range {
  uint64_t va;
  uint8_t unit;  // 0: any, aligned parts of up to 8 inside one page (MOPS)
  uint8_t bytes;
  uint8_t align;  // what unaligned means for Device memory: the element's bytes
  Direction dir;
  bool unprivileged = false;
  bool tags_only = false;     // nothing will be transferred: devices are not asked
  bool never_device = false;  // an alignment fault on Device memory at any address (DC ZVA)
  bool may_differ = false;    // need not be the access that the hardware translated: walk anew
};

// A page's worth of an access: where stage 1 leads.
struct Place {
  uint64_t ipa;
  uint8_t* host;  // RAM, else null
};

// What is too large for a kernel's stack. Nothing in it outlives an access.
struct Workspace {
  Workspace() {}  // as it is found: all is written before it is read
  Piece piece[kMaxBytes];
  union {
    uint8_t data[kMaxBytes];        // the access's bytes, a memory image
    uint64_t words[kMaxBytes / 8];  // of FEAT_LS64
  };
  union {
    Translation translation;
  };
  Place places[2];
  Range range;
  Pieces pieces;
  Pieces source;  // of a copy
};

struct Transaction {
  const Access& access;
  uint64_t va;
  CpuView& view;
  const BusMap* bus;
  EmulateContext& context;
  Outcome& outcome;
  Workspace& work;

  uint64_t& x(unsigned index) const { return view.regs->x[index]; }  // reads: 31 is XZR
  // Results: XZR swallows.
  void set_x(unsigned index, uint64_t value) const {
    view.regs->x[index == kRegZr ? kSlotDiscard : index] = value;
  }
  uint64_t base() const { return view.regs->x[access.rn == 31 ? kSlotSp : access.rn]; }
  // The base after the access; taken before results are stored, which may go to the same register.
  uint64_t next_base() const;
  void write_back(uint64_t next_base) const {
    if (access.writes_back()) view.regs->x[access.rn == 31 ? kSlotSp : access.rn] = next_base;
  }

  // Each returns false and fills `outcome` when the access ends here.
  bool plan(const Range& range, Pieces& pieces);
  // The same into work.pieces, for an access of one range.
  bool plan(const Range& range) {
    work.range = range;
    work.pieces.piece = work.piece;
    return plan(work.range, work.pieces);
  }
  // The view's answer, which stands in the workspace until the next one.
  const Translation& translate(uint64_t va, unsigned bytes, Direction dir, bool unprivileged);
  // Translates [va, va + bytes), inside one page, and finds whether RAM is there.
  bool locate(const Range& range, uint64_t va, unsigned bytes, Place& place);
  // The pieces, of which the first `first` bytes lie in work.places[0].
  bool cut(const Range& range, Pieces& pieces, unsigned first);
  // The bytes of the piece at `at`, whose first byte is at `ipa`.
  unsigned piece_size(const Range& range, const Place& place, uint64_t ipa, unsigned at,
                      unsigned first);
  // The region of a device's bytes, asked whether it takes the access.
  const BusMap::Region* find_device(const Range& range, uint64_t va, uint64_t ipa, unsigned size);
  // SCTLR.A, and for `always` (ordered, exclusive, atomic) the rule of B2.2.2.
  bool check_alignment(uint64_t va, unsigned align, bool always, bool write);
  bool read(const Pieces& pieces, uint8_t* data);
  bool write(const Pieces& pieces, const uint8_t* data);
  bool read_device(const BusMap::Region& region, uint64_t ipa, unsigned size, uint64_t va,
                   uint64_t& value);
  // `in_exclusion`: the caller holds the region's gate.
  bool write_device(const BusMap::Region& region, uint64_t ipa, unsigned size, uint64_t va,
                    uint64_t value, bool in_exclusion);

  bool fault(uint64_t far, uint8_t fsc, bool write);
  bool unsupported();
  bool retry();
};

// A touch of RAM. If it tests false, what was planned does not hold any more and the transaction
// ends in kRetry.
class RamScope {
 public:
  explicit RamScope(Transaction& t) : view_(t.view), held_(view_.begin_ram()) {
    if (!held_) [[unlikely]] {
      t.retry();
    }
  }
  ~RamScope() {
    if (held_) view_.end_ram();
  }
  RamScope(const RamScope&) = delete;
  RamScope& operator=(const RamScope&) = delete;
  explicit operator bool() const { return held_; }

 private:
  CpuView& view_;
  bool held_;
};

// Endianness of one element, between a register's value and its memory image.
inline uint64_t swap_element(uint64_t value, unsigned size) {
  return __builtin_bswap64(value) >> (64 - 8 * size);
}
uint64_t load_element(const uint8_t* data, unsigned size, bool big_endian);
void store_element(uint8_t* data, uint64_t value, unsigned size, bool big_endian);

// emulate() without its fast path, for callers who have the workspace elsewhere than on the stack.
// `t.outcome` is as it was made.
void general_access(Transaction& t);

// The kinds of access. Each performs t.access completely and leaves the end in t.outcome.
void plain(Transaction& t);                // emulate_plain.cc
void exclusive(Transaction& t);            // emulate_exclusive.cc
void read_modify_write(Transaction& t);    // emulate_atomic.cc
void structure(Transaction& t);            // emulate_structure.cc
void sixty_four_bytes(Transaction& t);     // emulate_block.cc
void zero_block(Transaction& t);           // emulate_block.cc
void tags(Transaction& t);                 // emulate_tags.cc
void memory_copy_and_set(Transaction& t);  // emulate_mops.cc
// The lowest byte of the next chunk. `source`: of a copy's source.
uint64_t mops_next_address(const Access& access, const CpuView& view, bool source);
// The bytes still to do, for the agreement with a syndrome: [low, low + size).
struct MopsExtent {
  uint64_t low, size;
};
MopsExtent mops_extent(const Access& access, const CpuView& view, bool source);

// The block of DC ZVA and STZGM, and the largest one of LDGM and STGM (GMID_EL1.BS == 6).
uint64_t zero_block_bytes(const CpuView& view);
inline constexpr uint64_t kTagBlockBytes = 256;

// A pointer without its PAC (AArch64.Auth: "original_ptr"), its tag kept where it is ignored.
uint64_t strip_pac(uint64_t pointer, const CpuView& view);
// An address as translation sees it: the top byte replaced by bit 55 where it is ignored.
uint64_t strip_tag(uint64_t va, const CpuView& view);

}  // namespace trapline::emulation

#endif  // TRAPLINE_MMIO_TRANSACTION_H_
