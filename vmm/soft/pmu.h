// PMUv3 (Arm ARM DDI 0487, D13): a cycle counter and event counters. This CPU has one cycle an
// instruction, so what it counts is known from the retired count: nothing is done while it counts,
// only where the level changes, at accesses to the registers, and at the instruction with which a
// counter that interrupts overflows.
#ifndef TRAPLINE_VMM_SOFT_PMU_H_
#define TRAPLINE_VMM_SOFT_PMU_H_

#include <cstdint>

#include "mmio/irq_line.h"

namespace trapline::soft {

struct Cpu;

struct Pmu {
  static constexpr unsigned kEventCounters = 6;
  static constexpr unsigned kCycles = 31;  // the cycle counter's bit, and PMSELR_EL0's name of it
  static constexpr uint64_t kNever = ~uint64_t{0};

  // Bits of the registers' layout. What is counted is exact as of `synced`.
  uint64_t cycles = 0;
  uint32_t counters[kEventCounters] = {};
  uint32_t types[kEventCounters] = {};                  // PMEVTYPER<n>_EL0
  uint32_t cycle_filter = 0;                            // PMCCFILTR_EL0
  uint32_t control = 0;                                 // PMCR_EL0: what is written
  uint32_t enabled = 0, interrupts = 0, overflows = 0;  // a bit a counter
  uint32_t user = 0;                                    // PMUSERENR_EL0
  uint32_t selected = 0;                                // PMSELR_EL0

  uint64_t synced = 0;         // Cpu::retired
  uint64_t deadline = kNever;  // of Cpu::retired: a counter overflows that interrupts
  bool active = false;         // something counts, at some level
  IrqLine* line = nullptr;     // PPI 7
  bool level = false;          // as the line was last told
};

// PMUSERENR_EL0, D17.5.
enum PmuUser : uint32_t { kPmuUserEn = 1, kPmuUserSw = 2, kPmuUserCr = 4, kPmuUserEr = 8 };

// Events, D13.12.
enum PmuEvent : uint32_t {
  kPmuSwIncr = 0x00,
  kPmuInstRetired = 0x08,
  kPmuExcTaken = 0x09,
  kPmuExcReturn = 0x0a,
  kPmuCpuCycles = 0x11,
  kPmuChain = 0x1e,
};
inline constexpr uint32_t kPmuEvents = 1 << kPmuSwIncr | 1 << kPmuInstRetired | 1 << kPmuExcTaken |
                                       1 << kPmuExcReturn | 1 << kPmuCpuCycles | 1 << kPmuChain;

// Brings the counters up to Cpu::retired, at the present level, and the interrupt line with them.
void pmu_sync(Cpu& cpu);
// An event of the present level.
void pmu_event(Cpu& cpu, PmuEvent event);
// The level, or a register: what counts from here on.
void pmu_changed(Cpu& cpu);
// Likewise, of a reset or a loaded state, about which the line knows nothing.
void pmu_restarted(Cpu& cpu);

// The registers, as the present level sees them: exact after pmu_sync(), which whoever reads one
// calls first.
uint64_t pmu_control(const Cpu& cpu);
void set_pmu_control(Cpu& cpu, uint64_t value);
// Those that set and clear bits by counter.
enum class PmuBits : uint8_t { kEnabled, kInterrupts, kOverflows };
uint64_t pmu_bits(const Cpu& cpu, PmuBits which);
void set_pmu_bits(Cpu& cpu, PmuBits which, uint64_t bits, bool to);
void pmu_software_increment(Cpu& cpu, uint64_t bits);
uint64_t pmu_cycles(const Cpu& cpu);
void set_pmu_cycles(Cpu& cpu, uint64_t value);
// n: up to 31, the cycle counter's filter; of counters that the level does not have, zero.
uint64_t pmu_counter(const Cpu& cpu, unsigned n);
void set_pmu_counter(Cpu& cpu, unsigned n, uint64_t value);
uint64_t pmu_type(const Cpu& cpu, unsigned n);
void set_pmu_type(Cpu& cpu, unsigned n, uint64_t value);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_PMU_H_
