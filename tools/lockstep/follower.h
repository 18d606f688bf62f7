// Runs our CPU one instruction at a time along QEMU's log. There are no devices: what a device or
// an identification register would have said is taken from QEMU's next record, and interrupts are
// taken where QEMU took them. All else must be equal.
#ifndef TRAPLINE_TOOLS_LOCKSTEP_FOLLOWER_H_
#define TRAPLINE_TOOLS_LOCKSTEP_FOLLOWER_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "mmio/clock.h"
#include "tools/lockstep/qemu_log.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/memory/stage2.h"
#include "vmm/soft/soft_vcpu.h"

namespace trapline::lockstep {

class Follower {
 public:
  // `el2`: a CPU that has it, without VHE, as QEMU's cortex-a72.
  Follower(GuestMemory& memory, Stage2& stage2, bool el2);

  // Power-on state at `first`; the memory holds what QEMU's held then.
  void start(const Record& first);
  // Executes the instruction of `now`, after which QEMU was at `next`. Empty if both agree, else
  // what differs.
  std::string advance(const Record& now, const Record& next);

  // Instructions that led here, oldest first.
  std::string history() const;
  // Registers that were taken over from QEMU, with counts.
  std::string adoptions() const;
  std::string system_registers() const;

 private:
  class NoClock final : public Clock {
   public:
    uint64_t now() override { return 0; }
    Handle at(uint64_t, std::function<void()>) override { return 0; }
    void cancel(Handle) override {}
  };

  // What the last instruction may leave different from QEMU.
  enum class Freedom : uint8_t { kNone, kRt, kAllRegisters };

  std::string compare(const Record& next) const;
  void adopt(const Record& next, Freedom freedom, uint32_t word);
  Freedom step(std::string& error);
  void note_adoption(const std::string& what, uint64_t ours, uint64_t qemu);

  struct Past {
    uint64_t pc;
    uint32_t word;
  };
  struct Adoption {
    uint64_t count, ours, qemu;
  };

  NoClock clock_;
  std::unique_ptr<soft::SoftMachine> machine_;
  soft::SoftVcpu& vcpu_;
  std::array<Past, 32> past_{};
  uint64_t executed_ = 0;
  std::map<std::string, Adoption> adoptions_;
};

}  // namespace trapline::lockstep

#endif  // TRAPLINE_TOOLS_LOCKSTEP_FOLLOWER_H_
