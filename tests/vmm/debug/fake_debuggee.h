// A machine that runs nothing: real vCPUs, memory and stage 2, and a record of what the debugger
// asked for. Whoever touches a vCPU while "it runs" fails the test.
#ifndef TRAPLINE_TESTS_VMM_DEBUG_FAKE_DEBUGGEE_H_
#define TRAPLINE_TESTS_VMM_DEBUG_FAKE_DEBUGGEE_H_

#include <string>
#include <vector>

#include "tests/vmm/soft/engine_fixture.h"
#include "vmm/debug/debuggee.h"

namespace trapline {

class FakeDebuggee final : public Debuggee {
 public:
  explicit FakeDebuggee(unsigned cpus) : bench(cpus), count_(cpus), off(cpus, false) {}

  unsigned cpus() const override { return count_; }
  Vcpu& cpu(unsigned index) override;
  GuestMemory& guest_memory() override { return bench.memory; }
  const Stage2& stage2() const override { return bench.stage2; }
  bool read_sysreg(unsigned index, SysregId id, uint64_t& value) override;
  std::string cpu_state(unsigned index) override { return off[index] ? "off" : "runs"; }
  std::string device_at(uint64_t ipa) override { return ipa == soft::kDevice ? "pl011" : ""; }
  std::string exit_profile() override { return "exit profile\n"; }
  bool halt() override;
  void resume(const DebugGo* go) override;
  void kill() override { killed = true; }

  // "rsx" for run, step, stay of CPUs 0, 1, 2.
  std::string went() const;

  soft::Bench bench;

 private:
  unsigned count_;

 public:
  std::vector<bool> off;
  bool halted = true, killed = false, at_end = false;
  std::vector<DebugGo> last_go;
  unsigned resumes = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_TESTS_VMM_DEBUG_FAKE_DEBUGGEE_H_
