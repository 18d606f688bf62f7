// What does a lookup in the decoded-instruction cache cost, against the designs that one would take
// off the shelf, and against the floor: a plain load from an array of the same footprint?
//
// Lookup/<design>/<live entries>/<distribution>. Each lookup's key depends on the entry that the
// one before it returned, so this is latency, as an exit sees it; not the throughput of a loop
// whose lookups overlap. A miss (evicted by a conflict) is filled again inside the measured time;
// the counter `miss` is their share.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "bench/plain_names.h"
#include "icache/icache.h"
#include "icache/owned.h"

#ifdef TRAPLINE_HAVE_ABSL
#include <absl/container/flat_hash_map.h>
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace trapline {
namespace {

using icache::Context;
using icache::Entry;

constexpr size_t kDraws = size_t{1} << 14;

Context kernel_context() {
  return {.sctlr = 0x30d0199d,
          .tcr = 0x34b5503510,
          .mair = 0x040044ff,
          .ttbr0 = 0x41000000,
          .ttbr1 = 0x0005000042000001,
          .vmid = 1,
          .el = 1};
}

// PCs scattered over 16 MiB of kernel text, and which of them run in what order.
struct Workload {
  std::vector<uint64_t> pcs;
  std::vector<uint32_t> draws;  // indices into pcs

  Workload(size_t entries, bool zipf) {
    std::mt19937_64 rng(entries);
    std::unordered_map<uint64_t, bool> taken;
    while (pcs.size() < entries) {
      const uint64_t pc = 0xffff800008010000 + (rng() & 0x00fffffc);
      if (taken.emplace(pc, true).second) {
        pcs.push_back(pc);
      }
    }
    std::vector<double> weights(entries, 1.0);
    if (zipf) {
      for (size_t i = 0; i < entries; ++i) {
        weights[i] = 1.0 / static_cast<double>(i + 1);
      }
    }
    std::discrete_distribution<uint32_t> pick(weights.begin(), weights.end());
    for (size_t i = 0; i < kDraws; ++i) {
      draws.push_back(pick(rng));
    }
  }
};

Access access_of(uint64_t pc) {
  Access access{};
  access.op = Op::kLoad;
  access.count = 1;
  access.rt = pc >> 2 & 31;
  return access;
}

unsigned capacity_log2(size_t entries) {
  unsigned log2 = icache::ICache::kDefaultLog2;
  while ((size_t{1} << log2) < 8 * entries) {
    ++log2;
  }
  return log2;
}

// Every design has `const Access& get(key)`, which fills on a miss, `prepare(pc) -> key`, and
// `misses`.
class Ours {
 public:
  explicit Ours(size_t entries) : cache_(icache::Policy::kProtect, capacity_log2(entries)) {
    cache_->set_context(kernel_context());
  }
  uint64_t prepare(uint64_t pc) { return pc; }
  const Access& get(uint64_t pc) {
    const Entry* entry = cache_->lookup(pc);
    if (entry == nullptr) [[unlikely]] {
      ++misses;
      icache::Source source;
      source.ipa = pc & 0x3fffffff;
      entry = cache_->insert(pc, access_of(pc), source, cache_->begin());
    }
    return entry->access;
  }
  uint64_t misses = 0;

 private:
  icache::OwnedICache cache_;
};

// Low PC bits pick the slot.
class Direct {
 public:
  explicit Direct(size_t entries)
      : table_(size_t{1} << capacity_log2(entries)), mask_(table_.size() - 1) {}
  uint64_t prepare(uint64_t pc) { return pc; }
  const Access& get(uint64_t pc) {
    Entry& entry = table_[pc >> 2 & mask_];
    if (entry.pc != pc || entry.context.load(std::memory_order_relaxed) != 2) [[unlikely]] {
      ++misses;
      entry.pc = pc;
      entry.context.store(2, std::memory_order_relaxed);
      entry.access = access_of(pc);
    }
    return entry.access;
  }
  uint64_t misses = 0;

 private:
  std::vector<Entry> table_;
  uint64_t mask_;
};

// Four ways, found by XXH3 over PC and context at every lookup.
class Xxh3FourWay {
 public:
  explicit Xxh3FourWay(size_t entries)
      : table_(size_t{1} << capacity_log2(entries)), mask_(table_.size() / 4 - 1) {}
  uint64_t prepare(uint64_t pc) { return pc; }
  const Access& get(uint64_t pc) {
    key_.pc = pc;
    const uint64_t hash = XXH3_64bits(&key_, sizeof key_);
    Slot* set = &table_[(hash & mask_) * 4];
    for (unsigned way = 0; way < 4; ++way) {
      if (set[way].hash == hash && set[way].pc == pc) {
        return set[way].access;
      }
    }
    ++misses;
    Slot& slot = set[victim_++ & 3];
    slot = {hash, pc, access_of(pc)};
    return slot.access;
  }
  uint64_t misses = 0;

 private:
  struct Key {
    uint64_t pc = 0;
    Context context = kernel_context();
  };
  struct Slot {
    uint64_t hash = 0;
    uint64_t pc = 0;
    Access access{};
  };
  Key key_;
  std::vector<Slot> table_;
  uint64_t mask_;
  unsigned victim_ = 0;
};

struct MapKey {
  uint64_t pc;
  uint32_t context;
  friend bool operator==(const MapKey&, const MapKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const MapKey& key) {
    return H::combine(std::move(h), key.pc, key.context);
  }
};
struct StdHash {
  size_t operator()(const MapKey& key) const {
    return std::hash<uint64_t>()(key.pc ^ uint64_t{key.context} << 48);
  }
};

template <typename Map>
class MapDesign {
 public:
  explicit MapDesign(size_t entries) { map_.reserve(entries); }
  uint64_t prepare(uint64_t pc) { return pc; }
  const Access& get(uint64_t pc) {
    auto it = map_.find(MapKey{pc, 2});
    if (it == map_.end()) [[unlikely]] {
      ++misses;
      it = map_.emplace(MapKey{pc, 2}, access_of(pc)).first;
    }
    return it->second;
  }
  uint64_t misses = 0;

 private:
  Map map_;
};
#ifdef TRAPLINE_HAVE_ABSL
using FlatHashMap = MapDesign<absl::flat_hash_map<MapKey, Access>>;
#endif
using UnorderedMap = MapDesign<std::unordered_map<MapKey, Access, StdHash>>;

// An array of our table's size and our entries' size, each PC's index known beforehand.
class Floor {
 public:
  explicit Floor(size_t entries) : table_(size_t{1} << capacity_log2(entries)) {}
  uint64_t prepare(uint64_t pc) { return pc * 0x9e3779b97f4a7c15 % table_.size(); }
  const Access& get(uint64_t index) { return table_[index].access; }
  uint64_t misses = 0;

 private:
  std::vector<Entry> table_;
};

template <typename Design>
void lookup(benchmark::State& state, size_t entries, bool zipf) {
  const Workload workload(entries, zipf);
  auto design = std::make_unique<Design>(entries);
  for (const uint64_t pc : workload.pcs) {
    benchmark::DoNotOptimize(design->get(design->prepare(pc)));
  }
  std::vector<uint64_t> keys;
  for (const uint32_t draw : workload.draws) {
    keys.push_back(design->prepare(workload.pcs[draw]));
  }
  design->misses = 0;
  size_t at = 0;
  for (auto _ : state) {
    // `spare` is zero, which only the memory knows.
    at = (at + 1 + design->get(keys[at]).spare) & (kDraws - 1);
  }
  benchmark::DoNotOptimize(at);
  state.counters["miss"] =
      benchmark::Counter(static_cast<double>(design->misses), benchmark::Counter::kAvgIterations);
}

template <typename Design>
void add(const std::string& name) {
  for (const size_t entries : {64, 1024, 16384}) {
    for (const bool zipf : {false, true}) {
      benchmark::RegisterBenchmark(
          ("Lookup/" + name + "/" + std::to_string(entries) + (zipf ? "/zipf" : "/uniform"))
              .c_str(),
          [entries, zipf](benchmark::State& state) { lookup<Design>(state, entries, zipf); });
    }
  }
}

// --- invalidation --------------------------------------------------------------------------------

// Invalidate/page/<n>: under `protect`, a write to a page that n entries were made from; n = 0: the
// write concerns no entry of a full cache. Invalidate/all: the memory map changed, any policy.
constexpr unsigned kPages = 64;
constexpr uint64_t kPageBytes = 4096;
constexpr int kFills = 300;  // a filling takes longer than what is timed

void fill(icache::ICache& cache, unsigned per_page) {
  for (unsigned page = 0; page < kPages; ++page) {
    for (unsigned i = 0; i < per_page; ++i) {
      const uint64_t offset = page * kPageBytes + 4 * i;
      icache::Source source;
      source.ipa = 0x40000000 + offset;
      cache.insert(0xffff800008010000 + offset, Access{}, source, cache.begin());
    }
  }
}

template <typename Invalidate>
void invalidation(benchmark::State& state, unsigned per_page, unsigned times,
                  Invalidate&& invalidate) {
  icache::OwnedICache cache(icache::Policy::kProtect);
  cache->set_context(kernel_context());
  for (auto _ : state) {
    fill(*cache, per_page);
    const auto start = std::chrono::steady_clock::now();
    invalidate(*cache);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(took.count() / times);
  }
}

void add_invalidation() {
  for (const unsigned per_page : {0u, 1u, 8u, 64u}) {
    benchmark::RegisterBenchmark(
        ("Invalidate/page/" + std::to_string(per_page)).c_str(),
        [per_page](benchmark::State& state) {
          // Nothing to drop: the writes go to pages beside 64 that have entries.
          const uint64_t first = (0x40000000 / kPageBytes) + (per_page == 0 ? kPages : 0);
          invalidation(state, per_page == 0 ? 64 : per_page, kPages, [&](icache::ICache& cache) {
            for (unsigned page = 0; page < kPages; ++page) cache.invalidate_page(first + page);
          });
        })
        ->UseManualTime()
        ->Iterations(kFills);
  }
  benchmark::RegisterBenchmark(
      "Invalidate/all",
      [](benchmark::State& state) {
        invalidation(state, 64, 1, [](icache::ICache& cache) { cache.invalidate_all(); });
      })
      ->UseManualTime()
      ->Iterations(kFills);
}

}  // namespace
}  // namespace trapline

int main(int argc, char** argv) {
  using namespace trapline;
  add<Floor>("floor");
  add<Ours>("ours");
  add<Direct>("direct");
  add<Xxh3FourWay>("xxh3_4way");
#ifdef TRAPLINE_HAVE_ABSL
  add<FlatHashMap>("flat_hash_map");
#endif
  add<UnorderedMap>("unordered_map");
  add_invalidation();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  trapline::bench::run_under_plain_names();
  return 0;
}
