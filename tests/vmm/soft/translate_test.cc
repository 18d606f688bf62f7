// What host code adds to the engine: returns predicted by a stack of calls, jumps chained from
// block to block, and space for code that runs out. The engine's other tests run on host code, too
// (TRAPLINE_TRANSLATE_AFTER, engine.cmake), and so do the streams.
#include <gtest/gtest.h>

#include "tests/vmm/soft/engine_fixture.h"
#include "vmm/soft/engine/engine_state.h"

namespace trapline::soft {
namespace {

constexpr uint32_t kRet = 0xd65f03c0;
constexpr uint32_t kPushLr = 0xf81f0ffe;  // str x30, [sp, #-16]!
constexpr uint32_t kPopLr = 0xf84107fe;   // ldr x30, [sp], #16

constexpr uint32_t bl(uint64_t from, uint64_t to) {
  return 0x94000000 | ((to - from) / 4 & 0x3ffffff);
}
constexpr uint32_t b(uint64_t from, uint64_t to) {
  return 0x14000000 | ((to - from) / 4 & 0x3ffffff);
}
constexpr uint32_t add_x0(uint32_t imm) { return 0x91000000 | imm << 10; }

class Translate : public ::testing::Test {
 protected:
  Translate() : bench(1, false, 1) {
    if (bench.cpu().engine->translator == nullptr) skip = true;
    bench.cpu().r.x[kSlotSp] = kData + 0x8000;
  }
  void SetUp() override {
    if (skip) GTEST_SKIP() << "blocks are interpreted on this host";
  }
  uint64_t x(unsigned i) { return bench.cpu().r.x[i]; }

  Bench bench;
  bool skip = false;
};

// Deeper than the stack of predicted returns.
TEST_F(Translate, RecursionReturnsToEachCaller) {
  for (const uint64_t depth : {1, 10, 63, 64, 65, 300}) {
    bench.put(kCode, {
                         bl(0, 8),    // bl f
                         kHvc0,       //
                         0xb40000c1,  // f: cbz x1, out
                         kPushLr,     //
                         0xd1000421,  // sub x1, x1, #1
                         bl(20, 8),   // bl f
                         add_x0(3),   //
                         kPopLr,      //
                         kRet,        // out: ret
                     });
    bench.cpu().r.x[0] = 0;
    bench.cpu().r.x[1] = depth;
    EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
    EXPECT_EQ(x(0), 3 * depth);
    EXPECT_EQ(bench.cpu().pc, kCode + 8);
  }
}

// Flags that are soon overwritten, and an RBIT whose CLZ follows, leave what they should.
TEST_F(Translate, WhatOverwrittenFlagsWereForIsRight) {
  bench.put(kCode, {
                       0xdac00023,  // rbit x3, x1
                       0xdac01063,  // clz x3, x3
                       0x5ac00024,  // rbit w4, w1
                       0x5ac01084,  // clz w4, w4
                       0xeb02003f,  // cmp x1, x2
                       0x9a823025,  // csel x5, x1, x2, lo
                       0x8b0100a6,  // add x6, x5, x1
                       0xeb0200df,  // cmp x6, x2
                       0xd53b4209,  // mrs x9, nzcv
                       0xab020027,  // adds x7, x1, x2
                       0xba020028,  // adcs x8, x1, x2
                       0x9a02002b,  // adc x11, x1, x2
                       0xdac0002c,  // rbit x12, x1
                       0x1a82802d,  // csel w13, w1, w2, hi
                       0xea02003f,  // tst x1, x2
                       0xd53b420a,  // mrs x10, nzcv
                       kHvc0,
                   });
  constexpr uint64_t kValues[] = {0,
                                  1,
                                  0x8000,
                                  0x1'0000'0000,
                                  ~uint64_t{0},
                                  uint64_t{1} << 63,
                                  0x7fff'ffff'ffff'ffff,
                                  0x123'4567'89ab'cde0};
  const auto zeros = [](uint64_t value, uint64_t width) {
    return value == 0 ? width : static_cast<uint64_t>(__builtin_ctzll(value));
  };
  const auto reversed = [](uint64_t value) {
    uint64_t out = 0;
    for (unsigned i = 0; i < 64; ++i) out |= (value >> i & 1) << (63 - i);
    return out;
  };
  const auto nz = [](uint64_t value) { return (value >> 63) << 31 | uint64_t{value == 0} << 30; };
  for (const uint64_t a : kValues) {
    for (const uint64_t b : kValues) {
      bench.cpu().r.x[1] = a;
      bench.cpu().r.x[2] = b;
      EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
      EXPECT_EQ(x(3), zeros(a, 64));
      EXPECT_EQ(x(4), zeros(static_cast<uint32_t>(a), 32));
      const uint64_t lower = a < b ? a : b, sum = lower + a;
      EXPECT_EQ(x(5), lower);
      EXPECT_EQ(x(6), sum);
      const uint64_t v = ((sum ^ b) & (sum ^ (sum - b))) >> 63;
      EXPECT_EQ(x(9), nz(sum - b) | uint64_t{sum >= b} << 29 | v << 28) << a << ' ' << b;
      const uint64_t carry = a + b < a, carried = a + b + carry;
      EXPECT_EQ(x(7), a + b);
      EXPECT_EQ(x(8), carried);
      const uint64_t carry2 = carry != 0 ? carried <= a : carried < a;
      EXPECT_EQ(x(11), a + b + carry2);
      EXPECT_EQ(x(12), reversed(a));
      EXPECT_EQ(x(13), static_cast<uint32_t>(carry2 != 0 && carried != 0 ? a : b));
      EXPECT_EQ(x(10), nz(a & b));
    }
  }
}

// A block's first instruction has none before it.
TEST_F(Translate, CountingBeginsABlock) {
  bench.put(kCode, {0xdac01023, kHvc0});  // clz x3, x1
  bench.cpu().r.x[1] = 0xffff;
  bench.run();
  EXPECT_EQ(x(3), 48u);
}

// A callee that returns to another place than its call's, as context switches do.
TEST_F(Translate, ReturnGoesWhereTheRegisterSays) {
  bench.put(kCode, {
                       0x52800082,  // mov w2, #4
                       bl(4, 32),   // again: bl f
                       add_x0(1),   // 1
                       0x71000442,  // subs w2, w2, #1
                       0x54ffffa1,  // b.ne again
                       kHvc0,
                       add_x0(16),  // other: 16
                       b(28, 12),   //
                       0x7200005f,  // f: tst w2, #1
                       0x54000040,  // b.eq plain
                       0x910043de,  // add x30, x30, #16: to `other`
                       kRet,        // plain: ret
                   });
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
  EXPECT_EQ(x(0), 2 * 1 + 2 * 16);
}

// The callee overwrites what it returns to; IC IVAU.
TEST_F(Translate, ReturnFindsRewrittenCode) {
  bench.put(kCode, {
                       0x52800062,  // mov w2, #3
                       bl(4, 24),   // again: bl f
                       add_x0(1),   // rewritten: add x0, x0, #x2 * 64
                       0x71000442,  // subs w2, w2, #1
                       0x54ffffa1,  // b.ne again
                       kHvc0,       //
                       0x53144843,  // f: lsl w3, w2, #12
                       0x531a6463,  // lsl w3, w3, #6
                       0x0b040063,  // add w3, w3, w4
                       0xb90003c3,  // str w3, [x30]
                       0xd50b7b3e,  // dc cvau, x30
                       0xd5033b9f,  // dsb ish
                       0xd50b753e,  // ic ivau, x30
                       0xd5033b9f,  // dsb ish
                       0xd5033fdf,  // isb
                       kRet,
                   });
  bench.cpu().r.x[4] = add_x0(0);
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
  EXPECT_EQ(x(0), (3 + 2 + 1) * 256u);
}

// The callee maps another page where it was called from; TLBI.
TEST_F(Translate, ReturnFindsTheNewPage) {
  const uint64_t va = kRam + 0x60'0000, first = kRam + 0x61'0000, second = kRam + 0x62'0000;
  bench.map_page(va, first, kAf);
  bench.enable_mmu();
  const uint64_t callee = va + 0x8'0000;
  for (const uint64_t page : {first, second}) {
    bench.put(page, {bl(va, callee), add_x0(page == first ? 1 : 256), kHvc0});
  }
  bench.put(callee, {
                        0xf9400043,  // ldr x3, [x2]
                        0xca010063,  // eor x3, x3, x1
                        0xf9000043,  // str x3, [x2]
                        0xd5033b9f,  // dsb ish
                        0xd508871f,  // tlbi vmalle1
                        0xd5033b9f,  // dsb ish
                        0xd5033fdf,  // isb
                        kRet,
                    });
  const auto* descriptor = reinterpret_cast<const uint8_t*>(bench.descriptor(va));
  bench.cpu().r.x[1] = first ^ second;
  bench.cpu().r.x[2] = kRam + static_cast<uint64_t>(descriptor - bench.memory.host(kRam, 8));
  for (unsigned round = 0; round < 6; ++round) {
    bench.cpu().r.x[0] = 0;
    bench.cpu().pc = va;
    EXPECT_EQ(vector_of(go(bench.vcpu(), 1000)), ~0u);
    EXPECT_EQ(x(0), round % 2 == 0 ? 256u : 1u) << round;
  }
}

// Blocks whose code is larger than their ops: its space runs out first.
TEST_F(Translate, CodeThatFillsItsSpaceIsForgotten) {
  constexpr unsigned kBlocks = 12'000, kWords = 64;
  const uint64_t code = kRam + 0x100'0000;
  bench.cpu().r.x[2] = kData;
  bench.poke<uint64_t>(kData, 0x1234);
  for (unsigned i = 0; i < kBlocks; ++i) {
    for (unsigned j = 0; j < kWords - 2; ++j) {
      bench.poke<uint32_t>(code + 4 * (i * kWords + j), 0xf9400041);  // ldr x1, [x2]
    }
    bench.poke<uint32_t>(code + 4 * (i * kWords + kWords - 2), add_x0(1));
    bench.poke<uint32_t>(code + 4 * (i * kWords + kWords - 1), i + 1 < kBlocks ? b(0, 4) : kHvc0);
  }
  for (int round = 0; round < 2; ++round) {
    bench.cpu().r.x[0] = 0;
    bench.cpu().pc = code;
    EXPECT_EQ(go(bench.vcpu(), 10'000'000).kind, ExitKind::kHvc);
    EXPECT_EQ(x(0), kBlocks);
    EXPECT_EQ(x(1), 0x1234);
  }
  const EngineStats stats = engine_stats(bench.cpu());
  EXPECT_GT(stats.blocks_translated, kBlocks);
}

// Loads of Device memory, which all memory is with the MMU off: aligned ones, and the fault.
TEST_F(Translate, DeviceMemoryMustBeAligned) {
  const struct {
    const char* text;
    uint32_t word;
    unsigned size;
    uint64_t value;
  } rows[] = {
      {"ldrb w1, [x2]", 0x39400041, 1, 0xef},
      {"ldrh w1, [x2]", 0x79400041, 2, 0xcdef},
      {"ldrsh x1, [x2]", 0x79800041, 2, 0xffff'ffff'ffff'cdef},
      {"ldr w1, [x2]", 0xb9400041, 4, 0x89ab'cdef},
      {"ldr x1, [x2]", 0xf9400041, 8, 0x0123'4567'89ab'cdef},
      {"ldp x1, x3, [x2]", 0xa9400c41, 8, 0x0123'4567'89ab'cdef},
      {"ldp w1, w3, [x2]", 0x29400c41, 4, 0x89ab'cdef},
  };
  for (const auto& row : rows) {
    bench.put(kCode, {row.word, row.word, kHvc0});
    bench.cpu().sys.esr_el1 = 0;
    for (unsigned offset = 0; offset < 9; ++offset) {
      bench.poke<uint64_t>(kData + offset, 0x0123'4567'89ab'cdef);
      bench.cpu().r.x[2] = kData + offset;
      engine_reset(bench.cpu());
      const Exit exit = bench.run();
      if (offset % row.size == 0) {
        EXPECT_EQ(vector_of(exit), ~0u) << row.text << " at " << offset;
        EXPECT_EQ(x(1), row.value) << row.text << " at " << offset;
      } else {
        EXPECT_EQ(vector_of(exit), 0x200u) << row.text << " at " << offset;
        EXPECT_EQ(bench.cpu().sys.esr_el1 & 0x3f, 0x21u) << row.text << " at " << offset;
      }
    }
  }
}

}  // namespace
}  // namespace trapline::soft
