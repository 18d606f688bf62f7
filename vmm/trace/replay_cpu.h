// What the exit path meets in a replay: a vCPU, a view, devices and a machine that answer as
// recorded. Internal to replay.cc.
#ifndef TRAPLINE_VMM_TRACE_REPLAY_CPU_H_
#define TRAPLINE_VMM_TRACE_REPLAY_CPU_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "mmio/bus.h"
#include "mmio/sysreg.h"
#include "vmm/exit/psci.h"
#include "vmm/trace/event.h"
#include "vmm/vcpu/syndrome.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::trace {

// The exit that is being played, and how far its answers are used up.
class Script {
 public:
  void begin(const ExitEvent& event);
  const ExitEvent& event() const { return *event_; }

  // The next access of a device; null, and a complaint, where another was recorded.
  const DeviceAccess* access(uint16_t region, uint64_t offset, unsigned size, bool write,
                             uint64_t value);
  // False: the device refused it.
  bool accepts(uint16_t region, uint64_t offset, unsigned size);
  // The next question of a kind about `a`.
  const Question* question(Question::Kind kind, uint64_t a);
  void complain(const std::string& what);
  // Complaints, what was not asked among them; empty: all as recorded.
  std::string end();

 private:
  const ExitEvent* event_ = nullptr;
  size_t accesses_ = 0, questions_ = 0;
  bool refused_ = false;
  std::string complaint_;
};

class ReplayDevice final : public Device {
 public:
  ReplayDevice(Script*& script, uint16_t region, std::string name)
      : script_(script), region_(region), name_(std::move(name)) {}
  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  bool accepts(uint64_t offset, unsigned size, bool /*write*/) const override {
    return script_->accepts(region_, offset, size);
  }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return name_; }

 private:
  Script*& script_;
  uint16_t region_;
  std::string name_;
};

class ReplaySysregs final : public SysregDevice {
 public:
  explicit ReplaySysregs(Script*& script) : script_(script) {}
  bool sysreg_read(SysregId id, unsigned vcpu, uint64_t& value) override;
  bool sysreg_write(SysregId id, unsigned vcpu, uint64_t value) override;

 private:
  Script*& script_;
};

class ReplayPower final : public PowerControl {
 public:
  ReplayPower(Script*& script, unsigned cpus) : script_(script), cpus_(cpus) {}
  unsigned cpu_count() const override { return cpus_; }
  Power power(unsigned cpu) override;
  bool cpu_on(unsigned cpu, uint64_t entry, uint64_t context) override;
  bool is_guest_memory(uint64_t ipa) const override;

 private:
  Script*& script_;
  unsigned cpus_;
};

// The words and descriptors that sources name, at host addresses that stay.
class SourceMemory {
 public:
  uint8_t* at(uint64_t ipa);
  void apply(const SourceData& source, uint32_t word);

 private:
  std::unordered_map<uint64_t, std::unique_ptr<std::array<uint8_t, kPageSize>>> pages_;
};

class ReplayView final : public CpuView {
 public:
  explicit ReplayView(Script*& script) : script_(script) {
    regs = &registers;
    v = vectors.data();
    monitor = &own_monitor;
    brackets_ram = true;
  }
  void begin();
  Translation translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) override;
  uint8_t* ram(uint64_t ipa, Direction dir) override;
  void ram_written(uint64_t ipa, unsigned size) override;

  GeneralRegisters registers{};
  std::array<Vreg, 32> vectors{};
  ExclusiveMonitor own_monitor{};

 private:
  bool begin_ram_access() override { return (script_->event().flags & ExitEvent::kOvertaken) == 0; }
  struct Page {
    uint64_t ipa;
    std::vector<uint8_t> bytes;
  };
  Script*& script_;
  std::vector<std::unique_ptr<Page>> pages_;
};

// Translates and fetches what is recorded; has nothing else of a CPU.
class ReplayVcpu final : public Vcpu {
 public:
  explicit ReplayVcpu(SourceMemory& memory) : memory_(memory) {}
  // For the exit to come. `source` null: the PC leads nowhere.
  void lead(const TranslationRegs& regs, uint64_t context, const SourceData* source,
            const ExitEvent& event);

  Fetched fetch(uint64_t pc) override;
  bool fetch_overtaken() const override { return (event_->flags & ExitEvent::kOvertaken) != 0; }
  Stage1Walk look_up(uint64_t, WalkFor, bool) override {
    Stage1Walk walk;  // the table that was refused
    const uint8_t fsc = event_->fault.fsc;
    walk.level = fsc == fsc_at(kFscExternalOnWalk, -1) ? int8_t{-1} : static_cast<int8_t>(fsc & 3);
    return walk;
  }
  const TranslationRegs& translation_regs() override { return regs_; }

  void run(uint64_t, ExitSink&) override {}
  void step(ExitSink&) override {}
  void set_breakpoints(const uint64_t*, unsigned) override {}
  void set_irq(bool) override {}
  void set_fiq(bool) override {}
  void kick() override {}
  bool wakeup_pending() override { return false; }
  void wait_for_event(uint64_t, bool) override {}
  void reset(uint64_t, uint64_t) override {}
  uint64_t get_register(unsigned) override { return 0; }
  void get_registers(uint64_t, uint64_t*) override {}
  void set_register(unsigned, uint64_t) override {}
  Vreg get_vector(unsigned) override { return {}; }
  void set_vector(unsigned, Vreg) override {}
  uint64_t get_sysreg(SysregId) override { return 0; }
  uint64_t retired() const override { return 0; }
  void save(StateWriter&) override {}
  bool load(StateReader&) override { return true; }

 private:
  SourceMemory& memory_;
  TranslationRegs regs_;
  const SourceData* source_ = nullptr;
  const ExitEvent* event_ = nullptr;
};

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_REPLAY_CPU_H_
