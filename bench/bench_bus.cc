// What does it cost to find the device behind an IPA, in our bus and in the designs of others, each
// with the lock that it takes?
//
// Bus/<design>/<pattern>[/threads:2]. 43 windows, those of a machine with 4 CPUs. An address
// depends on the region that the lookup before it returned, so this is latency. `same`: one device
// again and again; `alternating`: two devices in turn; `random`: all windows. The floor knows the
// region's index beforehand and loads it from an array.
//
//   sorted        binary search in a sorted array, no lock
//   map           std::map::upper_bound, no lock
//   rbtree_hint   a red-black tree with a last-hit hint per vCPU, under a read lock (bhyve)
//   interval      an interval tree under a mutex (kvmtool)
#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <string>
#include <vector>

#include "bench/null_device.h"
#include "mmio/bus.h"

namespace trapline {
namespace {

using Region = Bus::Region;

// More than a branch predictor can learn by heart: with 4,096 draws, gone through again and again,
// a Zen 5 predicted every branch of a binary search over "random" devices.
constexpr size_t kDraws = size_t{1} << 18;

bench::NullDevice null_device;

std::vector<Region> windows() {
  std::vector<Region> list;
  const auto add = [&](uint64_t base, uint64_t size) {
    list.push_back({base, size, &null_device, 0, static_cast<uint16_t>(list.size())});
  };
  add(0x00000000, 0x04000000);  // flash
  add(0x04000000, 0x04000000);
  add(0x08000000, 0x10000);               // GICD
  for (uint64_t cpu = 0; cpu < 4; ++cpu)  // GICR
    add(0x080a0000 + cpu * 0x20000, 0x20000);
  add(0x09000000, 0x1000);                                               // PL011
  add(0x09010000, 0x1000);                                               // PL031
  add(0x09020000, 0x18);                                                 // fw_cfg
  for (uint64_t n = 0; n < 32; ++n) add(0x0a000000 + n * 0x200, 0x200);  // virtio-mmio
  add(0x0a110000, 0x1000);                                               // timer frame
  return list;
}

bool holds(const Region& region, uint64_t ipa, unsigned size) {
  const uint64_t offset = ipa - region.base;
  return offset < region.size && size <= region.size - offset;
}

// Every design: find(ipa, size, Hint&), called from any thread.
struct Ours {
  using Hint = Bus::Hint;
  Ours() {
    for (const Region& w : windows()) bus.add(w.base, w.size, &Bus::device_of(w));
  }
  uint64_t key(const Region& window, uint64_t offset) const { return window.base + offset; }
  const Region* find(uint64_t ipa, unsigned size, Hint& hint) { return bus.find(ipa, size, hint); }
  Bus bus;
};

struct NoHint {};

struct Sorted {
  using Hint = NoHint;
  uint64_t key(const Region& window, uint64_t offset) const { return window.base + offset; }
  const Region* find(uint64_t ipa, unsigned size, Hint&) {
    const auto above =
        std::upper_bound(list.begin(), list.end(), ipa,
                         [](uint64_t value, const Region& region) { return value < region.base; });
    if (above == list.begin()) return nullptr;
    const Region& region = *(above - 1);
    return holds(region, ipa, size) ? &region : nullptr;
  }
  std::vector<Region> list = windows();
};

struct Map {
  using Hint = NoHint;
  Map() {
    for (const Region& w : windows()) tree.emplace(w.base, w);
  }
  uint64_t key(const Region& window, uint64_t offset) const { return window.base + offset; }
  const Region* find(uint64_t ipa, unsigned size, Hint&) {
    const auto above = tree.upper_bound(ipa);
    if (above == tree.begin()) return nullptr;
    const Region& region = std::prev(above)->second;
    return holds(region, ipa, size) ? &region : nullptr;
  }
  std::map<uint64_t, Region> tree;
};

struct RbtreeHint {
  using Hint = Bus::Hint;
  uint64_t key(const Region& window, uint64_t offset) const { return window.base + offset; }
  const Region* find(uint64_t ipa, unsigned size, Hint& hint) {
    const std::shared_lock lock(mutex);
    if (hint.region != nullptr && holds(*hint.region, ipa, size)) return hint.region;
    NoHint none;
    const Region* region = map.find(ipa, size, none);
    if (region != nullptr) hint.region = region;
    return region;
  }
  std::shared_mutex mutex;
  Map map;  // libstdc++'s std::map is a red-black tree
};

// A balanced tree of intervals; each node knows the highest end below it.
struct Interval {
  using Hint = NoHint;
  struct Node {
    Region region;
    uint64_t highest;
    std::unique_ptr<Node> left, right;
  };
  Interval() {
    const std::vector<Region> list = windows();
    root = build(list, 0, list.size());
  }
  static std::unique_ptr<Node> build(const std::vector<Region>& list, size_t first, size_t last) {
    if (first == last) return nullptr;
    const size_t middle = (first + last) / 2;
    auto node = std::make_unique<Node>();
    node->region = list[middle];
    node->highest = list[middle].base + list[middle].size;
    node->left = build(list, first, middle);
    node->right = build(list, middle + 1, last);
    for (const Node* child : {node->left.get(), node->right.get()}) {
      if (child != nullptr) node->highest = std::max(node->highest, child->highest);
    }
    return node;
  }
  uint64_t key(const Region& window, uint64_t offset) const { return window.base + offset; }
  const Region* find(uint64_t ipa, unsigned size, Hint&) {
    const std::lock_guard lock(mutex);
    for (const Node* node = root.get(); node != nullptr;) {
      if (node->left != nullptr && node->left->highest > ipa) {
        node = node->left.get();
      } else if (node->region.base <= ipa) {
        if (holds(node->region, ipa, size)) return &node->region;
        node = node->right.get();
      } else {
        return nullptr;
      }
    }
    return nullptr;
  }
  std::mutex mutex;
  std::unique_ptr<Node> root;
};

struct Floor {
  using Hint = NoHint;
  uint64_t key(const Region& window, uint64_t) const { return window.index; }
  const Region* find(uint64_t index, unsigned, Hint&) { return &list[index]; }
  std::vector<Region> list = windows();
};

enum class Pattern { kSame, kAlternating, kRandom };

template <typename Design>
void dispatch(benchmark::State& state, Design& design, Pattern pattern) {
  const std::vector<Region> list = windows();
  std::mt19937_64 rng(43 + state.thread_index());
  std::vector<uint64_t> keys;
  for (size_t i = 0; i < kDraws; ++i) {
    // PL011 (7) and the first virtio slot (10) are the two that Linux touches most.
    const size_t window = pattern == Pattern::kSame          ? 7
                          : pattern == Pattern::kAlternating ? (i % 2 != 0 ? 10 : 7)
                                                             : rng() % list.size();
    keys.push_back(design.key(list[window], rng() % list[window].size & ~uint64_t{3}));
  }
  typename Design::Hint hint;
  size_t at = 0;
  uint64_t lost = 0;
  for (auto _ : state) {
    const Region* region = design.find(keys[at], 4, hint);
    if (region == nullptr) [[unlikely]] {
      ++lost;
      continue;
    }
    // The windows' device_offset is zero, which only the memory knows.
    at = (at + 1 + region->device_offset) & (kDraws - 1);
  }
  benchmark::DoNotOptimize(at);
  if (lost != 0) state.SkipWithError("a window was not found");
}

template <typename Design>
void add(const std::string& name) {
  const auto design = std::make_shared<Design>();
  const struct {
    const char* name;
    Pattern pattern;
  } patterns[] = {{"/same", Pattern::kSame},
                  {"/alternating", Pattern::kAlternating},
                  {"/random", Pattern::kRandom}};
  for (const auto& p : patterns) {
    const auto run = [design, pattern = p.pattern](benchmark::State& state) {
      dispatch(state, *design, pattern);
    };
    benchmark::RegisterBenchmark(("Bus/" + name + p.name).c_str(), run);
    benchmark::RegisterBenchmark(("Bus/" + name + p.name).c_str(), run)->Threads(2);
  }
}

}  // namespace
}  // namespace trapline

int main(int argc, char** argv) {
  using namespace trapline;
  add<Floor>("floor");
  add<Ours>("ours");
  add<Sorted>("sorted");
  add<Map>("map");
  add<RbtreeHint>("rbtree_hint");
  add<Interval>("interval");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
