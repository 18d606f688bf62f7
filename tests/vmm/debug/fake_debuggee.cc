#include "tests/vmm/debug/fake_debuggee.h"

#include <gtest/gtest.h>

namespace trapline {

Vcpu& FakeDebuggee::cpu(unsigned index) {
  EXPECT_TRUE(halted) << "a vCPU is touched while it runs";
  EXPECT_LT(index, count_);
  return bench.vcpu(index);
}

bool FakeDebuggee::read_sysreg(unsigned index, SysregId id, uint64_t& value) {
  value = cpu(index).get_sysreg(id);
  return true;
}

bool FakeDebuggee::halt() {
  if (at_end) return false;
  halted = true;
  return true;
}

void FakeDebuggee::resume(const DebugGo* go) {
  EXPECT_TRUE(halted) << "resumed twice";
  halted = false;
  last_go.assign(go, go + count_);
  ++resumes;
}

std::string FakeDebuggee::went() const {
  std::string out;
  for (DebugGo go : last_go) {
    out += go == DebugGo::kRun ? 'r' : go == DebugGo::kStep ? 's' : 'x';
  }
  return out;
}

}  // namespace trapline
