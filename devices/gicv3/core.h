// What the distributor, the redistributors and the CPU interfaces share: every interrupt's state,
// and the decision which one each CPU is to take. Register decoding is elsewhere.
//
// One mutex guards it all. Decisions are cached, so that a change costs what it touches: a CPU's
// private interrupts are one 32-bit word, looked at afresh each time; of its SPIs the best is kept,
// and searched for again only when that one goes.
#ifndef TRAPLINE_DEVICES_GICV3_CORE_H_
#define TRAPLINE_DEVICES_GICV3_CORE_H_

#include <cstdint>
#include <memory>
#include <mutex>

#include "devices/gicv3/key.h"
#include "devices/gicv3/lpi.h"
#include "mmio/irq_line.h"
#include "mmio/state.h"

namespace trapline::gicv3 {

inline constexpr unsigned kMaxCpus = 8;
inline constexpr unsigned kFirstSpi = 32;
inline constexpr unsigned kMaxIntids = 1020;
inline constexpr unsigned kWords = 32;  // 32 INTIDs each; word 0 is unused: those are per CPU
inline constexpr uint32_t kSpurious = 1023;
inline constexpr uint8_t kNobody = 0xff;
// Binary points (4.8.2): with p preemption bits BPR0 is at least 7 - p; BPR1 counts from one more.
inline constexpr uint8_t kMinBpr0 = 7 - kPriorityBits;
inline constexpr uint8_t kMinBpr1 = kMinBpr0 + 1;

// The redistributor's and the CPU interface's state of one CPU.
struct alignas(64) Cpu {
  // SGIs and PPIs: bit n is INTID n.
  uint32_t group = 0;
  uint32_t enabled = 0;
  uint32_t latched = 0;  // pending by an edge or by a register write
  uint32_t level = 0;    // input lines
  uint32_t active = 0;
  uint32_t edge = 0xffff;
  uint8_t priority[32] = {};
  uint32_t ctlr = 0;  // GICR_CTLR: DPG bits
  uint32_t status = 0;
  bool asleep = true;          // GICR_WAKER.ProcessorSleep
  std::unique_ptr<Lpis> lpis;  // null: there is no ITS, and there are no LPIs

  // ICC_*
  uint8_t pmr = 0;
  uint8_t bpr[2] = {kMinBpr0, kMinBpr1};
  bool group_enabled[2] = {};  // IGRPEN0, IGRPEN1
  bool cbpr = false;
  bool eoi_mode = false;
  uint32_t active_priorities[2] = {};  // AP0R0, AP1R0: bit n is group priority n << 3

  // Cached.
  Key best_spi = kNone;
  Key best_lpi = kNone;         // whether or not group 1 is enabled
  Key best = kNone;             // of all that is pending here: HPPI
  uint32_t group_mask[2] = {};  // all ones if interrupts of that group reach this CPU
  bool signalled[2] = {};       // FIQ, IRQ
  IrqLine* lines[2] = {};

  uint32_t pending() const { return latched | (level & ~edge); }
};

// A mutex that first spins for as long as what it guards may take, then sleeps. Its holder may be
// waking the very CPU that asks for it next: without the spin an IPI costs a second sleep
// (measured: 14 us instead of 0.6), and without the sleep the two may wait for the host's scheduler
// (8 ms).
class CoreMutex {
 public:
  void lock() {
    constexpr unsigned kSpins = 64;
    for (unsigned i = 0; i < kSpins; ++i) {
      if (mutex_.try_lock()) return;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class Core {
 public:
  Core(unsigned num_cpus, unsigned num_spis);

  CoreMutex mutex;  // guards everything below

  const unsigned num_cpus;
  const unsigned num_intids;  // a multiple of 32, but at most 1020
  const unsigned num_words;
  Cpu cpus[kMaxCpus];

  // SPIs: bit intid % 32 of word intid / 32.
  uint32_t group[kWords] = {};
  uint32_t enabled[kWords] = {};
  uint32_t latched[kWords] = {};
  uint32_t level[kWords] = {};    // input lines
  uint32_t message[kWords] = {};  // GICD_SETSPI_NSR's level of a level-sensitive SPI
  uint32_t active[kWords] = {};
  uint32_t edge[kWords] = {};
  uint8_t priority[kWords * 32] = {};
  uint64_t router[kWords * 32] = {};  // GICD_IROUTER<n>
  uint32_t one_of_n[kWords] = {};     // IROUTER.IRM
  uint32_t ctlr = 0;                  // GICD_CTLR: enables, E1NWF
  uint32_t status = 0;
  unsigned last_one_of_n = 0;  // who took the last 1-of-N interrupt: round robin

  // The implemented SPIs of a word.
  uint32_t implemented(unsigned word) const;
  uint32_t pending(unsigned word) const {
    return latched[word] | ((level[word] | message[word]) & ~edge[word]);
  }
  bool is_spi(unsigned intid) const { return intid >= kFirstSpi && intid < num_intids; }
  // At assembly, once: LPIs exist from now on.
  void add_lpis(Dma& dma);
  bool has_lpis() const { return cpus[0].lpis != nullptr; }
  // An interrupt, and none of the special INTIDs.
  bool is_interrupt(uint32_t intid) const {
    return intid < num_intids || (is_lpi(intid) && has_lpis());
  }

  // --- after a change: bring the decisions, and the CPUs' lines, up to date
  // -----------------------
  void spi_changed(unsigned intid);
  void spis_changed(unsigned word, uint32_t bits);
  void router_changed(unsigned intid);
  // Of a redistributor that has LPIs.
  void lpis_changed(Cpu& cpu);
  // Private interrupts, or ICC_PMR, BPR, AP: the CPU decides anew.
  void signal(Cpu& cpu);
  // Group enables (GICD_CTLR, IGRPEN), DPG, sleep: what reaches any CPU may change.
  void enables_changed();
  // After reset or load: everything. `chosen` (num_intids bytes, or null) says who had been asked
  // to take each 1-of-N interrupt.
  void recompute(const uint8_t* chosen = nullptr);
  // The CPU that an SPI goes to now, or kNobody.
  uint8_t target(unsigned intid) const { return target_[intid]; }

  // --- CPU interface
  // ------------------------------------------------------------------------------ Acknowledges
  // what is signalled, if it is of this group: its INTID, else kSpurious.
  uint32_t acknowledge(unsigned cpu, unsigned for_group);
  void end_of_interrupt(unsigned cpu, uint32_t intid, unsigned for_group);
  void deactivate(Cpu& cpu, uint32_t intid);
  void send_sgi(unsigned sender, uint64_t value, bool any_group);
  uint8_t running_priority(const Cpu& cpu) const;
  uint8_t group_priority(const Cpu& cpu, uint8_t interrupt_priority, unsigned of_group) const;
  // An interrupt may yet reach the CPU: one is enabled, and so are its group and a priority.
  bool can_signal(unsigned cpu) const;

  // --- input lines, with the mutex taken here
  // -------------------------------------------------------
  void set_spi(unsigned intid, bool high);
  void set_ppi(unsigned cpu, unsigned intid, bool high);

  void reset_distributor();
  void reset_redistributor(Cpu& cpu);
  static void reset_interface(Cpu& cpu);
  bool consistent();

 private:
  Key best_private(const Cpu& cpu) const;
  Key find_best_spi(unsigned cpu) const;
  uint8_t route_by_affinity(uint64_t route) const;
  uint8_t choose_one_of_n(unsigned of_group);
  bool eligible(const Cpu& cpu, unsigned of_group) const;
  void set_target(unsigned intid, uint8_t cpu);
  void update_group_masks(Cpu& cpu);

  // Where each SPI goes, as a number and as bitmaps.
  uint8_t target_[kWords * 32];
  uint32_t routed_[kMaxCpus][kWords] = {};
};

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_CORE_H_
