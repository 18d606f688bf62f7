// What a hypervisor reads to find an instruction, counted in a run of our own walker.
#ifndef TRAPLINE_BENCH_NESTED_TRACE_H_
#define TRAPLINE_BENCH_NESTED_TRACE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "bench/walk_rig.h"

namespace trapline::bench {

struct WalkTrace {
  std::vector<std::string> registers;  // of the guest, that the walk read, each once
  uint32_t register_uses = 0;          // with repetitions
  uint32_t descriptors = 0;            // table entries of the guest's stage 1
  bool found = false;
};

// One instruction fetch's stage-1 walk at WalkRig::kCodeVa.
WalkTrace trace_walk(const WalkRig& rig);

}  // namespace trapline::bench

#endif  // TRAPLINE_BENCH_NESTED_TRACE_H_
