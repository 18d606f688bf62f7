// The generic timer (Arm ARM DDI 0487, D11): the EL1 physical and virtual timers of each CPU by
// system registers, and a memory-mapped one (I2) with a control frame and one timer frame.
#ifndef TRAPLINE_DEVICES_TIMER_H_
#define TRAPLINE_DEVICES_TIMER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>

#include "devices/alarm.h"
#include "mmio/clock.h"
#include "mmio/device.h"
#include "mmio/irq_line.h"
#include "mmio/sysreg.h"

namespace trapline {

// One timer in its CompareValue view (D11.2.4): the condition is met while the counter minus the
// offset is at least CompareValue, all unsigned 64-bit. Thread-safe.
//
// The alarm comes on the clock's thread, late by what that takes. Whatever shows a guest that the
// condition is met (ISTATUS, TimerValue, the count itself) therefore raises the line first: who has
// seen it finds the interrupt pending.
class CompareTimer {
 public:
  enum Control : uint32_t { kEnable = 1, kImask = 2, kIstatus = 4 };

  explicit CompareTimer(Clock& clock) : clock_(clock), alarm_(clock, &fire, this) {}
  ~CompareTimer();

  // At assembly. Level: ENABLE and not IMASK and the condition is met.
  void connect(IrqLine* line) { line_ = line; }
  // At assembly. `due` will hold the tick of the clock from which on the count shows a condition
  // whose line is still to be raised; kNever: there is none.
  void publish_due(std::atomic<uint64_t>* due) { due_ = due; }
  static constexpr uint64_t kNever = ~uint64_t{0};

  uint32_t control();    // ISTATUS is 0 while ENABLE is 0
  uint64_t compare();    // CVAL
  uint32_t remaining();  // TVAL: the low 32 bits of CVAL - count
  uint64_t offset();     // CNTVOFF
  uint64_t count();      // the counter less the offset
  void look();           // for a register that shows the count and is read elsewhere

  // Whoever waits for the interrupt will take_over() no later than at the tick returned, kNever if
  // there is no need: the clock's thread is not woken for it.
  uint64_t hand_over();
  void take_over();

  void set_control(uint32_t value);
  void set_compare(uint64_t value);
  // Replaces one 32-bit half (0: low, 1: high) of CVAL or the offset.
  void set_compare_half(unsigned half, uint32_t value);
  void set_remaining(uint32_t value);  // CVAL = count + SignExtend(value)
  void set_offset(uint64_t value);
  void set_offset_half(unsigned half, uint32_t value);

  void reset();
  void save(StateWriter& out) const;
  bool load(StateReader& in);

 private:
  static void fire(void* self, uint64_t generation);
  // Brings line and alarm in step with the registers. mutex_ held; the result goes to
  // alarm_.cancel() once it is released.
  [[nodiscard]] Clock::Handle update();
  void set_line(bool level);
  // Raises the line if it is due at `now`. True: the condition is met. mutex_ held.
  bool met(uint64_t now);
  // After the line, if that rises: who finds nothing due finds the interrupt pending.
  void set_due(uint64_t tick) {
    if (due_ != nullptr) due_->store(tick, std::memory_order_release);
  }

  Clock& clock_;
  mutable std::mutex mutex_;
  Alarm alarm_;
  IrqLine* line_ = nullptr;
  std::atomic<uint64_t>* due_ = nullptr;
  bool level_ = false;
  uint32_t control_ = 0;  // ENABLE and IMASK
  uint64_t compare_ = 0;
  uint64_t offset_ = 0;
};

// CNTP_*_EL0, CNTV_*_EL0, CNTHP_*_EL2, CNTHV_*_EL2 and CNTVOFF_EL2 of every CPU. CNTVCT, CNTPCT and
// CNTFRQ are answered too for a backend that lets them exit; one that does not asks for them once a
// timer is due. A backend with EL2 subtracts CNTVOFF_EL2 itself, for which ELs see it differs.
class GenericTimer final : public SysregDevice {
 public:
  GenericTimer(Clock& clock, unsigned num_cpus);

  // At assembly: PPIs 27 and 30 of that CPU.
  void connect(unsigned cpu, IrqLine* virtual_line, IrqLine* physical_line);
  // The same, where there is EL2: PPIs 28 and 26.
  void connect_el2(unsigned cpu, IrqLine* virtual_line, IrqLine* physical_line);
  // At assembly, optional: see CompareTimer::publish_due(). Of the timers of EL1.
  void publish_due(unsigned cpu, std::atomic<uint64_t>* virtual_due,
                   std::atomic<uint64_t>* physical_due);

  // The CPU's own thread sleeps until the tick returned at the latest, where its EL1 timers are
  // seen to by wakes(); kNever: it has none to wait for.
  uint64_t falls_asleep(unsigned cpu);
  void wakes(unsigned cpu);

  bool sysreg_read(SysregId id, unsigned vcpu, uint64_t& value) override;
  bool sysreg_write(SysregId id, unsigned vcpu, uint64_t value) override;
  std::string_view register_name(SysregId id) const override;

  void reset();
  void reset_cpu(unsigned cpu);  // PSCI CPU_ON
  void save(StateWriter& out) const;
  bool load(StateReader& in);

 private:
  struct Cpu {
    explicit Cpu(Clock& clock)
        : physical(clock), virt(clock), el2_physical(clock), el2_virtual(clock) {}
    CompareTimer physical;
    CompareTimer virt;
    CompareTimer el2_physical;
    CompareTimer el2_virtual;
  };
  static std::array<CompareTimer*, 4> all(Cpu& cpu) {
    return {&cpu.physical, &cpu.virt, &cpu.el2_physical, &cpu.el2_virtual};
  }
  static std::array<const CompareTimer*, 4> all(const Cpu& cpu) {
    return {&cpu.physical, &cpu.virt, &cpu.el2_physical, &cpu.el2_virtual};
  }
  CompareTimer* find(SysregId id, unsigned vcpu);  // null: not a register of one timer

  std::deque<Cpu> cpus_;
};

// `arm,armv7-timer-mem`: CNTCTLBase and CNTBase0, each a 4 KiB frame (64 KiB windows may be mapped;
// the rest reads as zero). Frame 0 has a physical and a virtual timer, which share one interrupt
// line: the device tree lists that interrupt twice.
class MemoryMappedTimer {
 public:
  static constexpr uint64_t kFrameSize = 0x1000;

  explicit MemoryMappedTimer(Clock& clock);

  void connect(IrqLine* line) { output_.connect(line); }
  Device& control() { return control_; }  // "cntctl"
  Device& frame() { return frame_; }      // "cntbase0"

 private:
  // The OR of the two timers' levels.
  class OrLine {
   public:
    OrLine() : inputs_{Input{this, 1}, Input{this, 2}} {}
    void connect(IrqLine* line) { line_ = line; }
    IrqLine* input(unsigned n) { return &inputs_[n]; }

   private:
    struct Input final : IrqLine {
      Input(OrLine* owner_line, unsigned input_bit) : owner(owner_line), bit(input_bit) {}
      void set(bool level) override { owner->set(bit, level); }
      OrLine* owner;
      unsigned bit;
    };
    void set(unsigned bit, bool level);

    std::mutex mutex_;
    unsigned levels_ = 0;
    IrqLine* line_ = nullptr;
    Input inputs_[2];
  };

  // Bits of CNTACR<n> (I5.7.1): what the timer frame lets through.
  enum AccessControl : uint32_t {
    kReadPhysicalCount = 1,
    kReadVirtualCount = 2,
    kReadFrequency = 4,
    kReadOffset = 8,
    kVirtualTimer = 16,
    kPhysicalTimer = 32,
  };

  class Control final : public Device {
   public:
    explicit Control(MemoryMappedTimer& timer) : timer_(timer) {}
    MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
    MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
    void reset() override;
    void save(StateWriter& out) const override;
    bool load(StateReader& in) override;
    std::string_view name() const override { return "cntctl"; }
    std::string_view register_name(uint64_t offset) const override;

   private:
    uint32_t read32(uint64_t offset);
    void write32(uint64_t offset, uint32_t value);
    MemoryMappedTimer& timer_;
  };

  class Frame final : public Device {
   public:
    explicit Frame(MemoryMappedTimer& timer) : timer_(timer) {}
    MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
    MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
    void reset() override;
    void save(StateWriter& out) const override;
    bool load(StateReader& in) override;
    std::string_view name() const override { return "cntbase0"; }
    std::string_view register_name(uint64_t offset) const override;

   private:
    uint64_t read64(uint64_t offset);  // of the 8-byte register pair
    uint32_t read32(uint64_t offset);
    void write32(uint64_t offset, uint32_t value);
    bool allowed(uint32_t access) const;
    MemoryMappedTimer& timer_;
  };

  OrLine output_;
  CompareTimer physical_;
  CompareTimer virtual_;
  std::atomic<uint32_t> access_{0};  // CNTACR0
  Control control_{*this};
  Frame frame_{*this};
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_TIMER_H_
