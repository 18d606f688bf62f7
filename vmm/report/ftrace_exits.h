// From a host's events to exits: each vCPU thread's exit, what is said about it, and its entry.
#ifndef TRAPLINE_VMM_REPORT_FTRACE_EXITS_H_
#define TRAPLINE_VMM_REPORT_FTRACE_EXITS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vmm/report/ftrace_keys.h"
#include "vmm/report/ftrace_line.h"
#include "vmm/report/ftrace_times.h"
#include "vmm/report/profile.h"

namespace trapline {

class TraceExits {
 public:
  static constexpr size_t kMostEvents = 500'000;
  // Single exits are kept of the first `most_events`; the sums are of all.
  explicit TraceExits(DevicesMap devices, size_t most_events = kMostEvents)
      : keys_(std::move(devices)), most_events_(most_events) {}

  enum class Took {
    kYes,
    kNotUnderstood,  // an event of ours whose text is not
    kForeign,        // an exit of another architecture
  };
  Took take(const TraceLine& line);
  // After the last line. Rows are without symbols and text.
  void finish(Profile& profile);

  uint64_t exits() const { return exits_; }

 private:
  // Between kvm_exit and kvm_entry.
  struct Pending {
    uint64_t start = 0, pc = 0, address = 0, value = 0;
    uint64_t user_at = 0;    // kvm_userspace_exit; 0: none
    uint64_t blocks_at = 0;  // where it may begin to sleep; 0: does not
    uint64_t wakeup_at = 0;  // kvm_vcpu_wakeup, and what it says; 0: none
    uint64_t slept = 0;
    uint16_t key = 0;
    uint8_t exit_class = 0;
    bool sleeps = false;  // its class
    bool write = false;
    ProfileRow::Isv isv = ProfileRow::Isv::kNotApplicable;
  };
  struct Thread {
    uint32_t pid = 0, cpu = 0;
    unsigned vcpu = 0;
    std::string name{};
    bool in_exit = false, in_guest = false;
    uint64_t entered = 0;
    uint64_t guest_ns = 0, exit_ns = 0, idle_ns = 0;
    Pending exit{};
  };
  struct RowKey {
    uint64_t pc;
    uint16_t vcpu, key;
    int8_t isv;
    bool operator==(const RowKey&) const = default;
  };
  struct RowHash {
    size_t operator()(const RowKey& k) const {
      const uint64_t low =
          uint64_t{k.vcpu} << 32 | uint64_t{k.key} << 8 | static_cast<uint8_t>(k.isv);
      return (k.pc * 0x9e37'79b9'7f4a'7c15 ^ low) * 0xff51'afd7'ed55'8ccd >> 20;
    }
  };
  struct Row {
    RowKey key;
    bool other = false;
    uint64_t count = 0, to_user = 0, sleep_ns = 0, kernel_ns = 0, user_ns = 0;
    TraceTimes times{};
  };
  static constexpr size_t kSlices = 256;

  Thread* thread_of(const TraceLine& line, bool vcpu);
  Took on_exit(const TraceLine& line);
  void on_entry(const TraceLine& line);
  bool on_detail(const TraceLine& line, Thread& thread);
  bool on_mmio(const TraceLine& line, Pending& exit);
  bool on_register(const TraceLine& line, Pending& exit);
  void on_lost(const TraceLine& line);
  void end_exit(Thread& thread, uint64_t now, bool timed);
  uint32_t row_of(const Thread& thread, uint16_t key);
  void count_in_series(uint16_t key, uint64_t now);
  void fill_series(Profile& profile) const;

  TraceKeys keys_;
  size_t most_events_;
  std::vector<Thread> threads_;
  std::unordered_map<uint32_t, uint32_t> by_pid_;
  uint32_t last_pid_ = 0, last_thread_ = 0;

  std::unordered_map<RowKey, uint32_t, RowHash> row_ids_;
  std::vector<Row> rows_;
  uint64_t in_other_rows_ = 0;

  bool started_ = false;
  uint64_t first_ = 0, last_ = 0;
  uint64_t slice_ns_ = 1'000'000;
  std::vector<std::array<uint32_t, kSlices>> series_;

  std::vector<ExitEvent> events_;
  TraceTimes user_times_, wakeup_times_;
  uint64_t exits_ = 0, untimed_ = 0, lost_ = 0, lost_places_ = 0, to_user_ = 0,
           too_many_threads_ = 0;
  uint64_t mmio_ = 0, faults_ = 0, registers_ = 0, wakeups_ = 0, wfi_ = 0, data_aborts_ = 0,
           register_exits_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_FTRACE_EXITS_H_
