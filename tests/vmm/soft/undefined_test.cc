// What is UNDEFINED here and what is not, over all 32-bit words, against LLVM 19 with the features
// that vmm/soft/id_registers.h shows; and whether a class of the stream test covers what is not.
// TRAPLINE_UNDEFINED_WORDS sets how many words, TRAPLINE_UNDEFINED_SEED the seed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/decode/llvm_oracle.h"
#include "tests/vmm/soft/engine_fixture.h"
#include "tests/vmm/soft/stream_classes.h"
#include "vmm/soft/engine/block.h"
#include "vmm/soft/ops/ops_common.h"

namespace trapline::soft::stream {
namespace {

using test::LlvmOracle;

// By model. Base: Armv8.0 with FEAT_LSE, FEAT_CRC32, FEAT_RDM and FEAT_PAN2. ID_AA64ISAR0, ISAR1,
// PFR0, DFR0 and MMFR1_EL1.
#define TL_BASE "+v8a,+fp-armv8,+neon,+crc,+lse,+rdm,+pan,+pan-rwv"
constexpr const char* kFeatures[] = {
    TL_BASE, TL_BASE
    ",+aes,+sha2,+sha3,+dotprod,+rcpc,+rcpc-immo,+flagm,+altnzcv,+fptoint,+complxnum,+jsconv,+sb,"
    "+dit,+perfmon"};
const char* features_of(CpuModel model) { return kFeatures[static_cast<unsigned>(model)]; }

// Words for which the two may differ, and why.
struct Apart {
  uint32_t mask, bits;
  const char* why;
};
constexpr Apart kApart[] = {
    {0xffff0000, 0x00000000, "UDF: permanently UNDEFINED"},
    {0xffe0001f, 0xd4000003, "SMC: UNDEFINED without EL3"},
    {0xffe0001f, 0xd4400000, "HLT: UNDEFINED while halting is not allowed (D2.9)"},
    {0xffe0001c, 0xd4a00000, "DCPS: UNDEFINED outside Debug state"},
    {0xffffffff, 0xd6bf03e0, "DRPS: UNDEFINED outside Debug state"},
    {0xfffff0ff, 0xd503407f, "SMSTART, SMSTOP: LLVM knows them without FEAT_SME"},
    {0x3fe0fc00, 0x38a0c000, "LDAPR: LLVM rejects a should-be-one field; unshown_test.cc has base"},
    {0xffd00000, 0xd5100000, "MSR, MRS (register): by register, in the test below"},
    {0xffd80000, 0xd5080000, "SYS, SYSL: by operation, in the test below"},
};
// Not UNDEFINED, but not for a comparison at EL0 with a user-mode emulator.
constexpr Apart kElsewhere[] = {
    {0xff000000, 0xd4000000, "exception generation"},
    {0xffffffff, 0xd69f03e0, "ERET"},
    {0xfffff01f, 0xd503201f, "WFE, WFI"},
    {0xfff8f01f, 0xd500401f, "MSR (immediate)"},
};

template <size_t kSize>
const char* listed(const Apart (&list)[kSize], uint32_t word) {
  for (const Apart& a : list) {
    if ((word & a.mask) == a.bits) return a.why;
  }
  return nullptr;
}

// As an EL1 with SIMD&FP enabled finds it: when it is predecoded, or, in the system space, when it
// is executed.
class Here {
 public:
  explicit Here(CpuModel model) : model_(model), bench_(1, false, model) {
    Op op{};
    predecode_undefined(0, op);
    undefined_ = op.fn;
  }
  bool undefined(uint32_t word) {
    PredecodeContext context{};
    context.model = model_;
    context.mode = kModePrivileged | kModeFp;
    context.pc = kCode;
    Op op{};
    predecode(word, context, op);
    if (op.fn != op_system) return op.fn == undefined_;
    Cpu& cpu = bench_.cpu();
    bench_.vcpu().reset(kCode, 0);
    cpu.sys.vbar_el1 = kVectors;
    bench_.put(kCode, {word, kHvc0});
    return vector_of(bench_.run(3)) == 0x200 &&
           cpu.sys.esr_el1 >> 26 == static_cast<uint8_t>(Ec::kUnknown);
  }

 private:
  CpuModel model_;
  Bench bench_;
  Handler undefined_;
};

class Sweep {
 public:
  explicit Sweep(CpuModel model) : model_(model), here_(model), llvm_(features_of(model)) {}
  void look(uint32_t word) {
    ++words;
    if (const char* why = listed(kApart, word)) {
      ++apart[why];
      return;
    }
    const bool ours = here_.undefined(word);
    undefined += ours;
    // LLVM takes all of the system space; what has no name there is unallocated with op0 = 0.
    const bool theirs = llvm_.disassemble(word, text_) == LlvmOracle::Verdict::kUnallocated ||
                        text_.find("S0_") != std::string::npos;
    if (ours != theirs && ++differing <= 60) {
      ADD_FAILURE() << fmt::format("{:08x} {}{}", word, ours ? "UNDEFINED here, LLVM:" : "defined",
                                   text_);
    }
    if (ours || listed(kElsewhere, word) != nullptr) return;
    for (const Class& c : classes()) {
      if (c.model <= model_ && c.contains(word)) return;
    }
    if (++uncovered <= 60) ADD_FAILURE() << fmt::format("{:08x}{}: in no class", word, text_);
  }

  uint64_t words = 0, undefined = 0, differing = 0, uncovered = 0;
  std::map<std::string, uint64_t> apart;

 private:
  CpuModel model_;
  Here here_;
  LlvmOracle llvm_;
  std::string text_;
};

class Undefined : public ::testing::TestWithParam<CpuModel> {};
INSTANTIATE_TEST_SUITE_P(Model, Undefined, ::testing::Values(CpuModel::kBase, CpuModel::kMax),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(Undefined, ExactlyWhatTheIdRegistersDoNotShow) {
  ASSERT_TRUE(LlvmOracle().ok());
  const unsigned long wanted = fp::from_environment("TRAPLINE_UNDEFINED_WORDS", 2'000'000);
  Random random(fp::from_environment("TRAPLINE_UNDEFINED_SEED", 1));
  Sweep sweep(GetParam());
  while (sweep.words < wanted) {
    sweep.look(static_cast<uint32_t>(random.next()));
    // A word that is not far from one of a class.
    const Class& c = classes()[random.below(static_cast<unsigned>(classes().size()))];
    sweep.look(c.draw(random) ^ 1u << random.below(32));
  }
  fmt::print("{} words, {} UNDEFINED\n", sweep.words, sweep.undefined);
  for (const auto& [why, count] : sweep.apart) fmt::print("{:8} apart: {}\n", count, why);
}

// Of all of op0 = 1, 2 and 3: what works at EL1 has a name in LLVM with these features, or reads as
// zero in the space of the ID registers (D17.2).
TEST_P(Undefined, SystemRegistersAndOperationsThatWorkHaveNames) {
  LlvmOracle llvm(features_of(GetParam()));
  ASSERT_TRUE(llvm.ok());
  Here here(GetParam());
  std::string text;
  unsigned defined = 0;
  for (uint32_t id = 0x4000; id < 0x1'0000; ++id) {  // op0:op1:CRn:CRm:op2
    const bool operation = id >> 14 == 1;
    for (const uint32_t read : {0u, 1u}) {
      const uint32_t word = 0xd5000000 | read << 21 | id << 5 | (operation ? 31 : 1);
      if (here.undefined(word)) continue;
      ++defined;
      llvm.disassemble(word, text);
      const bool named = text.find("S2_") == std::string::npos &&
                         text.find("S3_") == std::string::npos &&
                         text.find("sys") == std::string::npos;
      const bool id_space = read != 0 && id >= 0xc008 && id < 0xc040;
      EXPECT_TRUE(named || id_space) << fmt::format("{:08x}{}", word, text);
    }
  }
  EXPECT_GT(defined, 250u);
  fmt::print("{} of op0 = 1, 2, 3 are not UNDEFINED at EL1\n", defined);
}

}  // namespace
}  // namespace trapline::soft::stream
