// fp_lookup() against LLVM's disassembler: what is accepted is allocated with the features of the
// model, and what is allocated is accepted. All values of the opcode bits (31:29 and 24:10), with
// random register fields below them.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <llvm-c/Disassembler.h>
#include <llvm-c/Target.h>

#include <cstring>
#include <memory>

#include "tests/vmm/soft/fp/cases.h"

namespace trapline::soft::fp {
namespace {

struct Disposer {
  void operator()(void* p) const { LLVMDisasmDispose(p); }
};

class Llvm {
 public:
  explicit Llvm(const char* features) {
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64Disassembler();
    context_.reset(LLVMCreateDisasmCPUFeatures("aarch64-linux-gnu", "generic", features, nullptr, 0,
                                               nullptr, nullptr));
  }
  // The text; empty if unallocated.
  std::string text(uint32_t word) {
    uint8_t bytes[4];
    std::memcpy(bytes, &word, 4);
    char out[128];
    if (LLVMDisasmInstruction(context_.get(), bytes, 4, 0, out, sizeof(out)) != 4) return {};
    return out;
  }

 private:
  std::unique_ptr<void, Disposer> context_;
};

void accepts_what_is_allocated(CpuModel model, const char* features) {
  Llvm llvm(features);
  Random random(from_environment("TRAPLINE_FP_SEED", 1));
  unsigned accepted = 0, differing = 0;
  for (uint32_t high = 0; high < 8; ++high) {
    for (uint32_t low = 0; low < 1u << 16; ++low) {
      // Bits 28:25 are x111; low is bit 28 and bits 24:10.
      uint32_t word = high << 29 | (low >> 15) << 28 | 7u << 25 | (low & 0x7fff) << 10;
      word |= random.next() & 0x3ff;
      if (random.below(4) == 0) word &= ~0x3e0u;  // where Rn is fixed to 0
      if (random.below(4) == 0) word &= ~0x7u;    // FCMP's opcode2
      const bool ours = fp_lookup(word, model) != 0;
      accepted += ours;
      const std::string theirs = llvm.text(word);
      if (ours == !theirs.empty()) continue;
      if (++differing < 60) {
        ADD_FAILURE() << fmt::format("{:08x} {}:{}", word, ours ? "accepted" : "rejected", theirs);
      }
    }
  }
  EXPECT_EQ(differing, 0u);
  EXPECT_GT(accepted, 50000u);
}

TEST(FpDecode, AcceptsWhatIsAllocated) {
  accepts_what_is_allocated(CpuModel::kBase, "+fp-armv8,+neon,+rdm");
}
TEST(FpDecode, AcceptsWhatIsAllocatedInMax) {
  accepts_what_is_allocated(CpuModel::kMax,
                            "+fp-armv8,+neon,+rdm,+aes,+sha2,+sha3,+dotprod,+complxnum,+fptoint,"
                            "+jsconv");
}

}  // namespace
}  // namespace trapline::soft::fp
