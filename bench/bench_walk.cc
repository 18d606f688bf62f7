// What does it cost to find the instruction that trapped: the translation of its PC and the read of
// the word?
//
// Walk/<stage1|two_dim|nested>/<hot|swept>
//   stage1   the guest's four levels alone, as if its physical memory were the host's
//   two_dim  each of them through stage 2, as on any hypervisor's exit
//   nested   an L2 guest's code: L2's stage 1, each level of it through the stage 2 that L1 made,
//            each level of that through L0's
// Counters: loads, the table descriptors read for one translation; stage1, l1_stage2, l0_stage2, of
// which regime they were. All walks use the walker of the VMM. Everywhere 4 KiB pages, no blocks,
// so that every level is there: four at stage 1 (48-bit VA), four at L1's stage 2, three at L0's
// (40-bit IPA: two concatenated tables at level 1).
//
// "swept" reads and writes 64 MiB of other memory before each walk, timed by hand; median_ns is the
// median of the iterations, which a busy machine does not disturb as it does the mean.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "bench/plain_names.h"
#include "bench/walk_rig.h"

namespace trapline::bench {
namespace {

void sweep() {
  static std::vector<uint8_t> ballast(64 << 20);
  for (size_t i = 0; i < ballast.size(); i += 64) ++ballast[i];
  benchmark::ClobberMemory();
}

void report(benchmark::State& state, const WalkCounts& counts) {
  state.counters["loads"] = static_cast<double>(counts.total());
  state.counters["stage1"] = counts.stage1;
  state.counters["l1_stage2"] = counts.l1_stage2;
  state.counters["l0_stage2"] = counts.l0_stage2;
}

template <uint32_t (WalkRig::*kWalk)()>
void walk(benchmark::State& state, bool swept) {
  WalkRig rig;
  if ((rig.*kWalk)() != WalkRig::kWord) {
    state.SkipWithError("the walk did not reach the word");
    return;
  }
  if (!swept) {
    for (auto _ : state) benchmark::DoNotOptimize((rig.*kWalk)());
  } else {
    std::vector<double> seconds;
    for (auto _ : state) {
      sweep();
      const auto start = std::chrono::steady_clock::now();
      benchmark::DoNotOptimize((rig.*kWalk)());
      seconds.push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      state.SetIterationTime(seconds.back());
    }
    std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
    state.counters["median_ns"] = 1e9 * seconds[seconds.size() / 2];
  }
  report(state, rig.counts());
}

template <uint32_t (WalkRig::*kWalk)()>
void add(const std::string& name) {
  benchmark::RegisterBenchmark(("Walk/" + name + "/hot").c_str(),
                               [](benchmark::State& s) { walk<kWalk>(s, false); });
  benchmark::RegisterBenchmark(("Walk/" + name + "/swept").c_str(),
                               [](benchmark::State& s) { walk<kWalk>(s, true); })
      ->UseManualTime()
      ->Iterations(50);
}

}  // namespace
}  // namespace trapline::bench

int main(int argc, char** argv) {
  using trapline::bench::WalkRig;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  trapline::bench::add<&WalkRig::stage1>("stage1");
  trapline::bench::add<&WalkRig::two_dim>("two_dim");
  trapline::bench::add<&WalkRig::nested>("nested");
  trapline::bench::run_under_plain_names();
  benchmark::Shutdown();
  return 0;
}
