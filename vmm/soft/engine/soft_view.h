// What mmio::emulate() sees of a software CPU: its registers in place, stage 1 by a walk, RAM by a
// walk of stage 2. For the slow path, inside engine_run(), and for the sink, which is outside: what
// the sink does no other CPU's TLBI waits for, so that it may not use the TLB, and brackets RAM.
#ifndef TRAPLINE_VMM_SOFT_ENGINE_SOFT_VIEW_H_
#define TRAPLINE_VMM_SOFT_ENGINE_SOFT_VIEW_H_

#include <cstdint>

#include "vmm/soft/cpu.h"

namespace trapline::soft {

enum class Presence : uint8_t;

class SoftView final : public CpuView {
 public:
  explicit SoftView(Cpu& cpu) : cpu_(cpu) { brackets_ram = true; }
  // What depends on PSTATE and the system registers is made anew when they have changed.
  SoftView& current() {
    if (cpu_.sys.mmu.serial != seen_serial_) [[unlikely]] {
      refresh_regime();
    }
    return *this;
  }
  // For the instruction at `instruction_pc`. No page is known.
  void refresh(uint64_t instruction_pc) {
    current().pc = instruction_pc;
    nzcv = cpu_.nzcv;
    known_va_page = ~uint64_t{0};
  }
  // While one lives the view is the slow path's.
  class Inside {
   public:
    explicit Inside(SoftView& view) : view_(view) { view_.brackets_ram = false; }
    ~Inside() { view_.brackets_ram = true; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    SoftView& view_;
  };

  Translation translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) override;
  uint8_t* ram(uint64_t ipa, Direction dir) override;
  void ram_written(uint64_t ipa, unsigned size) override;

 private:
  bool begin_ram_access() override;
  void end_ram_access() override;
  bool maintenance_asked() const;
  void refresh_regime();

  bool inside() const { return !brackets_ram; }

  Cpu& cpu_;
  Presence presence_before_{};           // begin_ram()
  uint64_t seen_serial_ = ~uint64_t{0};  // TranslationRegs::serial
};

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_ENGINE_SOFT_VIEW_H_
