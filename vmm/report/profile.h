// What a report shows, wherever it came from: the part `profile` of a statistics file, a recording,
// or what a KVM host traced. Readers fill one, writers print one; nothing else connects them.
#ifndef TRAPLINE_VMM_REPORT_PROFILE_H_
#define TRAPLINE_VMM_REPORT_PROFILE_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace trapline {

// Times of many exits, in ns.
struct Distribution {
  struct Bucket {
    double low_ns, high_ns;  // [low, high)
    uint64_t count;
  };
  uint64_t count = 0;
  double sum_ns = 0, min_ns = 0, max_ns = 0;
  std::vector<Bucket> buckets;  // ascending by low_ns; none empty

  double mean_ns() const { return count == 0 ? 0 : sum_ns / static_cast<double>(count); }
  // The middle of the bucket that holds the quantile, within [min, max]; 0 where nothing was timed.
  double quantile_ns(double q) const;
  // Buckets of equal bounds are added; others are kept beside each other.
  void merge(const Distribution& other);
};

// What exited, as rows, series and stacks are grouped by it.
struct ExitKey {
  std::string exit_class;  // as arm64 users know it: DABT_LOW IABT_LOW SYS64 HVC64 WFx IRQ ...
  std::string device;      // "pl011", "gicd", "gicc", "timer"; empty: none
  std::string reg;         // "UARTFR", "+0x18", "ICC_IAR1_EL1"; empty: none

  auto operator<=>(const ExitKey&) const = default;
};

// All exits of one vCPU at one guest instruction with one key.
struct ProfileRow {
  enum class Isv : int8_t { kNotApplicable = -1, kInvalid = 0, kValid = 1 };

  unsigned vcpu = 0;
  uint64_t pc = 0;
  ExitKey key;
  Isv isv = Isv::kNotApplicable;
  bool other = false;  // exits that found no row of their own: pc and key mean nothing

  uint64_t count = 0;  // exact
  Distribution time;   // handling, of the exits that were timed; no sleep in it
  std::map<std::string, double> stages_ns;  // sums over the timed exits: translate, fetch, decode,
                                            // lookup, emulate, ...
  double sleep_ns = 0;                      // a WFI's: waiting, not handling
  uint64_t to_user = 0;                     // of a KVM host: exits that went on to user space

  uint32_t word = 0;   // the instruction, where `text` is not empty
  std::string text;    // "ldr w0, [x1, #24]"; empty: not known
  std::string symbol;  // "pl011_console_putchar+0x48", of a module "virtio_net:virtnet_poll+0x10"

  // What all of its exits took, from those that were timed.
  double cost_ns() const { return time.mean_ns() * static_cast<double>(count); }
};

// A vCPU's time in three parts, ns.
struct VcpuTime {
  unsigned vcpu = 0;
  double guest_ns = 0, exit_ns = 0, idle_ns = 0;
};

// Exits of one key over time: counts[i] in [i, i + 1) * slice_ns from the start.
struct Series {
  ExitKey key;
  std::vector<uint64_t> counts;
};

// Exits whose guest was at the same stack.
struct StackRow {
  std::vector<std::string> frames;  // the outermost first; "0x..." where there is no symbol
  ExitKey key;
  uint64_t count = 0;
  double time_ns = 0;
};

// One exit, where the source has each (a recording, a host's trace).
struct ExitEvent {
  double start_ns = 0, total_ns = 0, sleep_ns = 0;  // start: since the source's first event
  uint64_t value = 0;                               // read or written
  uint32_t row = 0;                                 // index in Profile::rows
  bool write = false, to_user = false;
};

// What nesting would cost, of one class of the inner guest's exits, where it was counted
// (--nested-ledger, docs/statistics.md).
struct NestedRow {
  struct Trap {
    std::string name, access;  // "SPSR_EL2", "read"
    uint64_t nv = 0, nv2 = 0;
  };
  std::string exit;  // "hypercall", ...
  uint64_t exits = 0, moved = 0, stays = 0;
  uint64_t traps_nv = 0, traps_nv2 = 0;
  uint64_t erets = 0, tlbis = 0, ats = 0, instructions = 0;
  std::vector<Trap> traps;

  bool foreign() const { return exit == "foreign"; }  // of no exit
};

struct Profile {
  std::string file;    // as given on the command line
  std::string source;  // "trapline 0.1.0, soft backend", "ftrace", "perf script"
  double duration_ns = 0;
  unsigned timed_every = 1;  // one exit in so many was timed
  std::vector<ProfileRow> rows;
  std::vector<VcpuTime> vcpus;
  double slice_ns = 0;
  std::vector<Series> series;
  std::vector<StackRow> stacks;
  std::map<std::string, Distribution> latencies;  // "irq_to_iar", "kick_to_exit"
  std::map<std::string, uint64_t> icache;         // hits, misses, invalidations, ...
  std::map<std::string, uint64_t> counters;       // what else was counted, by name
  std::vector<std::string> notes;                 // what a reader of the report must know:
                                                  // lost events, unknown lines, no symbols
  std::string broken;  // of a source that could be read in part only: where it is broken off
  std::vector<NestedRow> nested;
  std::vector<ExitEvent> events;  // empty: the source has sums only

  uint64_t exits() const;
};

// Of what a report shows: --vcpu --from --to --filter --min-ns.
struct Selection {
  int vcpu = -1;                      // -1: all
  double from_ns = 0, to_ns = 1e300;  // since the start; need events
  double min_ns = 0;                  // exits that took at least so long; need events
  std::string filter;                 // text in class, device, register, symbol or instruction
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_PROFILE_H_
