// The cache's slow side: contexts, inserts, invalidations. See icache.h for who may call what.
#include "icache/icache.h"

#include <new>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace trapline::icache {
namespace {

constexpr unsigned kPageLog2 = 12;

unsigned clamp_log2(unsigned log2) {
  if (log2 < ICache::kMinLog2) {
    return ICache::kMinLog2;
  }
  return log2 > ICache::kMaxLog2 ? ICache::kMaxLog2 : log2;
}

unsigned clamp_loads(unsigned loads) {
  if (loads < Source::kUsualLoads) {
    return Source::kUsualLoads;
  }
  return loads > Source::kMaxLoads ? Source::kMaxLoads : loads;
}

constexpr size_t round_up(size_t bytes) {
  return (bytes + ICache::kStorageAlign - 1) & ~(ICache::kStorageAlign - 1);
}

}  // namespace

// Held for tens of instructions, except by invalidate_all(); never while anything else is locked.
class ICache::Lock {
 public:
  explicit Lock(std::atomic_flag& flag) : flag_(flag) {
    while (flag_.test_and_set(std::memory_order_acquire)) {
      while (flag_.test(std::memory_order_relaxed)) {
      }
    }
  }
  ~Lock() { flag_.clear(std::memory_order_release); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  std::atomic_flag& flag_;
};

unsigned source_pages(const Source& source, uint64_t pages[Source::kMaxLoads + 1]) {
  unsigned count = 0;
  const auto add = [&](uint64_t ipa) {
    const uint64_t page = ipa >> kPageLog2;
    for (unsigned i = 0; i < count; ++i) {
      if (pages[i] == page) {
        return;
      }
    }
    pages[count++] = page;
  };
  add(source.ipa);
  for (unsigned i = 0; i < source.loads && i < Source::kMaxLoads; ++i) {
    add(source.desc_ipa[i]);
  }
  return count;
}

size_t ICache::storage_bytes(Policy policy, unsigned entries_log2, unsigned max_loads) {
  const size_t n = size_t{1} << clamp_log2(entries_log2);
  max_loads = clamp_loads(max_loads);
  size_t bytes = round_up(n * sizeof(Entry));
  if (policy == Policy::kRecheck) {
    bytes += round_up(n * sizeof(Proof)) +
             round_up(n * (max_loads - Source::kUsualLoads) * sizeof(Proof::Descriptor));
  } else if (policy == Policy::kProtect) {
    bytes += round_up(n * (max_loads + 1) * sizeof(Link)) + round_up(n * sizeof(uint32_t));
  }
  return bytes;
}

ICache::ICache(Policy policy, unsigned entries_log2, void* storage, unsigned max_loads,
               Storage content)
    : shift_(64 - clamp_log2(entries_log2)),
      policy_(policy),
      max_loads_(static_cast<uint8_t>(clamp_loads(max_loads))) {
  const size_t n = capacity();
  auto* at = static_cast<unsigned char*>(storage);
  entries_ = reinterpret_cast<Entry*>(at);
  // An Entry and a Proof that are new are all zero; of a Proof nothing is read before it is filled.
  if (content == Storage::kAny) {
    for (size_t i = 0; i < n; ++i) {
      new (&entries_[i]) Entry();
    }
  }
  at += round_up(n * sizeof(Entry));
  if (policy == Policy::kRecheck) {
    proofs_ = reinterpret_cast<Proof*>(at);
    if (tail() != 0)
      tails_ = reinterpret_cast<Proof::Descriptor*>(at + round_up(n * sizeof(Proof)));
  } else if (policy == Policy::kProtect) {
    links_ = reinterpret_cast<Link*>(at);
    buckets_ = reinterpret_cast<uint32_t*>(at + round_up(n * links() * sizeof(Link)));
  }
  for (ContextSlot& slot : contexts_) {
    slot = {};
  }
  clear_links();
}

// Frees every slot. Construction, or under the lock.
void ICache::clear() {
  const size_t n = capacity();
  for (size_t i = 0; i < n; ++i) {
    if (entries_[i].context.load(std::memory_order_relaxed) != 0) {
      entries_[i].context.store(0, std::memory_order_release);
    }
  }
  clear_links();
}

void ICache::clear_links() {
  const size_t n = capacity();
  if (links_ != nullptr) {
    for (size_t i = 0; i < n * links(); ++i) {
      links_[i] = {kNoPage, kNoLink, kNoLink};
    }
    for (size_t i = 0; i < n; ++i) {
      buckets_[i] = kNoLink;
    }
  }
}

// Gives the half of the current context its serial number: the one it had, if it is still in the
// table, else a new one, which no entry carries. The fingerprint only finds it.
void ICache::intern(unsigned upper) {
  // The kernel's half is the same for every process: TTBR1_EL1 without the ASID (63:48), which
  // Linux keeps there, and without CnP (0), D17.2.154.
  constexpr uint64_t kTtbr1Kept = 0x0000fffffffffffe;
  HalfContext full{};
  full.sctlr = context_.sctlr;
  full.tcr = context_.tcr;
  full.mair = context_.mair;
  full.ttbr = upper != 0 ? context_.ttbr1 & kTtbr1Kept : context_.ttbr0;
  full.vttbr = context_.vttbr;
  full.vtcr = context_.vtcr;
  full.vmid = context_.vmid;
  full.el = context_.el;
  full.upper = static_cast<uint8_t>(upper);
  full.regime = context_.regime;
  full.guest_stage2 = context_.guest_stage2;
  static_assert(sizeof(full) == 56, "no padding: it is hashed as bytes");
  const uint64_t fingerprint = XXH3_64bits(&full, sizeof(full));

  ContextSlot* set = &contexts_[(fingerprint % kContextSets) * kContextWays];
  ContextSlot* chosen = nullptr;
  for (unsigned way = 0; way < kContextWays; ++way) {
    if (set[way].id != 0 && set[way].fingerprint == fingerprint && set[way].full == full) {
      chosen = &set[way];
      break;
    }
  }
  if (chosen == nullptr) {
    if (next_context_ == 0) {  // 2^32 contexts later the serial numbers start again.
      invalidate_all();
      for (ContextSlot& slot : contexts_) {
        slot.id = 0;
      }
      half_id_[0] = 0;
      half_id_[1] = 0;
      next_context_ = kFirstContext;
    }
    for (unsigned way = 0; way < kContextWays && chosen == nullptr; ++way) {
      chosen = set[way].id == 0 ? &set[way] : nullptr;
    }
    if (chosen == nullptr) {
      chosen = &set[context_victim_++ % kContextWays];
    }
    *chosen = {full, fingerprint, next_context_++};
  }
  half_id_[upper] = chosen->id;
}

size_t ICache::choose_slot(uint64_t pc, uint32_t id) {
  const size_t home = slot_of(pc);
  for (const size_t slot : {home, home ^ 1}) {
    if (matches(entries_[slot], pc, id)) {
      return slot;
    }
  }
  for (const size_t slot : {home, home ^ 1}) {
    if (entries_[slot].context.load(std::memory_order_relaxed) == 0) {
      return slot;
    }
  }
  bump(evictions_);
  evict_neighbour_ = !evict_neighbour_;
  return evict_neighbour_ ? home ^ 1 : home;
}

void ICache::fill(size_t slot, uint64_t pc, uint32_t id, uint32_t word, const Access& access) {
  Entry& entry = entries_[slot];
  entry.context.store(0, std::memory_order_relaxed);
  entry.pc = pc;
  entry.word = word;
  entry.access = access;
  entry.context.store(id, std::memory_order_release);
  bump(inserts_);
}

const Entry* ICache::insert(uint64_t pc, const Access& access, const Source& source,
                            uint64_t token) {
  if (policy_ != Policy::kRecheck && policy_ != Policy::kProtect) {
    return nullptr;
  }
  if (source.loads > max_loads_ || (policy_ == Policy::kRecheck && source.word_host == nullptr)) {
    return nullptr;
  }
  const unsigned upper = pc >> 55 & 1;
  if (half_id_[upper] == 0) {
    intern(upper);
  }
  const Lock lock(lock_);
  if (epoch_.load(std::memory_order_relaxed) != token) {
    bump(refused_);
    return nullptr;
  }
  const size_t slot = choose_slot(pc, half_id_[upper]);
  if (links_ != nullptr) {
    unlink(slot);
    link(slot, source);
  } else {
    Proof& proof = proofs_[slot];
    proof.word_host = source.word_host;
    proof.loads = source.loads;
    for (unsigned i = 0; i < Source::kUsualLoads; ++i) {
      proof.descriptors[i] = i < source.loads
                                 ? Proof::Descriptor{source.desc_host[i], source.desc[i]}
                                 : Proof::Descriptor{&kNothing, 0};
    }
    for (unsigned i = Source::kUsualLoads; i < source.loads; ++i) {
      tails_[slot * tail() + i - Source::kUsualLoads] = {source.desc_host[i], source.desc[i]};
    }
  }
  fill(slot, pc, half_id_[upper], source.word, access);
  return &entries_[slot];
}

const Entry* ICache::insert_word(uint32_t word, const Access& access) {
  if (policy_ != Policy::kRewalk) {
    return nullptr;
  }
  const Lock lock(lock_);
  const size_t slot = choose_slot(word, kWordContext);
  fill(slot, word, kWordContext, word, access);
  return &entries_[slot];
}

uint64_t ICache::tail_changes(size_t slot, unsigned loads) const {
  uint64_t changes = 0;
  for (unsigned i = Source::kUsualLoads; i < loads; ++i) {
    changes |= tails_[slot * tail() + i - Source::kUsualLoads].changes();
  }
  return changes;
}

void ICache::forget_stale(size_t slot) {
  entries_[slot].context.store(0, std::memory_order_relaxed);
  bump(stale_);
  bump(misses_);
}

bool ICache::holds(uint64_t pc) const {
  const uint32_t id = half_id_[pc >> 55 & 1];
  if (id == 0) {
    return false;
  }
  const size_t home = slot_of(pc);
  for (const size_t slot : {home, home ^ 1}) {
    if (matches(entries_[slot], pc, id)) {
      return policy_ != Policy::kRecheck || unchanged(slot);
    }
  }
  return false;
}

void ICache::drop(uint64_t pc) {
  const unsigned upper = pc >> 55 & 1;
  if (half_id_[upper] == 0) {
    intern(upper);
  }
  const Lock lock(lock_);
  const size_t home = slot_of(pc);
  for (const size_t slot : {home, home ^ 1}) {
    if (matches(entries_[slot], pc, half_id_[upper])) {
      if (links_ != nullptr) {
        unlink(slot);
      }
      entries_[slot].context.store(0, std::memory_order_relaxed);
      bump(invalidations_);
    }
  }
}

void ICache::link(size_t slot, const Source& source) {
  uint64_t pages[Source::kMaxLoads + 1];
  const unsigned count = source_pages(source, pages);
  for (unsigned i = 0; i < count; ++i) {
    const auto index = static_cast<uint32_t>(slot * links() + i);
    uint32_t& head = buckets_[bucket_of(pages[i])];
    links_[index] = {pages[i], head, kNoLink};
    if (head != kNoLink) {
      links_[head].prev = index;
    }
    head = index;
  }
}

void ICache::unlink(size_t slot) {
  for (unsigned i = 0; i < links(); ++i) {
    Link& link = links_[slot * links() + i];
    if (link.page == kNoPage) {
      continue;
    }
    if (link.prev != kNoLink) {
      links_[link.prev].next = link.next;
    } else {
      buckets_[bucket_of(link.page)] = link.next;
    }
    if (link.next != kNoLink) {
      links_[link.next].prev = link.prev;
    }
    link = {kNoPage, kNoLink, kNoLink};
  }
}

unsigned ICache::invalidate_one_page(uint64_t page) {
  unsigned dropped = 0;
  uint32_t& head = buckets_[bucket_of(page)];
  for (uint32_t index = head; index != kNoLink;) {
    if (links_[index].page != page) {
      index = links_[index].next;
      continue;
    }
    const size_t slot = index / links();
    entries_[slot].context.store(0, std::memory_order_release);
    unlink(slot);
    ++dropped;
    index = head;  // The chain may have lost more than this link.
  }
  return dropped;
}

unsigned ICache::invalidate_range(uint64_t ipa, uint64_t size) {
  if (links_ == nullptr || size == 0) {
    return 0;
  }
  const Lock lock(lock_);
  epoch_.store(epoch_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  const uint64_t first = ipa >> kPageLog2;
  const uint64_t last =
      ipa + (size - 1) < ipa ? ~uint64_t{0} >> kPageLog2 : (ipa + (size - 1)) >> kPageLog2;
  unsigned dropped = 0;
  if (last - first < capacity()) {
    for (uint64_t page = first; page <= last; ++page) {
      dropped += invalidate_one_page(page);
    }
  } else {  // A range of more pages than there are links' chains: look at each link instead.
    for (size_t index = 0; index < capacity() * links(); ++index) {
      const uint64_t page = links_[index].page;
      if (page != kNoPage && page >= first && page <= last) {
        dropped += invalidate_one_page(page);
      }
    }
  }
  bump(invalidations_, dropped);
  return dropped;
}

void ICache::invalidate_all() {
  const Lock lock(lock_);
  epoch_.store(epoch_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  if (inserts_.load(std::memory_order_relaxed) == inserts_at_clear_) {
    return;  // nothing is held
  }
  inserts_at_clear_ = inserts_.load(std::memory_order_relaxed);
  uint64_t live = 0;
  for (size_t i = 0; i < capacity(); ++i) {
    live += entries_[i].context.load(std::memory_order_relaxed) != 0;
  }
  clear();
  bump(invalidations_, live);
}

Counters ICache::counters() const {
  const auto read = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.hits = read(hits_),
          .misses = read(misses_),
          .stale = read(stale_),
          .inserts = read(inserts_),
          .evictions = read(evictions_),
          .refused = read(refused_),
          .invalidations = read(invalidations_),
          .mismatches = read(mismatches_)};
}

}  // namespace trapline::icache
