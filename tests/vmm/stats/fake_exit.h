// A CPU, its view and exits for tests of those who watch exits.
#ifndef TRAPLINE_TESTS_VMM_STATS_FAKE_EXIT_H_
#define TRAPLINE_TESTS_VMM_STATS_FAKE_EXIT_H_

#include <cstdint>
#include <cstring>
#include <vector>

#include "vmm/exit/observer.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline::test {

// RAM at kRam, at addresses that end alike in both halves; all else does not translate.
class StackView final : public CpuView {
 public:
  static constexpr uint64_t kRam = 0xffff'8000'0001'0000;
  static constexpr uint64_t kSize = 0x4000;

  StackView() : memory_(kSize / 8) {
    regs = &registers;
    brackets_ram = true;
  }
  // A frame record: {the caller's x29, the return address}.
  void frame(uint64_t at, uint64_t caller, uint64_t link) {
    memory_[(at - kRam) / 8] = caller;
    memory_[(at - kRam) / 8 + 1] = link;
  }
  Translation translate(uint64_t va, unsigned size, Direction, bool) override {
    ++translations;
    const bool mapped = va - kRam <= kSize - size;
    return {mapped ? Translation::Status::kOk : Translation::Status::kFault, false, va - kRam, {}};
  }
  uint8_t* ram(uint64_t ipa, Direction) override {
    return ipa / 0x1000 == device_page ? nullptr : reinterpret_cast<uint8_t*>(memory_.data()) + ipa;
  }
  void ram_written(uint64_t, unsigned) override {}

  GeneralRegisters registers{};
  uint64_t device_page = ~uint64_t{0};
  bool overtaken = false;  // begin_ram() refuses
  int translations = 0, open = 0;

 protected:
  bool begin_ram_access() override {
    open += overtaken ? 0 : 1;
    return !overtaken;
  }
  void end_ram_access() override { --open; }

 private:
  std::vector<uint64_t> memory_;
};

// Has an instruction word at every PC below the upper half, and nothing else.
class FetchingVcpu final : public Vcpu {
 public:
  Fetched fetch(uint64_t pc) override {
    ++fetches;
    Fetched fetched;
    fetched.ok = pc >> 63 == 0;
    fetched.word = word;
    return fetched;
  }
  uint32_t word = 0xb940'0020;  // ldr w0, [x1]
  int fetches = 0;

  void run(uint64_t, ExitSink&) override {}
  void step(ExitSink&) override {}
  void set_breakpoints(const uint64_t*, unsigned) override {}
  const TranslationRegs& translation_regs() override { return regs_; }
  Stage1Walk look_up(uint64_t, WalkFor, bool) override { return {}; }
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
  bool load(StateReader&) override { return false; }

 private:
  TranslationRegs regs_;
};

// A record whose exit lives beside it.
struct FakeExit {
  explicit FakeExit(ExitKind kind = ExitKind::kWfi, uint64_t pc = 0x1000, uint64_t total = 100) {
    exit.kind = kind;
    exit.pc = pc;
    record.exit = &exit;
    record.view = &view;
    record.vcpu = &vcpu;
    record.total = total;
    record.exit_class = kind == ExitKind::kSysreg ? ExitClass::kSysreg
                        : kind == ExitKind::kHvc  ? ExitClass::kHvc
                        : kind == ExitKind::kWfi  ? ExitClass::kWfx
                                                  : ExitClass::kDataAbortIsv1;
  }
  FakeExit(const FakeExit&) = delete;
  FakeExit& operator=(const FakeExit&) = delete;

  Exit exit;
  StackView view;
  FetchingVcpu vcpu;
  ExitRecord record;
};

}  // namespace trapline::test

#endif  // TRAPLINE_TESTS_VMM_STATS_FAKE_EXIT_H_
