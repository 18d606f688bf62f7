// A view that notes what an emulation asks of the CPU beside its registers. Internal to
// recorder.cc.
#ifndef TRAPLINE_VMM_TRACE_ASKING_VIEW_H_
#define TRAPLINE_VMM_TRACE_ASKING_VIEW_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "mmio/cpu_view.h"
#include "vmm/trace/event.h"

namespace trapline::trace {

class AskingView final : public CpuView {
 public:
  explicit AskingView(ExitEvent& event) : event_(event) {}

  // For an exit to come: nothing has been asked.
  void begin() {
    if (asked_ == Asked::kMore) event_.rare->questions.clear();
    asked_ = Asked::kNothing;
  }
  CpuView& through(CpuView& inner) {
    inner_ = &inner;
    static_cast<CpuView&>(*this) = inner;
    return *this;
  }
  // What an emulation changes beside registers.
  void give_back() { inner_->nzcv = nzcv; }
  // After the exit: all is in the event, the bytes that were written, too.
  void end() {
    if (asked_ == Asked::kNothing) return;
    if (asked_ == Asked::kReached && reached_va_ == event_.exit.far) {
      event_.flags |= ExitEvent::kReached;
    } else {
      list();
    }
  }
  // One more, whoever asks; until the next.
  Question& question(Question::Kind kind);

  Translation translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) override;
  uint8_t* ram(uint64_t ipa, Direction dir) override;
  void ram_written(uint64_t ipa, unsigned size) override;

 private:
  bool begin_ram_access() override { return inner_->begin_ram(); }
  void end_ram_access() override { inner_->end_ram(); }
  void list_reached();
  void list();

  ExitEvent& event_;
  CpuView* inner_ = nullptr;
  // ExitEvent::reached, as long as no more is asked than that.
  enum class Asked : uint8_t { kNothing, kWhere, kReached, kMore } asked_ = Asked::kNothing;
  uint64_t reached_va_ = 0;
  std::vector<std::pair<uint64_t, const uint8_t*>> pages_;
  std::vector<std::pair<size_t, const uint8_t*>> writes_;
};

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_ASKING_VIEW_H_
