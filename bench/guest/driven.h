// How bench_cpu drives the guest in its own process, without a machine around the CPU. Freestanding
// C and C++.
//
// Entered with kDriven in x1 the guest sets up its tables and its stack and says HVC #kDrivenHvc,
// x0 being the address of `struct Benchmark[x1]`. From then on whoever holds the CPU calls a loop
// by setting PC, x0 (how often) and x30: the address of that HVC, which is so the return to the
// caller.
#ifndef TRAPLINE_BENCH_GUEST_DRIVEN_H_
#define TRAPLINE_BENCH_GUEST_DRIVEN_H_

#include <stdint.h>

enum {  // x1 at entry; start.S knows the numbers
  kDriven = 1,
  kDrivenMmuOff = 2,  // the MMU stays off
};
enum { kDrivenHvc = 1 };
enum { kTlbPages = 4096 };  // loads in a round of `tlb_miss`, each from another page

// When the guest runs a loop by itself.
enum BenchmarkUse {
  kAlways,
  kSecondCpu,   // if there is another CPU to talk to
  kPcie,        // if there is PCIe, with its ITS
  kDrivenOnly,  // never: what it does is worth nothing under other emulators
};

#ifdef __cplusplus
#define TRAPLINE_GUEST_POINTER(type) uint64_t
#else
#define TRAPLINE_GUEST_POINTER(type) type*
typedef void Loop(uint64_t times);
#endif

// A line of the guest's output.
struct Benchmark {
  TRAPLINE_GUEST_POINTER(const char) name;
  TRAPLINE_GUEST_POINTER(Loop) loop;
  uint64_t per;  // operations in each of the loop's rounds (instructions, of the cpu_ lines)
  uint64_t use;  // BenchmarkUse
};

#endif  // TRAPLINE_BENCH_GUEST_DRIVEN_H_
