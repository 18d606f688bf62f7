// The functions of fp_functions, which fp_qemu_test compares with qemu-aarch64, against the host
// code of the same words: runs of one to six random instructions make a block, executed from random
// registers, FPCR and FPSR, so that what host code knows of them is carried from one to the next.
// TRAPLINE_FP_CASES sets the number of instructions, TRAPLINE_FP_SEED the seed, TRAPLINE_FP_ONLY a
// glob of encodings.
#include <fmt/format.h>
#include <fnmatch.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <span>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "tests/vmm/soft/engine_fixture.h"
#include "tests/vmm/soft/fp/cases.h"
#include "vmm/soft/engine/engine_state.h"
#include "vmm/soft/fp/fp_form.h"
#include "vmm/soft/jit/translate.h"

namespace trapline::soft::fp {
namespace {

constexpr uint64_t kCodeAt = kRam + 0x100'0000, kRoom = 32;  // bytes for each block
constexpr unsigned kBatch = 8192, kMostWords = 6, kRecords = 4;

void load(Cpu& cpu, const Record& record) {
  std::memcpy(cpu.r.x, record.x, sizeof record.x);
  std::memcpy(cpu.v, record.v, sizeof record.v);
  cpu.nzcv = static_cast<uint32_t>(record.nzcv);
  cpu.fpcr = static_cast<uint32_t>(record.fpcr);
  cpu.fpsr = static_cast<uint32_t>(record.fpsr);
}
Record save(const Cpu& cpu, const Record& before) {
  Record record = before;
  std::memcpy(record.x, cpu.r.x, sizeof record.x);
  std::memcpy(record.v, cpu.v, sizeof record.v);
  record.nzcv = cpu.nzcv;
  record.fpcr = cpu.fpcr;
  record.fpsr = cpu.fpsr;
  return record;
}

void compare(unsigned long total, uint64_t seed) {
  Random random(seed);
  auto patterns = encoding_patterns(CpuModel::kBase);
  const auto more = encoding_patterns(CpuModel::kMax);
  patterns.insert(patterns.end(), more.begin(), more.end());
  if (const char* only = std::getenv("TRAPLINE_FP_ONLY")) {
    std::erase_if(patterns, [&](const std::string& p) { return fnmatch(only, p.c_str(), 0) != 0; });
    ASSERT_FALSE(patterns.empty()) << only;
  }
  Bench bench(1, false, 1);
  Cpu& cpu = bench.cpu();
  if (cpu.engine->translator == nullptr) GTEST_SKIP() << "blocks are interpreted on this host";
  size_t next_pattern = 0;
  unsigned long done = 0, differing = 0;
  while (done < total) {
    std::vector<std::vector<uint32_t>> blocks(kBatch);
    for (unsigned i = 0; i < kBatch; ++i) {
      for (unsigned n = 1 + random.below(kMostWords); n > 0; --n) {
        const std::string& pattern = patterns[next_pattern++ % patterns.size()];
        uint32_t word = 0;
        for (unsigned tries = 0; tries < 100'000 && fp_lookup(word, CpuModel::kMax) == 0; ++tries) {
          word = random_word(pattern, random);
        }
        ASSERT_NE(fp_lookup(word, CpuModel::kMax), 0) << pattern << " is never accepted";
        bench.poke(kCodeAt + i * kRoom + 4 * blocks[i].size(), word);
        blocks[i].push_back(word);
      }
      bench.poke(kCodeAt + i * kRoom + 4 * blocks[i].size(), kHvc0);
    }
    for (unsigned i = 0; i < kBatch; ++i) {
      for (unsigned run = 0; run < kRecords; ++run) {
        const Record before = random_record(random);
        load(cpu, before);
        cpu.pc = kCodeAt + i * kRoom;
        ASSERT_EQ(go(bench.vcpu(), 1000).kind, ExitKind::kHvc);
        const Record actual = save(cpu, before);
        Record expected = before;
        for (const uint32_t word : blocks[i]) execute(word, expected);
        done += blocks[i].size();
        const std::string what = difference(expected, actual);
        if (what.empty() || ++differing > 20) continue;
        std::string words;
        for (const uint32_t word : blocks[i]) words += fmt::format(" {:08x}", word);
        ADD_FAILURE() << fmt::format("{}, run {}: fpcr {:08x} fpsr {:08x}:{}", words, run,
                                     before.fpcr, before.fpsr, what);
      }
    }
  }
  EXPECT_EQ(differing, 0u) << "of " << done;
  EXPECT_GT(cpu.engine->stats.blocks_translated, 0u);
}

TEST(FpHostCode, AgreesWithTheFunctions) {
  compare(from_environment("TRAPLINE_FP_CASES", 400'000), from_environment("TRAPLINE_FP_SEED", 1));
}
// By SSE2 alone.
TEST(FpHostCode, OfAnyHostAgreesWithTheFunctions) {
  use_baseline_host(true);
  compare(from_environment("TRAPLINE_FP_CASES", 400'000), from_environment("TRAPLINE_FP_SEED", 3));
  use_baseline_host(false);
}

// Runs words from given states, each alone, and compares.
class Singly {
 public:
  explicit Singly(std::span<const uint32_t> words) : words_(words) {
    for (size_t i = 0; i < words.size(); ++i) {
      bench_.poke(kCode + 8 * i, words[i]);
      bench_.poke(kCode + 8 * i + 4, kHvc0);
    }
  }
  bool is_translated() { return bench_.cpu().engine->translator != nullptr; }
  void compare(const Record& before) {
    Cpu& cpu = bench_.cpu();
    for (size_t i = 0; i < words_.size(); ++i) {
      load(cpu, before);
      cpu.pc = kCode + 8 * i;
      ASSERT_EQ(go(bench_.vcpu(), 10).kind, ExitKind::kHvc);
      Record expected = before;
      execute(words_[i], expected);
      const std::string what = difference(expected, save(cpu, before));
      if (what.empty() || ++differing > 20) continue;
      ADD_FAILURE() << fmt::format("{:08x}, v1 {:016x}, v2 {:016x}, v3 {:016x}:{}", words_[i],
                                   before.v[1].lo, before.v[2].lo, before.v[3].lo, what);
    }
  }
  unsigned differing = 0;

 private:
  Bench bench_{1, false, uint16_t{1}};
  std::span<const uint32_t> words_;
};

// Every number of half precision, to the others and back, with what lies in the middle between it
// and the next one, and beside both.
TEST(FpHostCode, OfHalfPrecisionAgreesWithTheFunctions) {
  constexpr uint32_t kWords[] = {
      0x1ee24020,  // fcvt s0, h1
      0x1ee2c020,  // fcvt d0, h1
      0x0e217820,  // fcvtl v0.4s, v1.4h
      0x4e217820,  // fcvtl2 v0.4s, v1.8h
      0x1e23c040,  // fcvt h0, s2
      0x0e216840,  // fcvtn v0.4h, v2.4s
      0x4e216840,  // fcvtn2 v0.8h, v2.4s
      0x1e63c060,  // fcvt h0, d3
  };
  Singly singly(kWords);
  if (!singly.is_translated()) GTEST_SKIP() << "blocks are interpreted on this host";
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const int exponent = static_cast<int>(half >> 10 & 31), least = std::max(exponent, 1) - 25;
    const double sign = half >> 15 != 0 ? -1 : 1, step = std::ldexp(1, least);
    const double value = std::ldexp((half & 0x3ff) + (exponent != 0 ? 1024 : 0), least);
    for (const double magnitude : {value, value + step / 2}) {
      for (const double to : {-1.0, magnitude, HUGE_VAL}) {
        const double exact = sign * std::nextafter(magnitude, to);
        const auto rounded = static_cast<float>(sign) *
                             std::nextafter(static_cast<float>(magnitude), static_cast<float>(to));
        const uint64_t single = std::bit_cast<uint32_t>(rounded);
        Record before{};
        before.v[0] = {half, half};
        before.v[1] = {half | uint64_t{half ^ 0x8001} << 48, half * uint64_t{0x1'0001}};
        before.v[2] = {single, single << 32};
        before.v[3] = {std::bit_cast<uint64_t>(exact), 0};
        if ((half & 3) == 0) before.fpcr = kAhp;
        before.fpsr = kIxc;
        singly.compare(before);
      }
    }
  }
  EXPECT_EQ(singly.differing, 0u);
}

// Conversions and ties away of what lies at and beside the ends of integers' ranges, and of
// precision.
TEST(FpHostCode, OfConversionsAgreesWithTheFunctions) {
  constexpr uint32_t kWords[] = {
      0x1e264020,  // frinta s0, s1
      0x1e664040,  // frinta d0, d2
      0x6e218820,  // frinta v0.4s, v1.4s
      0x6e618840,  // frinta v0.2d, v2.2d
      0x1e240020,  // fcvtas w0, s1
      0x9e640040,  // fcvtas x0, d2
      0x1e650040,  // fcvtau w0, d2
      0x9e250020,  // fcvtau x0, s1
      0x5e21c820,  // fcvtas s0, s1
      0x7e61c840,  // fcvtau d0, d2
      0x4e21c820,  // fcvtas v0.4s, v1.4s
      0x6e21c820,  // fcvtau v0.4s, v1.4s
      0x4e61c840,  // fcvtas v0.2d, v2.2d
      0x6e61c840,  // fcvtau v0.2d, v2.2d
      0x6ea1b820,  // fcvtzu v0.4s, v1.4s
      0x6ee1b840,  // fcvtzu v0.2d, v2.2d
      0x6e21a820,  // fcvtnu v0.4s, v1.4s
      0x6e21b820,  // fcvtmu v0.4s, v1.4s
      0x6ee1a840,  // fcvtpu v0.2d, v2.2d
      0x6e21d860,  // ucvtf v0.4s, v3.4s
      0x6e61d860,  // ucvtf v0.2d, v3.2d
      0x1e02e460,  // scvtf s0, w3, #7
      0x9e420060,  // scvtf d0, x3, #64
      0x9e037c60,  // ucvtf s0, x3, #33
      0x1e43fc60,  // ucvtf d0, w3, #1
      0x4f3be460,  // scvtf v0.4s, v3.4s, #5
      0x6f20e460,  // ucvtf v0.4s, v3.4s, #32
      0x4f40e460,  // scvtf v0.2d, v3.2d, #64
      0x6f7de460,  // ucvtf v0.2d, v3.2d, #3
      0x5f74e460,  // scvtf d0, d3, #12
      0x1e18fc20,  // fcvtzs w0, s1, #1
      0x9e58b040,  // fcvtzs x0, d2, #20
      0x1e598440,  // fcvtzu w0, d2, #31
      0x9e19fc20,  // fcvtzu x0, s1, #1
      0x4f3dfc20,  // fcvtzs v0.4s, v1.4s, #3
      0x6f3ffc20,  // fcvtzu v0.4s, v1.4s, #1
      0x4f7ffc40,  // fcvtzs v0.2d, v2.2d, #1
      0x6f7efc40,  // fcvtzu v0.2d, v2.2d, #2
      0x7f3ffc20,  // fcvtzu s0, s1, #1
  };
  Singly singly(kWords);
  if (!singly.is_translated()) GTEST_SKIP() << "blocks are interpreted on this host";
  for (int exponent = -66; exponent <= 66; ++exponent) {
    for (const double factor : {1.0, 1.5, 1.25, 1.75, -1.0, -1.5, -1.25, 0.0}) {
      const double magnitude = std::ldexp(factor, exponent);
      for (const double to : {-HUGE_VAL, magnitude, HUGE_VAL}) {
        const double exact = std::nextafter(magnitude, to);
        const uint64_t single = std::bit_cast<uint32_t>(
            std::nextafter(static_cast<float>(magnitude), static_cast<float>(to)));
        uint64_t integer = exponent < 0 ? 0 : ~uint64_t{0} >> (66 - exponent) / 2;
        if (factor < 0) integer = ~integer;
        if (to > magnitude) integer += static_cast<uint64_t>(exponent & 3);
        Record before{};
        before.v[1] = {single | single << 32, single << 32};
        before.v[2] = {std::bit_cast<uint64_t>(exact), std::bit_cast<uint64_t>(-exact)};
        before.v[3] = {integer, integer << 32 | 0xffff'ff80};
        before.x[3] = integer;
        before.fpsr = kIxc;
        singly.compare(before);
      }
    }
  }
  EXPECT_EQ(singly.differing, 0u);
}

#if defined(__x86_64__)
// The thread that runs a guest rounds up and flushes denormals; so it does afterwards.
TEST(FpHostCode, IsWhatTheGuestAskedForWhateverTheThreadDoes) {
  constexpr unsigned kMode = 0x1f80 | 0x8040 | 2 << 13;  // FTZ, DAZ, up
  for (const uint16_t translate_after : {0, 1}) {
    Bench bench(1, false, translate_after);
    Cpu& cpu = bench.cpu();
    bench.put(kCode, {0x1e622820, 0x1e6428a3, kHvc0});  // fadd d0, d1, d2; fadd d3, d5, d4
    cpu.v[1] = {0x3ff0'0000'0000'0000, 0};              // 1
    cpu.v[2] = {0x3c00'0000'0000'0000, 0};              // 2^-63
    cpu.v[4] = cpu.v[5] = {1, 0};                       // the smallest denormal
    cpu.fpsr = kIxc;
    const unsigned before = _mm_getcsr();
    _mm_setcsr(kMode);
    bench.run();
    const unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    EXPECT_EQ(cpu.v[0].lo, 0x3ff0'0000'0000'0000u);
    EXPECT_EQ(cpu.v[3].lo, 2u);
    EXPECT_EQ(after, kMode);
  }
}
#endif

}  // namespace
}  // namespace trapline::soft::fp
