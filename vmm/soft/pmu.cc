#include "vmm/soft/pmu.h"

#include <algorithm>

#include "vmm/soft/cpu.h"
#include "vmm/soft/el2.h"

namespace trapline::soft {
namespace {

// PMCR_EL0, D17.5.7. LC is RES1 and D is RES0 without AArch32; nothing is exported.
enum Control : uint32_t { kE = 1, kP = 2, kC = 4, kDp = 1 << 5, kLc = 1 << 6 };
// PMEVTYPER<n>_EL0 and PMCCFILTR_EL0; the event numbers of PMUv3 have ten bits.
enum Filter : uint32_t {
  kEvent = 0x3ff,
  kNsh = 1u << 27,  // counts at EL2
  kNotEl0 = 1u << 30,
  kNotEl1 = 1u << 31,
};

constexpr uint32_t kAllEvents = (1u << Pmu::kEventCounters) - 1;

// Event counters that belong to EL1 and EL0; the others are EL2's (D13.7).
unsigned first_of_el2(const Cpu& cpu) {
  if (!cpu.has_el2) return Pmu::kEventCounters;
  return std::min<unsigned>(cpu.sys.el2.mdcr & kMdcrHpmn, Pmu::kEventCounters);
}
unsigned accessible(const Cpu& cpu) {
  return cpu.ps.el == 2 ? Pmu::kEventCounters : first_of_el2(cpu);
}
uint32_t accessible_bits(const Cpu& cpu) {
  return ((1u << accessible(cpu)) - 1) | 1u << Pmu::kCycles;
}
bool is_accessible(const Cpu& cpu, unsigned n) { return n < accessible(cpu); }

// The counters that may count and interrupt (D13.3): EL2's by HPME, the others by PMCR_EL0.E.
uint32_t allowed(const Cpu& cpu) {
  const uint32_t of_el1 = ((1u << first_of_el2(cpu)) - 1) | 1u << Pmu::kCycles;
  const uint32_t of_el2 = kAllEvents & ~of_el1;
  return ((cpu.pmu.control & kE) != 0 ? of_el1 : 0) |
         ((cpu.sys.el2.mdcr & kMdcrHpme) != 0 ? of_el2 : 0);
}
uint32_t running(const Cpu& cpu) { return cpu.pmu.enabled & allowed(cpu); }
bool counts_here(const Cpu& cpu, uint32_t filter) {
  switch (cpu.ps.el) {
    case 0:
      return (filter & kNotEl0) == 0;
    case 1:
      return (filter & kNotEl1) == 0;
    default:
      return (filter & kNsh) != 0;
  }
}
bool counts_instructions(uint32_t type) {
  return (type & kEvent) == kPmuInstRetired || (type & kEvent) == kPmuCpuCycles;
}

// A counter may be told that another overflowed.
void add_to_counter(Cpu& cpu, unsigned n, uint64_t events) {
  Pmu& pmu = cpu.pmu;
  for (; n < Pmu::kEventCounters && events != 0; ++n) {
    const uint64_t sum = pmu.counters[n] + events;
    pmu.counters[n] = static_cast<uint32_t>(sum);
    events = sum >> 32;
    if (events == 0) return;
    pmu.overflows |= 1u << n;
    // An even counter's overflows are the odd one's CHAIN events.
    const unsigned next = n + 1;
    if ((n & 1) != 0 || next == Pmu::kEventCounters || (running(cpu) >> next & 1) == 0 ||
        (pmu.types[next] & kEvent) != kPmuChain || !counts_here(cpu, pmu.types[next])) {
      return;
    }
  }
}

void update_line(Cpu& cpu) {
  Pmu& pmu = cpu.pmu;
  const bool level = (pmu.overflows & pmu.interrupts & allowed(cpu)) != 0;
  if (level == pmu.level || pmu.line == nullptr) return;
  pmu.level = level;
  pmu.line->set(level);
}

// The retired count at which the first counter overflows that interrupts.
uint64_t next_overflow(const Cpu& cpu) {
  const Pmu& pmu = cpu.pmu;
  const uint32_t on = running(cpu);
  uint64_t left = Pmu::kNever;
  if ((on >> Pmu::kCycles & pmu.interrupts >> Pmu::kCycles & 1) != 0 &&
      counts_here(cpu, pmu.cycle_filter)) {
    left = ~pmu.cycles;  // one less, so that it is never none
  }
  for (unsigned n = 0; n < Pmu::kEventCounters; ++n) {
    if ((on >> n & 1) == 0 || !counts_instructions(pmu.types[n]) ||
        !counts_here(cpu, pmu.types[n])) {
      continue;
    }
    const bool chained = (n & 1) == 0 && (pmu.interrupts >> (n + 1) & 1) != 0;
    if ((pmu.interrupts >> n & 1) == 0 && !chained) continue;
    left = std::min(left, uint64_t{~pmu.counters[n]});
  }
  return left >= Pmu::kNever / 2 ? Pmu::kNever : pmu.synced + left + 1;
}

// One event for those of `counters` that count it.
void count_event(Cpu& cpu, PmuEvent event, uint32_t counters) {
  const uint32_t on = running(cpu) & counters;
  for (unsigned n = 0; n < Pmu::kEventCounters; ++n) {
    const uint32_t type = cpu.pmu.types[n];
    if ((on >> n & 1) != 0 && (type & kEvent) == event && counts_here(cpu, type)) {
      add_to_counter(cpu, n, 1);
    }
  }
  update_line(cpu);
}

bool cycles_run(const Cpu& cpu) {
  return (running(cpu) >> Pmu::kCycles & 1) != 0 && counts_here(cpu, cpu.pmu.cycle_filter);
}

auto& bits_of(auto& pmu, PmuBits which) {
  switch (which) {
    case PmuBits::kEnabled:
      return pmu.enabled;
    case PmuBits::kInterrupts:
      return pmu.interrupts;
    default:
      return pmu.overflows;
  }
}

}  // namespace

void pmu_sync(Cpu& cpu) {
  Pmu& pmu = cpu.pmu;
  const uint64_t delta = cpu.retired - pmu.synced;
  pmu.synced = cpu.retired;
  if (delta != 0 && pmu.active) {
    const uint32_t on = running(cpu);
    if (cycles_run(cpu)) {
      pmu.cycles += delta;
      if (pmu.cycles < delta) pmu.overflows |= 1u << Pmu::kCycles;
    }
    for (unsigned n = 0; n < Pmu::kEventCounters; ++n) {
      if ((on >> n & 1) != 0 && counts_instructions(pmu.types[n]) &&
          counts_here(cpu, pmu.types[n])) {
        add_to_counter(cpu, n, delta);
      }
    }
    update_line(cpu);
  }
  pmu.deadline = pmu.active ? next_overflow(cpu) : Pmu::kNever;
}

void pmu_event(Cpu& cpu, PmuEvent event) { count_event(cpu, event, kAllEvents); }

void pmu_changed(Cpu& cpu) {
  Pmu& pmu = cpu.pmu;
  pmu.synced = cpu.retired;
  pmu.active = running(cpu) != 0;
  pmu.deadline = pmu.active ? next_overflow(cpu) : Pmu::kNever;
  update_line(cpu);
}

void pmu_restarted(Cpu& cpu) {
  cpu.pmu.control &= kE | kDp;
  pmu_changed(cpu);
  if (cpu.pmu.line != nullptr) cpu.pmu.line->set(cpu.pmu.level);
}

uint64_t pmu_control(const Cpu& cpu) {
  return uint64_t{accessible(cpu)} << 11 | kLc | cpu.pmu.control;
}

void set_pmu_control(Cpu& cpu, uint64_t value) {
  pmu_sync(cpu);
  Pmu& pmu = cpu.pmu;
  if ((value & kC) != 0) pmu.cycles = 0;
  if ((value & kP) != 0) std::fill_n(pmu.counters, accessible(cpu), 0);
  pmu.control = static_cast<uint32_t>(value) & (kE | kDp);
  pmu_changed(cpu);
}

uint64_t pmu_bits(const Cpu& cpu, PmuBits which) {
  return bits_of(cpu.pmu, which) & accessible_bits(cpu);
}

void set_pmu_bits(Cpu& cpu, PmuBits which, uint64_t bits, bool to) {
  pmu_sync(cpu);
  uint32_t& word = bits_of(cpu.pmu, which);
  const uint32_t mask = static_cast<uint32_t>(bits) & accessible_bits(cpu);
  word = to ? word | mask : word & ~mask;
  pmu_changed(cpu);
}

void pmu_software_increment(Cpu& cpu, uint64_t bits) {
  pmu_sync(cpu);
  count_event(cpu, kPmuSwIncr, static_cast<uint32_t>(bits) & accessible_bits(cpu));
}

uint64_t pmu_cycles(const Cpu& cpu) { return cpu.pmu.cycles; }
void set_pmu_cycles(Cpu& cpu, uint64_t value) {
  pmu_sync(cpu);
  cpu.pmu.cycles = value;
  pmu_changed(cpu);
}

uint64_t pmu_counter(const Cpu& cpu, unsigned n) {
  return is_accessible(cpu, n) ? cpu.pmu.counters[n] : 0;
}
void set_pmu_counter(Cpu& cpu, unsigned n, uint64_t value) {
  if (!is_accessible(cpu, n)) return;
  pmu_sync(cpu);
  cpu.pmu.counters[n] = static_cast<uint32_t>(value);
  pmu_changed(cpu);
}

// The filters: P, U, and NSH where there is EL2.
uint64_t pmu_type(const Cpu& cpu, unsigned n) {
  if (n == Pmu::kCycles) return cpu.pmu.cycle_filter;
  return is_accessible(cpu, n) ? cpu.pmu.types[n] : 0;
}
void set_pmu_type(Cpu& cpu, unsigned n, uint64_t value) {
  if (n != Pmu::kCycles && !is_accessible(cpu, n)) return;
  pmu_sync(cpu);
  const uint32_t filters = kNotEl0 | kNotEl1 | (cpu.has_el2 ? uint32_t{kNsh} : 0);
  if (n == Pmu::kCycles) {
    cpu.pmu.cycle_filter = static_cast<uint32_t>(value) & filters;
  } else {
    cpu.pmu.types[n] = static_cast<uint32_t>(value) & (filters | kEvent);
  }
  pmu_changed(cpu);
}

}  // namespace trapline::soft
