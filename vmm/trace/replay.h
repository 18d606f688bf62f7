// trapline replay: the exits of a trace through the real exit path, with neither guest nor devices.
// What it asks is answered as recorded, and what it does is compared with what was done.
#ifndef TRAPLINE_VMM_TRACE_REPLAY_H_
#define TRAPLINE_VMM_TRACE_REPLAY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/config/options.h"
#include "vmm/config/result.h"
#include "vmm/exit/observer.h"
#include "vmm/stats/latency.h"
#include "vmm/trace/reader.h"

namespace trapline::trace {

struct ReplayOptions {
  // By the names that the command line and a trace's configuration have.
  static ReplayOptions named(std::string_view decoder, std::string_view icache);

  DecoderChoice decoder = DecoderChoice::kNative;
  CachePolicy icache = CachePolicy::kRecheck;
  bool timed = false;  // fill in ReplayResult::latency: each exit, by stages
  // Told of each exit as it was recorded, and as it went, with its stages.
  std::function<void(unsigned vcpu, const ExitEvent&, const ExitRecord&)> watch;
  // Faults for tests, which replay must find: a word that is read as another (a decoder's error),
  // and writes that nobody hears of (a stale entry is kept).
  std::function<uint32_t(uint32_t)> misread;
  bool lose_writes = false;
};

struct Difference {
  unsigned vcpu = 0;
  uint64_t exit = 0;  // of the vCPU, from 0
  uint64_t pc = 0;
  std::string what;  // "x3: recorded 0x80, replayed 0xffffffffffffff80"
};

struct ReplayResult {
  uint64_t exits = 0;
  uint64_t not_compared = 0;            // of ExitEvent::kStuck and kOvertaken
  uint64_t differing = 0;               // exits
  std::vector<Difference> differences;  // the first few
  VcpuCounters counters;
  CacheCounters icache;
  uint64_t handle_cycles = 0;  // in handle(), of all exits
  std::unique_ptr<ExitLatency> latency;
  uint64_t maintenance = 0;  // TLBI and IC of the guest, which no policy looks at
  std::string cut_off;       // why the trace ends early; empty: it is whole
};

// Once through. An error is what cannot be a trace.
Result<ReplayResult> replay(Reader& reader, const ReplayOptions& options);

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_REPLAY_H_
