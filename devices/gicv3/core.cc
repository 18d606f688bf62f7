#include "devices/gicv3/core.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "devices/gicv3/registers.h"

namespace trapline::gicv3 {
namespace {

unsigned round_intids(unsigned num_spis) {
  const unsigned intids = (kFirstSpi + num_spis + 31) / 32 * 32;
  return std::clamp(intids, 64u, kMaxIntids);
}

}  // namespace

Core::Core(unsigned cpu_count, unsigned num_spis)
    : num_cpus(std::clamp(cpu_count, 1u, kMaxCpus)),
      num_intids(round_intids(num_spis)),
      num_words((num_intids + 31) / 32) {
  reset_distributor();
  for (Cpu& cpu : cpus) reset_redistributor(cpu);
  recompute();
}

uint32_t Core::implemented(unsigned word) const {
  if (word == 0 || word >= num_words) return 0;
  // INTIDs 1020 to 1023 are special, whatever ITLinesNumber says.
  return word == 31 ? 0x0fff'ffff : ~uint32_t{0};
}

// --- decisions
// -------------------------------------------------------------------------------------

Key Core::best_private(const Cpu& cpu) const {
  uint32_t ready = cpu.pending() & cpu.enabled & ~cpu.active;
  ready &= (cpu.group & cpu.group_mask[1]) | (~cpu.group & cpu.group_mask[0]);
  Key best = kNone;
  for (; ready != 0; ready &= ready - 1) {
    const unsigned intid = static_cast<unsigned>(std::countr_zero(ready));
    best = std::min(best, make_key(cpu.priority[intid], intid, cpu.group >> intid & 1));
  }
  return best;
}

Key Core::find_best_spi(unsigned cpu) const {
  const Cpu& c = cpus[cpu];
  Key best = kNone;
  for (unsigned word = 1; word < num_words; ++word) {
    uint32_t ready = routed_[cpu][word] & enabled[word] & ~active[word] & pending(word);
    ready &= (group[word] & c.group_mask[1]) | (~group[word] & c.group_mask[0]);
    for (; ready != 0; ready &= ready - 1) {
      const unsigned bit = static_cast<unsigned>(std::countr_zero(ready));
      const unsigned intid = word * 32 + bit;
      best = std::min(best, make_key(priority[intid], intid, group[word] >> bit & 1));
    }
  }
  return best;
}

bool Core::can_signal(unsigned cpu) const {
  const Cpu& c = cpus[cpu];
  if (c.pmr == 0) return false;
  if (c.lpis != nullptr && c.lpis->enabled() && c.group_mask[1] != 0) return true;
  const auto reaches = [&c](uint32_t on, uint32_t in_group_1) {
    return (on & ((in_group_1 & c.group_mask[1]) | (~in_group_1 & c.group_mask[0]))) != 0;
  };
  if (reaches(c.enabled, c.group)) return true;
  for (unsigned word = 1; word < num_words; ++word) {
    if (reaches(routed_[cpu][word] & enabled[word], group[word])) return true;
  }
  return false;
}

uint8_t Core::group_priority(const Cpu& cpu, uint8_t interrupt_priority, unsigned of_group) const {
  // Group 1's binary point counts from one more than group 0's (4.8.3): 0b011 there and 0b010 here
  // both split 5 bits from 3.
  const unsigned shift = of_group == 1 && !cpu.cbpr ? cpu.bpr[1] : cpu.bpr[0] + 1u;
  return static_cast<uint8_t>(interrupt_priority & (0xffu << shift));
}

uint8_t Core::running_priority(const Cpu& cpu) const {
  const uint32_t all = cpu.active_priorities[0] | cpu.active_priorities[1];
  if (all == 0) return kIdlePriority;
  return static_cast<uint8_t>(std::countr_zero(all) << (8 - kPriorityBits));
}

void Core::signal(Cpu& cpu) {
  Key best = std::min(best_private(cpu), cpu.best_spi);
  // LPIs are in group 1 (4.6).
  if (cpu.best_lpi < best && cpu.group_mask[1] != 0) best = cpu.best_lpi;
  cpu.best = best;
  bool now[2] = {false, false};
  // 4.8.6: of higher priority than the mask, and of a higher group priority than what runs.
  if (best != kNone && key_priority(best) < cpu.pmr &&
      group_priority(cpu, key_priority(best), key_group(best)) < running_priority(cpu)) {
    now[key_group(best)] = true;
  }
  for (unsigned line = 0; line < 2; ++line) {
    if (cpu.signalled[line] == now[line]) continue;
    cpu.signalled[line] = now[line];
    if (cpu.lines[line] != nullptr) cpu.lines[line]->set(now[line]);
  }
}

void Core::add_lpis(Dma& dma) {
  std::lock_guard lock(mutex);
  for (unsigned n = 0; n < num_cpus; ++n) cpus[n].lpis = std::make_unique<Lpis>(dma);
}

void Core::lpis_changed(Cpu& cpu) {
  const Key best = cpu.lpis->best();
  if (best == cpu.best_lpi) return;
  cpu.best_lpi = best;
  signal(cpu);
}

void Core::spi_changed(unsigned intid) {
  const unsigned word = intid / 32;
  const uint32_t bit = 1u << (intid % 32);
  const unsigned of_group = (group[word] & bit) != 0;
  const bool ready = (enabled[word] & ~active[word] & pending(word) & bit) != 0;

  if ((one_of_n[word] & bit) != 0) {
    // A CPU is chosen when the interrupt becomes ready, and keeps it until it is no longer ready or
    // the CPU no longer takes part.
    const uint8_t old = target_[intid];
    uint8_t chosen = kNobody;
    if (ready) {
      chosen = old != kNobody && eligible(cpus[old], of_group) ? old : choose_one_of_n(of_group);
    }
    if (chosen != old) {
      set_target(intid, chosen);
      if (old != kNobody && key_intid(cpus[old].best_spi) == intid) {
        cpus[old].best_spi = find_best_spi(old);
        signal(cpus[old]);
      }
    }
  }

  const uint8_t target = target_[intid];
  if (target == kNobody) return;
  Cpu& cpu = cpus[target];
  const bool was_best = cpu.best_spi != kNone && key_intid(cpu.best_spi) == intid;
  if (ready && cpu.group_mask[of_group] != 0) {
    const Key key = make_key(priority[intid], intid, of_group);
    if (key == cpu.best_spi) return;
    if (was_best) {
      cpu.best_spi = find_best_spi(target);  // its priority or group changed
    } else if (key < cpu.best_spi) {
      cpu.best_spi = key;
    } else {
      return;
    }
  } else if (was_best) {
    cpu.best_spi = find_best_spi(target);
  } else {
    return;
  }
  signal(cpu);
}

void Core::spis_changed(unsigned word, uint32_t bits) {
  for (; bits != 0; bits &= bits - 1) {
    spi_changed(word * 32 + static_cast<unsigned>(std::countr_zero(bits)));
  }
}

void Core::enables_changed() {
  for (unsigned n = 0; n < num_cpus; ++n) {
    update_group_masks(cpus[n]);
    cpus[n].best_spi = find_best_spi(n);
  }
  // Those that anybody may take are chosen anew if their CPU no longer takes part, or if there was
  // none.
  for (unsigned word = 1; word < num_words; ++word) spis_changed(word, one_of_n[word]);
  for (unsigned n = 0; n < num_cpus; ++n) signal(cpus[n]);
}

void Core::recompute(const uint8_t* chosen) {
  std::memset(target_, kNobody, sizeof target_);
  std::memset(routed_, 0, sizeof routed_);
  for (unsigned n = 0; n < num_cpus; ++n) {
    update_group_masks(cpus[n]);
    cpus[n].best_spi = kNone;
  }
  for (unsigned intid = kFirstSpi; intid < num_intids; ++intid) {
    if ((one_of_n[intid / 32] >> (intid % 32) & 1) == 0) {
      set_target(intid, route_by_affinity(router[intid]));
    } else if (chosen != nullptr && chosen[intid] < num_cpus) {
      set_target(intid, chosen[intid]);  // stands if it still takes part
    }
  }
  enables_changed();
  // The CPUs may have been reset or loaded too: tell them anew, changed or not.
  for (unsigned n = 0; n < num_cpus; ++n) {
    for (unsigned line = 0; line < 2; ++line) {
      if (cpus[n].lines[line] != nullptr) cpus[n].lines[line]->set(cpus[n].signalled[line]);
    }
  }
}

void Core::update_group_masks(Cpu& cpu) {
  const uint32_t enables[2] = {kCtlrEnableGrp0, kCtlrEnableGrp1};
  for (unsigned g = 0; g < 2; ++g) {
    cpu.group_mask[g] = cpu.group_enabled[g] && (ctlr & enables[g]) != 0 ? ~uint32_t{0} : 0;
  }
}

// --- routing
// ---------------------------------------------------------------------------------------

uint8_t Core::route_by_affinity(uint64_t route) const {
  // CPU n is 0.0.0.n. Aff3 is bits 39:32, Aff2.Aff1.Aff0 are bits 23:0.
  const uint64_t affinity = route & 0xff'00ff'ffff;
  return affinity < num_cpus ? static_cast<uint8_t>(affinity) : kNobody;
}

void Core::set_target(unsigned intid, uint8_t cpu) {
  const unsigned word = intid / 32;
  const uint32_t bit = 1u << (intid % 32);
  if (target_[intid] != kNobody) routed_[target_[intid]][word] &= ~bit;
  target_[intid] = cpu;
  if (cpu != kNobody) routed_[cpu][word] |= bit;
}

void Core::router_changed(unsigned intid) {
  const uint8_t old = target_[intid];
  const bool any = (one_of_n[intid / 32] >> (intid % 32) & 1) != 0;
  set_target(intid, any ? kNobody : route_by_affinity(router[intid]));
  if (old != kNobody && old != target_[intid] && key_intid(cpus[old].best_spi) == intid) {
    cpus[old].best_spi = find_best_spi(old);
    signal(cpus[old]);
  }
  spi_changed(intid);
}

// 4.1.1, 12.11.3: a CPU takes part in 1-of-N distribution if its group is enabled, it is awake (or
// GICD_CTLR.E1NWF wakes it) and it has not opted out by GICR_CTLR.DPG*.
bool Core::eligible(const Cpu& cpu, unsigned of_group) const {
  if (cpu.group_mask[of_group] == 0) return false;
  if (cpu.asleep && (ctlr & kCtlrE1nwf) == 0) return false;
  return (cpu.ctlr & (of_group == 1 ? kGicrCtlrDpg1ns : kGicrCtlrDpg0)) == 0;
}

uint8_t Core::choose_one_of_n(unsigned of_group) {
  uint8_t chosen = kNobody;
  for (unsigned step = 1; step <= num_cpus; ++step) {
    const unsigned n = (last_one_of_n + step) % num_cpus;
    const Cpu& cpu = cpus[n];
    if (!eligible(cpu, of_group)) continue;
    const bool idle = cpu.active_priorities[0] == 0 && cpu.active_priorities[1] == 0 &&
                      !cpu.signalled[0] && !cpu.signalled[1] && cpu.pmr != 0;
    if (idle) {
      chosen = static_cast<uint8_t>(n);
      break;
    }
    if (chosen == kNobody) chosen = static_cast<uint8_t>(n);
  }
  if (chosen != kNobody) last_one_of_n = chosen;
  return chosen;
}

// --- CPU interface
// -----------------------------------------------------------------------------------

uint32_t Core::acknowledge(unsigned cpu_index, unsigned for_group) {
  Cpu& cpu = cpus[cpu_index];
  if (!cpu.signalled[for_group]) return kSpurious;
  const Key key = cpu.best;
  const unsigned intid = key_intid(key);
  const uint8_t running = group_priority(cpu, key_priority(key), for_group);
  cpu.active_priorities[for_group] |= 1u << (running >> (8 - kPriorityBits));
  if (intid < kFirstSpi) {
    cpu.active |= 1u << intid;
    cpu.latched &= ~(1u << intid);
  } else if (intid >= kFirstLpi) {
    cpu.lpis->clear_pending(intid);  // an LPI has no active state
    cpu.best_lpi = cpu.lpis->best();
  } else {
    active[intid / 32] |= 1u << (intid % 32);
    latched[intid / 32] &= ~(1u << (intid % 32));
    spi_changed(intid);
  }
  signal(cpu);
  return intid;
}

void Core::end_of_interrupt(unsigned cpu_index, uint32_t intid, unsigned for_group) {
  Cpu& cpu = cpus[cpu_index];
  if (!is_interrupt(intid)) return;
  // Priority drop (4.1.1): the highest active priority, if it is of this group. An unbalanced write
  // is UNPREDICTABLE: ignored.
  const uint32_t own = cpu.active_priorities[for_group];
  const uint32_t other = cpu.active_priorities[for_group ^ 1];
  if (own == 0 || (other != 0 && std::countr_zero(other) < std::countr_zero(own))) return;
  cpu.active_priorities[for_group] = own & (own - 1);
  if (cpu.eoi_mode) {
    signal(cpu);
  } else {
    deactivate(cpu, intid);
  }
}

void Core::deactivate(Cpu& cpu, uint32_t intid) {
  if (intid < kFirstSpi) {
    cpu.active &= ~(1u << intid);
  } else if (intid < num_intids) {
    active[intid / 32] &= ~(1u << (intid % 32));
    spi_changed(intid);
  }
  signal(cpu);
}

// ICC_SGI1R_EL1 and its like (12.2.20): TargetList 15:0, Aff1 23:16, INTID 27:24, Aff2 39:32, IRM
// 40, RS 47:44, Aff3 55:48. With one security state a group 1 request generates the SGI whichever
// group it is in at the target; a group 0 request only if it is in group 0 there.
void Core::send_sgi(unsigned sender, uint64_t value, bool any_group) {
  const uint32_t bit = 1u << (value >> 24 & 15);
  uint32_t targets;
  if ((value >> 40 & 1) != 0) {
    targets = ((1u << num_cpus) - 1) & ~(1u << sender);
  } else {
    // All our CPUs have Aff3.Aff2.Aff1 0.0.0; range selector 0 is Aff0 0 to 15.
    constexpr uint64_t kElsewhere = 0x00ff'f0ff'00ff'0000;
    if ((value & kElsewhere) != 0) return;
    targets = static_cast<uint32_t>(value & ((1u << num_cpus) - 1));
  }
  for (; targets != 0; targets &= targets - 1) {
    Cpu& cpu = cpus[std::countr_zero(targets)];
    if ((cpu.group & bit) != 0 && !any_group) continue;
    if ((cpu.latched & bit) != 0) continue;
    cpu.latched |= bit;
    signal(cpu);
  }
}

// --- input lines
// -------------------------------------------------------------------------------------

void Core::set_spi(unsigned intid, bool high) {
  const unsigned word = intid / 32;
  const uint32_t bit = 1u << (intid % 32);
  std::lock_guard lock(mutex);
  if (((level[word] & bit) != 0) == high) return;
  level[word] ^= bit;
  if (high && (edge[word] & bit) != 0) latched[word] |= bit;
  spi_changed(intid);
}

void Core::set_ppi(unsigned cpu_index, unsigned intid, bool high) {
  const uint32_t bit = 1u << intid;
  std::lock_guard lock(mutex);
  Cpu& cpu = cpus[cpu_index];
  if (((cpu.level & bit) != 0) == high) return;
  cpu.level ^= bit;
  if (high && (cpu.edge & bit) != 0) cpu.latched |= bit;
  signal(cpu);
}

// --- reset
// -------------------------------------------------------------------------------------------

// The input lines keep their levels: they belong to the devices, which reset themselves.
void Core::reset_distributor() {
  for (uint32_t* words : {group, enabled, latched, message, active, edge, one_of_n}) {
    std::fill_n(words, kWords, 0);
  }
  std::memset(priority, 0, sizeof priority);
  std::memset(router, 0, sizeof router);
  ctlr = 0;
  status = 0;
  last_one_of_n = num_cpus - 1;  // the first choice is CPU 0
}

void Core::reset_redistributor(Cpu& cpu) {
  cpu.group = cpu.enabled = cpu.latched = cpu.active = 0;
  cpu.edge = 0xffff;
  std::memset(cpu.priority, 0, sizeof cpu.priority);
  cpu.ctlr = cpu.status = 0;
  cpu.asleep = true;
  if (cpu.lpis != nullptr) cpu.lpis->reset();
  cpu.best_lpi = kNone;
  reset_interface(cpu);
}

void Core::reset_interface(Cpu& cpu) {
  cpu.pmr = 0;
  cpu.bpr[0] = kMinBpr0;
  cpu.bpr[1] = kMinBpr1;
  cpu.group_enabled[0] = cpu.group_enabled[1] = false;
  cpu.cbpr = cpu.eoi_mode = false;
  cpu.active_priorities[0] = cpu.active_priorities[1] = 0;
}

bool Core::consistent() {
  std::lock_guard lock(mutex);
  for (unsigned n = 0; n < num_cpus; ++n) {
    const Cpu& cpu = cpus[n];
    const Key spi = find_best_spi(n);
    const Key lpi = cpu.lpis != nullptr ? cpu.lpis->best() : kNone;
    const Key best = std::min({best_private(cpu), spi, cpu.group_mask[1] != 0 ? lpi : kNone});
    if (cpu.best_spi != spi || cpu.best_lpi != lpi || cpu.best != best) return false;
    const bool deliver =
        best != kNone && key_priority(best) < cpu.pmr &&
        group_priority(cpu, key_priority(best), key_group(best)) < running_priority(cpu);
    for (unsigned g = 0; g < 2; ++g) {
      if (cpu.signalled[g] != (deliver && key_group(best) == g)) return false;
    }
  }
  for (unsigned intid = kFirstSpi; intid < num_intids; ++intid) {
    const unsigned word = intid / 32;
    const uint32_t bit = 1u << (intid % 32);
    for (unsigned n = 0; n < kMaxCpus; ++n) {
      if (((routed_[n][word] & bit) != 0) != (target_[intid] == n)) return false;
    }
    if ((one_of_n[word] & bit) == 0) {
      if (target_[intid] != route_by_affinity(router[intid])) return false;
      continue;
    }
    // A ready 1-of-N interrupt has a CPU if any takes part.
    const bool ready = (enabled[word] & ~active[word] & pending(word) & bit) != 0;
    const unsigned of_group = (group[word] & bit) != 0;
    bool any = false;
    for (unsigned n = 0; n < num_cpus; ++n) any = any || eligible(cpus[n], of_group);
    if ((target_[intid] != kNobody) != (ready && any)) return false;
    if (target_[intid] != kNobody && !eligible(cpus[target_[intid]], of_group)) return false;
  }
  return true;
}

}  // namespace trapline::gicv3
