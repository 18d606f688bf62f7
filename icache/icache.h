// The decoded-instruction cache: where a data abort with ISV=0 finds the Access of the instruction
// that trapped, without a table walk, a fetch or a decode. One ICache a vCPU.
//
// Owner thread: the vCPU's. invalidate_page(), invalidate_range(), invalidate_all() and counters()
// may be called from any thread; everything else only by the owner. lookup() takes no lock.
//
// Freestanding: this header and icache.cc compile with -ffreestanding -fno-exceptions -fno-rtti and
// never allocate; the storage is the caller's (icache/owned.h lends it from the heap).
//
// How an exit uses it, by policy:
//   rewalk   fetch; lookup_word(word); on a miss decode and insert_word(word, access)
//   recheck  set_context(regs); lookup(pc); on a miss: t = begin(); fetch; decode;
//            insert(pc, access, source, t)
//   protect  set_context(regs); lookup(pc); on a miss: t = begin(); fetch; watch every page of
//            source_pages(); fetch again, and go on only if it is the same; decode; insert(...)
#ifndef TRAPLINE_ICACHE_ICACHE_H_
#define TRAPLINE_ICACHE_ICACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "decode/access.h"

namespace trapline::icache {

enum class Policy : uint8_t {
  kOff,      // never hits
  kRewalk,   // keyed by the instruction word: walk and fetch each time, the decode is saved
  kRecheck,  // a hit reads the descriptors and the word that the entry was made from again
  kProtect,  // code and table pages are watched for writes; a write drops the entries
};

// What decides how a PC translates. No padding: compared and hashed as bytes.
struct Context {
  uint64_t sctlr = 0;
  uint64_t tcr = 0;
  uint64_t mair = 0;
  uint64_t ttbr0 = 0;
  uint64_t ttbr1 = 0;
  // Stage 2 of a hypervisor in the guest, whose guest runs; 0 where there is none.
  uint64_t vttbr = 0;
  uint64_t vtcr = 0;
  uint16_t vmid = 0;
  uint8_t el = 0;
  uint8_t regime = 0;        // of the two that EL2 may have
  uint8_t guest_stage2 = 0;  // what else decides it
  uint8_t zero[3] = {};

  friend bool operator==(const Context&, const Context&) = default;
};
static_assert(sizeof(Context) == 64, "no padding");

// What an entry is made from: the instruction word, and each table descriptor read on the way.
struct Source {
  static constexpr unsigned kUsualLoads = 5;  // one or two stages, of which stage 1 is the guest's
  // Behind a hypervisor's stage 2: five levels of stage 1, three of stage 2 before each and behind.
  static constexpr unsigned kMaxLoads = 23;

  uint32_t word = 0;
  uint8_t loads = 0;  // descriptors, at most kMaxLoads: so many elements of the arrays are set
  uint64_t ipa = 0;   // of the word
  // Host addresses stay readable until invalidate_all(); only `recheck` uses them. Without
  // word_host nothing is cached under `recheck`.
  const uint32_t* word_host = nullptr;
  const uint64_t* desc_host[kMaxLoads];
  uint64_t desc[kMaxLoads];      // as read through desc_host, in the host's byte order
  uint64_t desc_ipa[kMaxLoads];  // only `protect` uses them
};

// The distinct IPA pages (address >> 12) that a Source was read from. Returns how many.
unsigned source_pages(const Source& source, uint64_t pages[Source::kMaxLoads + 1]);

struct Counters {
  uint64_t hits = 0;
  uint64_t misses = 0;         // stale ones included
  uint64_t stale = 0;          // recheck: found, but made from other bytes than are there now
  uint64_t inserts = 0;        //
  uint64_t evictions = 0;      // a live entry of another PC made room
  uint64_t refused = 0;        // inserts that an invalidation overtook
  uint64_t invalidations = 0;  // entries dropped by invalidate_*() and drop()
  uint64_t mismatches = 0;     // hits that a checking walk contradicted: count_mismatch()
};

// Half a cache line, so that the two candidate slots of a PC share one.
struct alignas(32) Entry {
  uint64_t pc = 0;
  // Serial number of the context; 0 marks a free slot. Other threads write only this field.
  std::atomic<uint32_t> context{0};
  uint32_t word = 0;
  Access access{};
};
static_assert(sizeof(Entry) == 32, "two a cache line");

class ICache {
 public:
  static constexpr unsigned kDefaultLog2 = 13;  // 8,192 entries, 256 KiB; see icache/README.md
  static constexpr unsigned kMinLog2 = 1;
  static constexpr unsigned kMaxLog2 = 20;
  static constexpr size_t kStorageAlign = 64;

  // Bytes of storage for 2^entries_log2 entries under `policy`. `max_loads`: a Source of more
  // descriptors is not kept; kUsualLoads, or where guests may be hypervisors kMaxLoads.
  static size_t storage_bytes(Policy policy, unsigned entries_log2,
                              unsigned max_loads = Source::kUsualLoads);

  // `storage`: storage_bytes() bytes aligned to kStorageAlign, outliving the cache; its content is
  // overwritten, unless it is said to be all zero: what is never used is then never touched.
  // entries_log2 is clamped to [kMinLog2, kMaxLog2], as in storage_bytes().
  enum class Storage : uint8_t { kAny, kZero };
  ICache(Policy policy, unsigned entries_log2, void* storage,
         unsigned max_loads = Source::kUsualLoads, Storage content = Storage::kAny);
  ICache(const ICache&) = delete;
  ICache& operator=(const ICache&) = delete;

  Policy policy() const { return policy_; }
  size_t capacity() const { return size_t{1} << (64 - shift_); }

  // The registers that translate the next PCs. Cheap while they stay the same; the contexts'
  // fingerprints are made when a half of the address space is first used after a change.
  void set_context(const Context& context) {
    if (context == context_) [[likely]] {
      return;
    }
    context_ = context;
    half_id_[0] = 0;
    half_id_[1] = 0;
  }

  // The entry of `pc` in the current context, or null. It stays readable until the next insert.
  const Entry* lookup(uint64_t pc) {
    // VA bit 55 selects the half, and so TTBR0 or TTBR1 (D8.2.3).
    const unsigned upper = pc >> 55 & 1;
    if (half_id_[upper] == 0) [[unlikely]] {
      intern(upper);
    }
    return find(pc, half_id_[upper]);
  }

  // Whether lookup() would find `pc`; counts nothing.
  bool holds(uint64_t pc) const;

  // Policy `rewalk`: what the word decodes to.
  const Entry* lookup_word(uint32_t word) { return find(word, kWordContext); }

  // Before the walk whose result is to be inserted: an invalidation between begin() and insert()
  // makes the insert refuse.
  uint64_t begin() const { return epoch_.load(std::memory_order_acquire); }

  // The entry, or null if nothing was cached (policy `off`, no host pointer to recheck, or an
  // invalidation came between).
  const Entry* insert(uint64_t pc, const Access& access, const Source& source, uint64_t token);
  const Entry* insert_word(uint32_t word, const Access& access);

  // Forgets `pc` in the current context: the entry disagreed with a syndrome.
  void drop(uint64_t pc);

  // Policy `protect`: drops what was made from the page. When it returns, no later lookup hits such
  // an entry, and no insert whose begin() came before succeeds. Returns the entries dropped; after
  // it nothing here depends on the page, so its watch may end.
  unsigned invalidate_page(uint64_t ipa_page) { return invalidate_range(ipa_page << 12, 1); }
  unsigned invalidate_range(uint64_t ipa, uint64_t size);
  // Every policy: the memory map changed, a snapshot was restored, host pointers go away.
  void invalidate_all();

  // A fresh walk, fetch and decode beside a hit gave something else.
  void count_mismatch() { bump(mismatches_); }

  Counters counters() const;

 private:
  static constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio (Fibonacci hash)
  static constexpr uint32_t kWordContext = 1;
  static constexpr uint32_t kFirstContext = 2;
  static constexpr unsigned kContextSets = 16;
  static constexpr unsigned kContextWays = 4;
  static constexpr uint32_t kNoLink = ~uint32_t{0};
  static constexpr uint64_t kNoPage = ~uint64_t{0};
  static constexpr uint64_t kNothing = 0;
  static constexpr unsigned kFourLevels = 4;  // of 4 KiB pages: what nearly all have
  static_assert(kFourLevels == 4 && Source::kUsualLoads == 5, "unchanged()");

  // The half's part of a Context: what a PC in it depends on.
  struct HalfContext {
    uint64_t sctlr, tcr, mair, ttbr, vttbr, vtcr;
    uint16_t vmid;
    uint8_t el;
    uint8_t upper;
    uint8_t regime;
    uint8_t guest_stage2;
    uint8_t zero[2];
    friend bool operator==(const HalfContext&, const HalfContext&) = default;
  };
  struct ContextSlot {
    HalfContext full;
    uint64_t fingerprint;
    uint32_t id;  // 0: free
  };
  // Policy `recheck`, beside each entry.
  struct alignas(32) Proof {
    struct Descriptor {
      const uint64_t* host;
      uint64_t value;
      uint64_t changes() const { return __atomic_load_n(host, __ATOMIC_RELAXED) ^ value; }
    };
    const uint32_t* word_host;
    uint32_t loads;
    Descriptor descriptors[Source::kUsualLoads];  // those not needed name kNothing; more: tails_
  };
  // Policy `protect`: max_loads_ + 1 of them beside each entry, chained by hash of the page.
  struct Link {
    uint64_t page;
    uint32_t next;
    uint32_t prev;  // a link, or kNoLink: first of its chain
  };
  class Lock;

  static void bump(std::atomic<uint64_t>& counter, uint64_t by = 1) {
    // One writer at a time: no locked instruction needed.
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  // The context is not hashed: it would put a load before the multiplication, and the same PC is
  // seldom hot in more contexts than it has slots.
  size_t slot_of(uint64_t pc) const { return (pc * kGolden) >> shift_; }
  static bool matches(const Entry& entry, uint64_t pc, uint32_t id) {
    return entry.pc == pc && entry.context.load(std::memory_order_acquire) == id;
  }

  const Entry* find(uint64_t pc, uint32_t id) {
    size_t slot = slot_of(pc);
    if (!matches(entries_[slot], pc, id)) [[unlikely]] {
      slot ^= 1;
      if (!matches(entries_[slot], pc, id)) {
        bump(misses_);
        return nullptr;
      }
    }
    if (policy_ == Policy::kRecheck) {
      if (!unchanged(slot)) [[unlikely]] {
        forget_stale(slot);
        return nullptr;
      }
    }
    bump(hits_);
    return &entries_[slot];
  }
  // All that is compared, without a branch in between: the loads overlap.
  bool unchanged(size_t slot) const {
    const Proof& proof = proofs_[slot];
    const auto& d = proof.descriptors;
    uint64_t changes = __atomic_load_n(proof.word_host, __ATOMIC_RELAXED) ^ entries_[slot].word;
    changes |= d[0].changes() | d[1].changes() | d[2].changes() | d[3].changes();
    if (proof.loads > kFourLevels) [[unlikely]] {
      changes |= d[kFourLevels].changes() | tail_changes(slot, proof.loads);
    }
    return changes == 0;
  }
  size_t tail() const { return max_loads_ - Source::kUsualLoads; }
  unsigned links() const { return max_loads_ + 1; }

  uint64_t tail_changes(size_t slot, unsigned loads) const;

  void intern(unsigned upper);
  void forget_stale(size_t slot);
  size_t choose_slot(uint64_t pc, uint32_t id);
  void fill(size_t slot, uint64_t pc, uint32_t id, uint32_t word, const Access& access);
  void link(size_t slot, const Source& source);
  void unlink(size_t slot);
  size_t bucket_of(uint64_t page) const { return (page * kGolden) >> shift_; }
  unsigned invalidate_one_page(uint64_t page);
  void clear();
  void clear_links();

  // Read by every lookup: kept together.
  Entry* entries_;
  uint32_t half_id_[2] = {0, 0};  // 0: not interned since the context changed
  unsigned shift_;                // 64 - log2(capacity)
  Policy policy_;
  bool evict_neighbour_ = false;
  Proof* proofs_ = nullptr;
  std::atomic<uint64_t> hits_{0};
  std::atomic<uint64_t> misses_{0};
  Context context_{};

  Link* links_ = nullptr;
  uint32_t* buckets_ = nullptr;
  uint32_t next_context_ = kFirstContext;
  Proof::Descriptor* tails_ = nullptr;  // tail() beside each entry: of a Proof of more descriptors
  uint8_t max_loads_;
  uint8_t context_victim_ = 0;
  ContextSlot contexts_[kContextSets * kContextWays];

  std::atomic<uint64_t> stale_{0};
  std::atomic<uint64_t> inserts_{0};  // changed under the lock
  std::atomic<uint64_t> evictions_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> mismatches_{0};

  // Written by other threads: on lines of their own. The lock guards links_, buckets_, epoch_'s
  // changes and the filling of entries.
  alignas(64) std::atomic<uint64_t> epoch_{0};
  uint64_t inserts_at_clear_ = 0;
  std::atomic<uint64_t> invalidations_{0};
  mutable std::atomic_flag lock_;
};

}  // namespace trapline::icache

#endif  // TRAPLINE_ICACHE_ICACHE_H_
