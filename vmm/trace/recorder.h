// run --record: every exit of every vCPU into a trace, with what the exit path asked of CPU and
// devices, and what became of it.
#ifndef TRAPLINE_VMM_TRACE_RECORDER_H_
#define TRAPLINE_VMM_TRACE_RECORDER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "vmm/config/result.h"
#include "vmm/exit/counters.h"
#include "vmm/exit/observer.h"
#include "vmm/exit/psci.h"
#include "vmm/trace/asking_view.h"
#include "vmm/trace/block_file.h"
#include "vmm/trace/event.h"
#include "vmm/trace/needs.h"

namespace trapline::trace {

class Recording;

// The observer of one vCPU.
class ExitRecorder final : public ExitObserver, public PowerControl {
 public:
  ExitRecorder(Recording& recording, unsigned index);
  // At assembly: the vCPU, what its counters say of answers that a second without progress gave,
  // and who answers as PowerControl.
  void attend(Vcpu& vcpu, const ExitCounters& counters, PowerControl& power);

  CpuView& begins(const Exit& exit, CpuView& view) override;
  void accessed(const ExitRecord& record) override;
  void exited(const ExitRecord& record) override;
  // The vCPU's thread: it was asleep.
  void slept(uint64_t cycles);
  // Any thread: memory was written that a source may have been read from, or stage 2 was changed.
  void memory_written(uint64_t ipa, uint64_t size);
  void map_changed();

  // PowerControl.
  unsigned cpu_count() const override { return power_->cpu_count(); }
  Power power(unsigned cpu) override;
  bool cpu_on(unsigned cpu, uint64_t entry, uint64_t context) override;
  bool is_guest_memory(uint64_t ipa) const override;

  // The last, unfinished block goes to the file. The vCPU is not running.
  void flush();
  uint64_t exits() const { return exits_; }
  // The PCs of all exits, and what they reached: region << 48 | offset.
  const std::set<uint64_t>& places() const { return places_; }
  const std::set<uint64_t>& targets() const { return targets_; }

 private:
  struct Known {  // a source that was seen, and how to see that it is the same
    uint64_t pc, context;
    Fetched fetched;
    uint64_t number;
    Access access;
    Needs needs;
    bool unchanged() const;
  };
  struct Written {
    uint64_t ipa, size;  // size 0: the map
  };

  void note_source(const Exit& exit);
  const Known* note_new_source(const Exit& exit, uint64_t key);
  void save(const CpuView& view);
  bool settle_needs(const Access* access);
  void note_abort(const ExitRecord& record);
  void note_registers(const ExitRecord& record);
  void note_vectors(const ExitRecord& record);
  void note_context(const TranslationRegs& regs);
  void note_place(const Exit& exit);
  void note_regime(const CpuView& view);
  void note_view(const CpuView& view);
  void note_written();
  void note_maintenance();
  void forget_sources();
  uint64_t number_of(const Fetched& fetched);
  ExitEvent::Rare& rare();
  template <typename Put>
  void emit(size_t longest, Put&& put);

  Recording& recording_;
  unsigned index_;
  Vcpu* vcpu_ = nullptr;
  const ExitCounters* counters_ = nullptr;
  PowerControl* power_ = nullptr;
  ExitEvent event_;
  mutable AskingView view_{event_};  // is_guest_memory() is a question
  Coding coding_;
  // As the exit met them, of what it needs.
  Needs needs_;
  const Known* source_ = nullptr;
  std::array<uint64_t, ExitEvent::kRegisters> registers_{};
  std::array<Vreg, 32> vectors_{};
  uint64_t stuck_before_ = 0;
  MaintenanceLog maintenance_;

  ViewState view_state_;
  bool view_known_ = false;
  uint64_t regime_ = 0;                                         // TranslationRegs::serial
  std::vector<std::pair<TranslationRegs, uint64_t>> contexts_;  // small: searched from the end
  uint64_t context_ = 0;                       // the number of the one in force; 0: not known
  std::unordered_map<uint64_t, Known> known_;  // by a hash of PC and context
  std::array<const Known*, 1024> recent_known_{};
  std::unordered_map<uint64_t, std::vector<std::pair<SourceData, uint64_t>>> numbers_;
  uint64_t sources_ = 0;
  // PCs and registers seen, each with a filter in front.
  static constexpr size_t kFilter = 1024;
  // What was seen last in each slot; kNone has never been.
  static constexpr uint64_t kNone = ~uint64_t{0};
  std::array<uint64_t, kFilter> recent_places_, recent_targets_;
  std::set<uint64_t> places_, targets_;

  Block block_;
  Encoder out_;
  uint64_t exits_ = 0;

  std::atomic<bool> has_written_{false};
  std::mutex written_mutex_;
  std::vector<Written> written_;
};

// The recording of a machine.
class Recording final {
 public:
  struct Setup {
    unsigned cpus = 1;
    bool icount = false;
    std::string icache, decoder, isv;
    std::string cpu;  // CpuModel; "host" where it is the host's
    const Bus* bus = nullptr;
    Backend* backend = nullptr;
  };
  static Result<std::unique_ptr<Recording>> create(const std::string& path, const Setup& setup);

  ExitRecorder& vcpu(unsigned index) { return *vcpus_[index]; }
  // Machine's observer of memory. Any thread.
  void memory_written(uint64_t ipa, uint64_t size);
  void map_changed();

  // What can be named before anything has run (JSON): for a trace that will be broken off.
  void put_names(const std::string& names);
  // Once no vCPU runs: the rest, with `names` (JSON) for those who read. One line; empty on
  // success.
  std::string finish(const std::string& names);

 private:
  friend class ExitRecorder;
  Recording() = default;
  // From here on writes to the page are heard of, as policy `protect` needs it.
  void watch(uint64_t ipa);
  void write(Block block);

  Backend* backend_ = nullptr;
  std::unique_ptr<BlockWriter> writer_;
  std::vector<std::unique_ptr<ExitRecorder>> vcpus_;
  std::atomic<bool> told_{false};
  // Pages that are watched: a filter that any thread may ask, and the truth.
  static constexpr size_t kFilter = 1 << 16;
  std::vector<std::atomic<uint8_t>> filter_ = std::vector<std::atomic<uint8_t>>(kFilter);
};

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_RECORDER_H_
