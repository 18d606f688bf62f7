// What stays inside run(): budgets, interrupts, translation and code that changes, debugging, and
// two CPUs at once.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/vmm/soft/engine_fixture.h"

namespace trapline::soft {
namespace {

// --- counting ------------------------------------------------------------------------------------

TEST(EngineBudget, IsExact) {
  for (uint64_t budget = 0; budget < 40; ++budget) {
    Bench bench;
    bench.put(kCode, {
                         0x91000400,  // loop: add x0, x0, #1
                         0x91000421,  // add x1, x1, #1
                         0xb400005f,  // cbz xzr, next
                         0xd503201f,  // nop
                         0x91000442,  // next: add x2, x2, #1
                         0x17fffffb,  // b loop
                     });
    const Exit exit = bench.run(budget);
    EXPECT_EQ(exit.kind, ExitKind::kBudget);
    EXPECT_EQ(bench.cpu().retired, budget);
    const uint64_t rounds = budget / 5, rest = budget % 5;
    EXPECT_EQ(bench.cpu().r.x[0], rounds + (rest >= 1));
    EXPECT_EQ(bench.cpu().r.x[1], rounds + (rest >= 2));
    EXPECT_EQ(bench.cpu().r.x[2], rounds + (rest >= 4));
  }
}

// However a run is cut into pieces, the same instructions give the same state.
TEST(EngineBudget, PiecesAddUp) {
  auto prepare = [](Bench& bench) {
    bench.enable_mmu();
    bench.put(kCode, {
                         0xf9400001,  // loop: ldr x1, [x0]
                         0xca010c42,  // eor x2, x2, x1, lsl #3
                         0xf8008402,  // str x2, [x0], #8
                         0xf240005f,  // tst x2, #1
                         0x9a820063,  // csel x3, x3, x2, eq
                         0x54000061,  // b.ne odd
                         0xab020084,  // adds x4, x4, x2
                         0x9a1f00a5,  // adc x5, x5, xzr
                         0x8a060000,  // odd: and x0, x0, x6
                         0xaa070000,  // orr x0, x0, x7
                         0x94000002,  // bl sub
                         0x17fffff5,  // b loop
                         0x9b087c42,  // sub: mul x2, x2, x8
                         0x91003442,  // add x2, x2, #13
                         0xd53be049,  // mrs x9, cntvct_el0
                         0xca09014a,  // eor x10, x10, x9
                         0xd65f03c0,  // ret
                     });
    Cpu& cpu = bench.cpu();
    cpu.pc = kCode;
    cpu.r.x[0] = cpu.r.x[7] = kData;
    cpu.r.x[6] = kData | 0x3fff;
    cpu.r.x[8] = 6364136223846793005;
  };
  constexpr uint64_t kTotal = 60'000;
  Bench whole, pieces;
  prepare(whole);
  prepare(pieces);
  EXPECT_EQ(go(whole.vcpu(), kTotal).kind, ExitKind::kBudget);
  std::mt19937 random(1);
  for (uint64_t left = kTotal; left != 0;) {
    const uint64_t piece = std::min<uint64_t>(left, random() % 40);
    EXPECT_EQ(go(pieces.vcpu(), piece).kind, ExitKind::kBudget);
    left -= piece;
  }
  EXPECT_EQ(whole.cpu().pc, pieces.cpu().pc);
  EXPECT_EQ(whole.cpu().nzcv, pieces.cpu().nzcv);
  for (unsigned i = 0; i < 31; ++i) EXPECT_EQ(whole.cpu().r.x[i], pieces.cpu().r.x[i]) << i;
  EXPECT_EQ(whole.cpu().retired, pieces.cpu().retired);
}

TEST(EngineBudget, CounterSeesTheInstructionsOfItsBlock) {
  Bench bench;
  bench.put(kCode, {
                       0xd53be040,  // mrs x0, cntvct_el0
                       0xd503201f,  // nop
                       0xd503201f,  // nop
                       0xd53be041,  // mrs x1, cntvct_el0
                       0xd4000002,  // hvc #0
                   });
  bench.run();
  EXPECT_EQ(bench.cpu().r.x[0], 0);
  EXPECT_EQ(bench.cpu().r.x[1], 3);
}

// --- interrupts ----------------------------------------------------------------------------------

TEST(EngineInterrupt, TakenRightAfterUnmasking) {
  const struct {
    const char* text;
    uint32_t word;
    bool fiq;
  } rows[] = {
      {"msr daifclr, #2", 0xd50342ff, false},
      {"msr daif, xzr", 0xd51b423f, false},
      {"msr daifclr, #1", 0xd50341ff, true},
  };
  for (const auto& row : rows) {
    Bench bench;
    bench.put(kCode, {kNop, row.word, kNop, kNop, kHvc0});
    if (row.fiq) {
      bench.vcpu().set_fiq(true);
    } else {
      bench.vcpu().set_irq(true);
    }
    const Exit exit = bench.run();
    EXPECT_EQ(vector_of(exit), row.fiq ? 0x300 : 0x280) << row.text;
    EXPECT_EQ(bench.cpu().sys.elr_el1, kCode + 8) << row.text;
    EXPECT_EQ(bench.cpu().retired, 3) << row.text;
  }
}

TEST(EngineInterrupt, MaskedOneWaits) {
  Bench bench;
  bench.put(kCode, {
                       0xd503201f,  // nop
                       0xd503201f,  // nop
                       0xd4000002,  // hvc #0
                   });
  bench.vcpu().set_irq(true);
  EXPECT_EQ(vector_of(bench.run()), ~0u);
  EXPECT_EQ(bench.cpu().retired, 3);
}

TEST(EngineInterrupt, BreaksATightLoop) {
  Bench bench;
  bench.cpu().ps.daif = 0;
  bench.put(kCode, {
                       0x14000000,  // b .
                   });
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    bench.vcpu().set_irq(true);
  });
  EXPECT_EQ(vector_of(bench.run(~uint64_t{0})), 0x280);
  other.join();
}

// --- translation ---------------------------------------------------------------------------------

constexpr uint64_t kPageA = kData, kPageB = kData + 0x1000, kVirtual = 0x7000'0000;

// X0 the address, X1 what is read first, then a new descriptor X3 to [X2], TLBI of X4, X5 read
// again before it and X6 after.
TEST(EngineTlb, KeepsATranslationUntilTlbi) {
  Bench bench;
  bench.map_page(kVirtual, kPageA, kAf);
  bench.enable_mmu();
  bench.poke<uint64_t>(kPageA, 1);
  bench.poke<uint64_t>(kPageB, 2);
  bench.put(kCode, {
                       0xf9400001,  // ldr x1, [x0]
                       0xf9000043,  // str x3, [x2]
                       0xf9400005,  // ldr x5, [x0]
                       0xd5088724,  // tlbi vae1, x4
                       0xd5033f9f,  // dsb sy
                       0xd5033fdf,  // isb
                       0xf9400006,  // ldr x6, [x0]
                       0xd4000002,  // hvc #0
                   });
  uint64_t* entry = bench.descriptor(kVirtual);
  Cpu& cpu = bench.cpu();
  cpu.r.x[0] = kVirtual;
  cpu.r.x[2] =
      kRam + static_cast<uint64_t>(reinterpret_cast<uint8_t*>(entry) - bench.memory.host(kRam, 1));
  cpu.r.x[3] = kPageB | kAf | kPage;
  cpu.r.x[4] = kVirtual >> 12;
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
  EXPECT_EQ(cpu.r.x[1], 1);
  EXPECT_EQ(cpu.r.x[5], 1) << "the architecture allows either; a TLB that forgets is no TLB";
  EXPECT_EQ(cpu.r.x[6], 2);
}

TEST(EngineTlb, AnyAddressOfALargePageDropsAllOfIt) {
  Bench bench;
  bench.enable_mmu();
  bench.map_page(0x8000'0000, 0, 0);  // makes a level-2 table of the third GiB
  const uint64_t table = bench.peek<uint64_t>(kTables + 16) & ~kPageMask;
  bench.poke<uint64_t>(table + 8, (kRam + 0x40'0000) | kBlock | kAf);  // 2 MiB at 0x80200000
  bench.poke<uint64_t>(kRam + 0x40'5000, 5);
  bench.poke<uint64_t>(kRam + 0x80'5000, 9);
  bench.put(kCode, {
                       0xf9400001,  // ldr x1, [x0]
                       0xf9000043,  // str x3, [x2]
                       0xd5088764,  // tlbi vaae1, x4
                       0xd5033f9f,  // dsb sy
                       0xd5033fdf,  // isb
                       0xf9400006,  // ldr x6, [x0]
                       0xd4000002,  // hvc #0
                   });
  Cpu& cpu = bench.cpu();
  cpu.r.x[0] = 0x8020'5000;
  cpu.r.x[2] = table + 8;
  cpu.r.x[3] = (kRam + 0x80'0000) | kBlock | kAf;
  cpu.r.x[4] = 0x8030'0000 >> 12;
  bench.run();
  EXPECT_EQ(cpu.r.x[1], 5);
  EXPECT_EQ(cpu.r.x[6], 9);
}

TEST(EngineTlb, AnyAddressOfAPageOfAGibibyteDropsAllOfIt) {
  Bench bench;
  bench.enable_mmu();
  bench.poke<uint64_t>(kTables + 16, 0x4000'0000 | kBlock | kAf);  // 0x80000000: RAM once more
  bench.poke<uint64_t>(kRam + 0x40'5000, 5);
  bench.put(kCode, {
                       0xf9400001,  // ldr x1, [x0]
                       0xf900005f,  // str xzr, [x2]
                       0xd5088764,  // tlbi vaae1, x4
                       0xd5033f9f,  // dsb sy
                       0xd5033fdf,  // isb
                       0xf9400006,  // ldr x6, [x0]
                       0xd4000002,  // hvc #0
                   });
  Cpu& cpu = bench.cpu();
  cpu.r.x[0] = 0x8040'5000;
  cpu.r.x[2] = kTables + 16;
  cpu.r.x[4] = 0xb000'0000 >> 12;
  EXPECT_EQ(vector_of(bench.run()), 0x200u) << "translation fault of the second load";
  EXPECT_EQ(cpu.r.x[1], 5);
}

TEST(EngineTlb, AsidsKeepTheirPages) {
  Bench bench;
  // Two trees that share everything but one page.
  bench.map_page(kVirtual, kPageA, kAf | kNonGlobal);
  bench.enable_mmu();
  constexpr uint64_t kOther = kRam + 0x18'0000;
  for (uint64_t i = 0; i < 4; ++i) {
    bench.poke<uint64_t>(kOther + 8 * i, bench.peek<uint64_t>(kTables + 8 * i));
  }
  bench.poke<uint64_t>(kOther + 8, (kOther + 0x1000) | kTable);
  bench.poke<uint64_t>(kOther + 0x1000 + 8 * (kVirtual >> 21 & 511), (kOther + 0x2000) | kTable);
  for (uint64_t i = 0; i < 512; ++i) {
    if (i != (kVirtual >> 21 & 511)) {
      bench.poke<uint64_t>(kOther + 0x1000 + 8 * i, (kRam + (i << 21)) | kBlock | kAf);
    }
  }
  bench.poke<uint64_t>(kOther + 0x2000, kPageB | kPage | kAf | kNonGlobal);
  bench.poke<uint64_t>(kPageA, 1);
  bench.poke<uint64_t>(kPageB, 2);
  bench.put(kCode, {
                       0xd518200a,  // msr ttbr0_el1, x10
                       0xd5033fdf,  // isb
                       0xf9400001,  // ldr x1, [x0]
                       0xd518200b,  // msr ttbr0_el1, x11
                       0xd5033fdf,  // isb
                       0xf9400002,  // ldr x2, [x0]
                       0xd518200a,  // msr ttbr0_el1, x10
                       0xd5033fdf,  // isb
                       0xf9400003,  // ldr x3, [x0]
                       0xd4000002,  // hvc #0
                   });
  Cpu& cpu = bench.cpu();
  cpu.sys.el1.tcr |= uint64_t{1} << 36;
  engine_reset(cpu);
  cpu.r.x[0] = kVirtual;
  cpu.r.x[10] = kTables | uint64_t{1} << 48;
  cpu.r.x[11] = kOther | uint64_t{2} << 48;
  const Exit exit = bench.run();
  ASSERT_EQ(exit.kind, ExitKind::kHvc);
  EXPECT_EQ(vector_of(exit), ~0u);
  EXPECT_EQ(cpu.r.x[1], 1);
  EXPECT_EQ(cpu.r.x[2], 2);
  EXPECT_EQ(cpu.r.x[3], 1);
}

TEST(EngineTlb, PanRefusesWhatWasReadableWithoutIt) {
  Bench bench;
  bench.map_page(kVirtual, kPageA, kUser);
  bench.enable_mmu();
  bench.put(kCode, {
                       0xf9400001,  // ldr x1, [x0]
                       0xd500419f,  // msr pan, #1
                       0xf8400802,  // ldtr x2, [x0]
                       0xf9400003,  // ldr x3, [x0]
                       0xd4000002,  // hvc #0
                   });
  bench.cpu().r.x[0] = kVirtual;
  EXPECT_EQ(vector_of(bench.run()), 0x200);
  EXPECT_EQ(bench.cpu().sys.elr_el1, kCode + 12);
  EXPECT_EQ(bench.cpu().sys.esr_el1, 0x9600000f);
}

TEST(EngineTlb, TaggedAddresses) {
  Bench bench;
  bench.map_page(kVirtual, kPageA, kAf);
  bench.enable_mmu();
  bench.cpu().sys.el1.tcr |= uint64_t{1} << 37;  // TBI0
  engine_reset(bench.cpu());
  bench.poke<uint64_t>(kPageA, 77);
  bench.put(kCode, {
                       0xf9400001,  // ldr x1, [x0]
                       0xf9400402,  // ldr x2, [x0, #8]
                       0xd61f0120,  // br x9
                   });
  bench.put(kCode + 0x100, {
                               0x10000003,  // adr x3, .
                               0xd4000002,  // hvc #0
                           });
  bench.cpu().r.x[0] = 0x5a00'0000'0000'0000 | kVirtual;
  bench.cpu().r.x[9] = 0x7700'0000'0000'0000 | (kCode + 0x100);
  EXPECT_EQ(vector_of(bench.run()), ~0u);
  EXPECT_EQ(bench.cpu().r.x[1], 77);
  EXPECT_EQ(bench.cpu().r.x[3], kCode + 0x100) << "a branch strips the tag";
}

// --- code that changes ---------------------------------------------------------------------------

constexpr uint32_t kMovX1_1 = 0xd2800021, kMovX1_2 = 0xd2800041, kRet = 0xd65f03c0;

TEST(EngineCode, ChangesByAllWays) {
  enum Way { kGuestStore, kGuestStorePair, kHost, kSilentIvau };
  for (Way way : {kGuestStore, kGuestStorePair, kHost, kSilentIvau}) {
    Bench bench;
    bench.enable_mmu();
    bench.put(kCode, {
                         0x94000400,  // bl 0x1000
                         0xaa0103e2,  // mov x2, x1
                         0xd4000002,  // hvc #0
                         0xb900016a,  // str w10, [x11]
                         0xd5033f9f,  // dsb sy
                         0xd5033fdf,  // isb
                         0x940003fa,  // bl 0xfe8
                         0xd4000002,  // hvc #0
                         0x2900316a,  // stp w10, w12, [x11]
                         0xd5033fdf,  // isb
                         0x940003f6,  // bl 0xfd8
                         0xd4000002,  // hvc #0
                         0xd50b752b,  // ic ivau, x11
                         0xd5033f9f,  // dsb sy
                         0xd5033fdf,  // isb
                         0x940003f1,  // bl 0xfc4
                         0xd4000002,  // hvc #0
                     });
    // All four branches lead to kCode + 0x1000.
    bench.put(kCode + 0x1000, {kMovX1_1, kRet});
    Cpu& cpu = bench.cpu();
    cpu.r.x[10] = kMovX1_2;
    cpu.r.x[11] = kCode + 0x1000;
    cpu.r.x[12] = kRet;
    EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
    EXPECT_EQ(cpu.r.x[2], 1);
    switch (way) {
      case kGuestStore:
        cpu.pc = kCode + 12;
        break;
      case kGuestStorePair:
        cpu.pc = kCode + 32;
        break;
      case kHost:
        bench.poke<uint32_t>(kCode + 0x1000, kMovX1_2);
        cpu.pc = kCode;
        break;
      case kSilentIvau:
        bench.poke_silently(kCode + 0x1000, kMovX1_2);
        cpu.pc = kCode + 48;
        break;
    }
    EXPECT_EQ(go(bench.vcpu(), 100).kind, ExitKind::kHvc);
    EXPECT_EQ(cpu.r.x[1], 2) << "way " << way;
  }
}

TEST(EngineCode, ManyBlocksFlushTheArena) {
  Bench bench;
  bench.enable_mmu();
  // 8 Mi instructions, each with a block of its own: more than an arena holds.
  constexpr uint64_t kText = kRam + 0x100'0000;
  constexpr uint32_t kBranches = 700'000;
  for (uint32_t i = 0; i < kBranches; ++i) bench.poke_silently(kText + 4 * i, 0x14000001);  // b .+4
  bench.poke_silently(kText + 4 * kBranches, kHvc0);
  for (int round = 0; round < 2; ++round) {
    bench.cpu().pc = kText;
    EXPECT_EQ(go(bench.vcpu(), ~uint64_t{0}).kind, ExitKind::kHvc);
    EXPECT_EQ(bench.cpu().retired, uint64_t{kBranches + 1} * (round + 1));
  }
  EXPECT_GT(engine_stats(bench.cpu()).arena_flushes, 0);
}

TEST(EngineCode, SameAddressAnotherPage) {
  Bench bench;
  bench.map_page(kVirtual, kPageA, kAf);
  bench.enable_mmu();
  bench.put(kPageA, {kMovX1_1, kRet});
  bench.put(kPageB, {kMovX1_2, kRet});
  bench.put(kCode, {
                       0xd63f0000,  // blr x0
                       0xd4000002,  // hvc #0
                   });
  bench.cpu().r.x[0] = kVirtual;
  bench.run();
  EXPECT_EQ(bench.cpu().r.x[1], 1);
  *bench.descriptor(kVirtual) = kPageB | kAf | kPage;
  tlb_invalidate(bench.cpu(), {}, TlbiScope::kVa, kVirtual, 0, true);
  bench.run();
  EXPECT_EQ(bench.cpu().r.x[1], 2);
}

// --- exclusives ----------------------------------------------------------------------------------

TEST(EngineExclusive, StoresOnlyWhatWasNotTouched) {
  const struct {
    const char* what;
    uint32_t between;
    uint64_t status;
  } rows[] = {
      {"nothing", kNop, 0},
      {"clrex", 0xd5033f5f, 1},
      {"str x9, [x0]", 0xf9000009, 1},
      {"ldxr x8, [x7]", 0xc85f7ce8, 1},
  };
  for (const auto& row : rows) {
    Bench bench;
    bench.enable_mmu();
    bench.put(kCode, {
                         0xc85ffc01,  // ldaxr x1, [x0]
                         0x91000421,  // add x1, x1, #1
                     });
    bench.put(kCode + 8, {row.between});
    bench.put(kCode + 12, {
                              0xc802fc01,  // stlxr w2, x1, [x0]
                              0xd4000002,  // hvc #0
                          });
    bench.cpu().r.x[0] = kData;
    bench.cpu().r.x[7] = kData + 64;
    bench.cpu().r.x[9] = 500;
    bench.poke<uint64_t>(kData, 41);
    bench.run();
    EXPECT_EQ(bench.cpu().r.x[2], row.status) << row.what;
    if (row.status == 0) {
      EXPECT_EQ(bench.peek<uint64_t>(kData), 42);
    }
  }
}

TEST(EngineExclusive, PairStoresOnlyWhatWasNotTouched) {
  const struct {
    const char* what;
    uint32_t between;
    uint64_t status;
  } rows[] = {
      {"nothing", kNop, 0},
      {"clrex", 0xd5033f5f, 1},
      {"str x9, [x0, #8]", 0xf9000409, 1},
      {"ldxr x8, [x0]", 0xc85f7c08, 1},
      {"ldaxp w8, w10, [x0]", 0x887fa808, 1},
      {"ldaxp x8, x10, [x7]", 0xc87fa8e8, 1},
  };
  for (const auto& row : rows) {
    Bench bench;
    bench.enable_mmu();
    bench.put(kCode, {
                         0xc87f8801,  // ldaxp x1, x2, [x0]
                         row.between,
                         0xb1000424,  // adds x4, x1, #1
                         0x9a1f0045,  // adc x5, x2, xzr
                         0xc8239404,  // stlxp w3, x4, x5, [x0]
                         kHvc0,
                     });
    bench.cpu().r.x[0] = kData;
    bench.cpu().r.x[7] = kData + 64;
    bench.cpu().r.x[9] = 500;
    bench.poke<uint64_t>(kData, ~uint64_t{0});
    bench.poke<uint64_t>(kData + 8, 41);
    bench.run();
    EXPECT_EQ(bench.cpu().r.x[3], row.status) << row.what;
    if (row.status == 0) {
      EXPECT_EQ(bench.peek<uint64_t>(kData), 0);
      EXPECT_EQ(bench.peek<uint64_t>(kData + 8), 42);
    }
  }
}

TEST(EngineExclusive, PairAcrossFastAndSlowPaths) {
  Bench bench;
  bench.enable_mmu();
  bench.put(kCode, {
                       0xc87f0801,  // ldxp x1, x2, [x0]
                       0xc8230402,  // stxp w3, x2, x1, [x0]
                       0x887f1404,  // ldxp w4, w5, [x0]
                       0x88261005,  // stxp w6, w5, w4, [x0]
                       0xd4000002,  // hvc #0
                   });
  bench.cpu().r.x[0] = kData;
  bench.poke<uint64_t>(kData, 0x11111111'22222222);
  bench.poke<uint64_t>(kData + 8, 0x33333333'44444444);
  bench.run();
  EXPECT_EQ(bench.cpu().r.x[3], 0);
  EXPECT_EQ(bench.cpu().r.x[6], 0);
  EXPECT_EQ(bench.peek<uint64_t>(kData), 0x44444444'33333333);
  EXPECT_EQ(bench.peek<uint64_t>(kData + 8), 0x11111111'22222222);
}

// --- debugging -----------------------------------------------------------------------------------

TEST(EngineDebug, BreakpointsAndSteps) {
  Bench bench;
  bench.put(kCode, {
                       0x91000400,  // add x0, x0, #1
                       0x91000400,  // add x0, x0, #1
                       0x91000400,  // add x0, x0, #1
                       0x17fffffd,  // b .-12
                   });
  const uint64_t pcs[] = {kCode + 8};
  bench.vcpu().set_breakpoints(pcs, 1);
  EXPECT_EQ(bench.run().kind, ExitKind::kDebug);
  EXPECT_EQ(bench.cpu().pc, kCode + 8);
  EXPECT_EQ(bench.cpu().r.x[0], 2);
  EXPECT_EQ(go(bench.vcpu(), 100).kind, ExitKind::kDebug);
  EXPECT_EQ(bench.cpu().r.x[0], 5);
  EXPECT_EQ(step(bench.vcpu()).kind, ExitKind::kDebug);
  EXPECT_EQ(bench.cpu().pc, kCode + 12);
  EXPECT_EQ(step(bench.vcpu()).kind, ExitKind::kDebug);
  EXPECT_EQ(bench.cpu().pc, kCode);
  bench.vcpu().set_breakpoints(nullptr, 0);
  EXPECT_EQ(go(bench.vcpu(), 100).kind, ExitKind::kBudget);
}

// A debugger's watchpoint stops before the access, once, whatever kind of access it is and whatever
// translated code, TLB entries and the guest's own debug registers say.
TEST(EngineDebug, WatchpointsOfADebugger) {
  constexpr uint64_t kAt = kData + 0x40;
  constexpr bool kReads = true, kWrites = true;
  const struct {
    const char* text;
    uint32_t word;
    uint64_t base;  // x1
    bool reads, writes;
    uint64_t far;  // 0: the watched bytes are not touched
  } kCases[] = {
      {"ldr x0, [x1]", 0xf9400020, kAt, kReads, !kWrites, kAt},
      {"str x0, [x1]", 0xf9000020, kAt, !kReads, kWrites, kAt},
      {"strb w0, [x1]", 0x39000020, kAt + 7, !kReads, kWrites, kAt + 7},
      {"strb w0, [x1]", 0x39000020, kAt + 8, !kReads, kWrites, 0},
      {"str x0, [x1]", 0xf9000020, kAt - 8, !kReads, kWrites, 0},
      {"str x0, [x1]", 0xf9000020, kAt - 4, !kReads, kWrites, kAt},
      {"str x0, [x1]", 0xf9000020, kAt + 0x800, !kReads, kWrites, 0},
      {"ldr x0, [x1], #8", 0xf8408420, kAt, kReads, !kWrites, kAt},
      {"ldp x2, x3, [x1]", 0xa9400c22, kAt - 8, kReads, !kWrites, kAt},
      {"stp x2, x3, [x1]", 0xa9000c22, kAt - 8, !kReads, kWrites, kAt},
      {"ldr q0, [x1]", 0x3dc00020, kAt - 8, kReads, !kWrites, kAt},
      {"ld1 {v0.16b}, [x1]", 0x4c407020, kAt - 8, kReads, !kWrites, kAt},
      {"st1 {v0.16b}, [x1]", 0x4c007020, kAt - 8, !kReads, kWrites, kAt},
      {"ldar x0, [x1]", 0xc8dffc20, kAt, kReads, !kWrites, kAt},
      {"stlr x0, [x1]", 0xc89ffc20, kAt, !kReads, kWrites, kAt},
      {"ldxr x0, [x1]", 0xc85f7c20, kAt, kReads, !kWrites, kAt},
      {"ldadd x2, x0, [x1]", 0xf8220020, kAt, kReads, kWrites, kAt},
      {"cas x2, x0, [x1]", 0xc8a27c20, kAt, kReads, kWrites, kAt},
      {"ldtr x0, [x1]", 0xf8400820, kAt, kReads, !kWrites, kAt},
      {"dc zva, x1", 0xd50b7421, kAt + 8, !kReads, kWrites, kAt},
      {"prfm pldl1keep, [x1]", 0xf9800020, kAt, !kReads, !kWrites, 0},
  };
  for (const auto& c : kCases) {
    const bool moves = c.word == 0xf8408420;  // its base: once round only
    for (const unsigned watched : {0u, 1u, 2u, 3u}) {
      SCOPED_TRACE(testing::Message() << c.text << " watched for " << watched);
      const bool watch_read = (watched & 1) != 0, watch_write = (watched & 2) != 0;
      Bench bench;
      bench.enable_mmu();
      *bench.descriptor(kData) |= kUser;                          // for LDTR
      bench.put(kCode, {c.word, 0xd1000484, 0xb5ffffc4, kHvc0});  // sub x4, x4, #1; cbnz x4, .-8
      auto prepare = [&](uint64_t rounds) {
        bench.cpu().r.x[1] = c.base;
        bench.cpu().r.x[4] = rounds;
      };
      prepare(moves ? 1 : 100);  // known to the TLB, and translated
      ASSERT_EQ(bench.run().kind, ExitKind::kHvc);
      const Watchpoint watch{kAt, 8, watch_read, watch_write};
      bench.vcpu().set_watchpoints(&watch, 1);
      prepare(moves ? 1 : 2);
      Exit exit = bench.run();
      if (c.far == 0 || !((watch_read && c.reads) || (watch_write && c.writes))) {
        EXPECT_EQ(exit.kind, ExitKind::kHvc);
        continue;
      }
      ASSERT_EQ(exit.kind, ExitKind::kDebug);
      EXPECT_EQ(exit.valid_mask & Exit::kFar, Exit::kFar);
      EXPECT_EQ(exit.far, c.far);
      EXPECT_EQ(exit.pc, kCode);
      EXPECT_EQ((exit.esr >> 6 & 1) != 0, watch_write && c.writes);
      EXPECT_EQ(bench.cpu().r.x[1], c.base);
      exit = go(bench.vcpu(), 100'000);  // past it, to its next time round
      EXPECT_EQ(exit.kind, moves ? ExitKind::kHvc : ExitKind::kDebug);
      EXPECT_EQ(bench.cpu().r.x[4], moves ? 0u : 1u);
      bench.vcpu().set_watchpoints(nullptr, 0);
      EXPECT_EQ(go(bench.vcpu(), 100'000).kind, ExitKind::kHvc);
    }
  }
}

// A debugger that was not told of a stop takes its points away and puts them back: nothing passes.
TEST(EngineDebug, PutBackMeansMetAgain) {
  Bench bench;
  bench.put(kCode, {kNop, 0xf9000020, kHvc0});  // str x0, [x1]
  bench.cpu().r.x[1] = kData;
  const uint64_t pc = kCode + 4;
  const Watchpoint watch{kData, 8, false, true};
  bench.vcpu().set_breakpoints(&pc, 1);
  EXPECT_EQ(bench.run().kind, ExitKind::kDebug);
  bench.vcpu().set_breakpoints(nullptr, 0);
  bench.vcpu().set_breakpoints(&pc, 1);
  bench.vcpu().set_watchpoints(&watch, 1);
  Exit exit = go(bench.vcpu(), 100);
  EXPECT_EQ(exit.kind, ExitKind::kDebug);
  EXPECT_EQ(exit.valid_mask, 0) << "the breakpoint";
  exit = go(bench.vcpu(), 100);
  EXPECT_EQ(exit.valid_mask & Exit::kFar, Exit::kFar) << "the watchpoint";
  bench.vcpu().set_watchpoints(nullptr, 0);
  bench.vcpu().set_watchpoints(&watch, 1);
  exit = go(bench.vcpu(), 100);
  EXPECT_EQ(exit.valid_mask & Exit::kFar, Exit::kFar) << "once more";
  EXPECT_EQ(go(bench.vcpu(), 100).kind, ExitKind::kHvc);
}

// Of a device, too: the stop is there before the exit.
TEST(EngineDebug, WatchpointOfADevice) {
  Bench bench;
  bench.put(kCode, {0xb9400020, kHvc0});  // ldr w0, [x1]
  bench.cpu().r.x[1] = kDevice;
  EXPECT_EQ(bench.run().kind, ExitKind::kDataAbort);
  const Watchpoint watch{kDevice, 4, true, false};
  bench.vcpu().set_watchpoints(&watch, 1);
  EXPECT_EQ(bench.run().kind, ExitKind::kDebug);
  const Exit exit = go(bench.vcpu(), 100);
  EXPECT_EQ(exit.kind, ExitKind::kDataAbort);
  EXPECT_NE(exit.esr >> 24 & 1, 0u) << "with its syndrome";
}

// A debugger's step shows its user the next instruction, not an interrupt's handler.
TEST(EngineDebug, AStepTakesNoInterrupt) {
  Bench bench;
  bench.put(kCode, {0x91000400, 0x91000400, 0x17fffffe});  // add x0, x0, #1; add; b .-8
  bench.cpu().pc = kCode;
  bench.cpu().ps.daif = 0;
  bench.vcpu().set_irq(true);
  bench.vcpu().set_fiq(true);
  for (unsigned i = 1; i < 10; ++i) {
    EXPECT_EQ(step(bench.vcpu()).kind, ExitKind::kDebug);
    EXPECT_EQ(bench.cpu().pc, kCode + i % 3 * 4);
  }
  EXPECT_EQ(bench.cpu().r.x[0], 6u);
}

TEST(EngineDebug, SoftwareStepTrapsAfterOneInstruction) {
  Bench bench;
  bench.put(kCode, {
                       0xd5184001,  // msr spsr_el1, x1
                       0xd5184022,  // msr elr_el1, x2
                       0xd69f03e0,  // eret
                   });
  bench.put(kCode + 0x100, {
                               0x910004a5,  // add x5, x5, #1
                               0x910004a5,  // add x5, x5, #1
                               0xd4000002,  // hvc #0
                           });
  Cpu& cpu = bench.cpu();
  cpu.sys.mdscr_el1 = 1;
  cpu.sys.oslar_locked = 0;
  debug_context_changed(cpu);
  cpu.r.x[1] = 1 << 21 | 0x3c0;  // SS, EL0t
  cpu.r.x[2] = kCode + 0x100;
  EXPECT_EQ(vector_of(bench.run()), 0x400);
  EXPECT_EQ(cpu.sys.esr_el1, 0x32u << 26 | 1 << 25 | 1 << 24 | 0x22);
  EXPECT_EQ(cpu.sys.elr_el1, kCode + 0x104);
  EXPECT_EQ(cpu.r.x[5], 1);
}

// What is stepped leads to blocks that were run before: it is left after one instruction still.
TEST(EngineDebug, SoftwareStepStopsAtKnownBlocks) {
  const struct {
    const char* text;
    uint32_t word;
  } rows[] = {
      {"ret x7", 0xd65f00e0}, {"br x7", 0xd61f00e0},  {"blr x7", 0xd63f00e0},
      {"b .+8", 0x14000002},  {"bl .+8", 0x94000002},
  };
  for (const auto& row : rows) {
    Bench bench;
    Cpu& cpu = bench.cpu();
    bench.put(kCode, {0xd5184001, 0xd5184022, 0xd69f03e0});  // msr spsr, x1; msr elr, x2; eret
    bench.put(kCode + 0x100, {
                                 row.word, kHvc0,
                                 0x910004a5,  // add x5, x5, #1
                                 0xd4000001,  // svc #0
                             });
    cpu.r.x[1] = 0x3c0;  // EL0t
    cpu.r.x[2] = kCode + 0x100;
    cpu.r.x[7] = kCode + 0x108;
    for (int i = 0; i < 40; ++i) EXPECT_EQ(vector_of(bench.run()), 0x400) << row.text;
    EXPECT_EQ(cpu.r.x[5], 40) << row.text;
    cpu.sys.mdscr_el1 = 1;
    cpu.sys.oslar_locked = 0;
    debug_context_changed(cpu);
    cpu.r.x[1] |= 1 << 21;  // SS
    EXPECT_EQ(vector_of(bench.run()), 0x400) << row.text;
    EXPECT_EQ(cpu.sys.esr_el1 >> 26, 0x32) << row.text;
    EXPECT_EQ(cpu.sys.elr_el1, kCode + 0x108) << row.text;
    EXPECT_EQ(cpu.r.x[5], 40) << row.text;
  }
}

TEST(EngineDebug, GuestBreakpointAndWatchpoint) {
  Bench bench;
  bench.enable_mmu();
  bench.put(kCode, {
                       0xd503201f,  // nop
                       0xf9000001,  // str x1, [x0]
                       0xf9000801,  // str x1, [x0, #16]
                       0xd503201f,  // nop
                       0xd4000002,  // hvc #0
                   });
  Cpu& cpu = bench.cpu();
  cpu.r.x[0] = kData;
  cpu.sys.oslar_locked = 0;
  cpu.sys.mdscr_el1 = 1 << 15 | 1 << 13;  // MDE, KDE
  cpu.ps.daif = 0x7;                      // D clear
  cpu.sys.dbgwvr[1] = kData + 16;
  cpu.sys.dbgwcr[1] = 0xff << 5 | 2 << 3 | 1 << 1 | 1;  // stores at EL1
  debug_context_changed(cpu);
  EXPECT_EQ(vector_of(bench.run()), 0x200);
  EXPECT_EQ(cpu.sys.esr_el1, 0x35u << 26 | 1 << 25 | 0x62);
  EXPECT_EQ(cpu.sys.far_el1, kData + 16);
  EXPECT_EQ(cpu.sys.elr_el1, kCode + 8);
  cpu.ps.daif = 0x7;
  cpu.sys.dbgwcr[1] = 0;
  cpu.sys.dbgbvr[2] = kCode + 12;
  cpu.sys.dbgbcr[2] = 15 << 5 | 1 << 1 | 1;
  debug_context_changed(cpu);
  EXPECT_EQ(vector_of(bench.run()), 0x200);
  EXPECT_EQ(cpu.sys.esr_el1, 0x31u << 26 | 1 << 25 | 0x22);
  EXPECT_EQ(cpu.sys.elr_el1, kCode + 12);
}

// --- two CPUs ------------------------------------------------------------------------------------

// CPU 0 flips a page between two frames, announcing each state once its DSB is done; CPU 1 must
// never see the old frame under a new announcement.
TEST(EngineSmp, BroadcastTlbiIsCompleteAtTheDsb) {
  Bench bench(2);
  bench.map_page(kVirtual, kPageA, kAf);
  bench.enable_mmu();
  bench.poke<uint64_t>(kPageA, 0);
  bench.poke<uint64_t>(kPageB, 1);
  // X0 flag, X1 descriptor's address, X2 and X3 the two descriptors, X4 TLBI operand, X5 rounds.
  bench.put(kCode, {
                       0x910004c6,  // flip: add x6, x6, #1
                       0xc89ffc06,  // stlr x6, [x0]
                       0xd5033fbf,  // dmb sy
                       0xf9000023,  // str x3, [x1]
                       0xd5033f9f,  // dsb sy
                       0xd5088324,  // tlbi vae1is, x4
                       0xd5033f9f,  // dsb sy
                       0x910004c6,  // add x6, x6, #1
                       0xc89ffc06,  // stlr x6, [x0]
                       0xaa0203e7,  // mov x7, x2
                       0xaa0303e2,  // mov x2, x3
                       0xaa0703e3,  // mov x3, x7
                       0xf10004a5,  // subs x5, x5, #1
                       0x54fffe61,  // b.ne flip
                       0xd4000002,  // hvc #0
                   });
  // An odd flag is a change in flight; bit 1 of an even one is the frame.
  bench.put(kCode + 0x400, {
                               0xc8dffc01,  // again: ldar x1, [x0]
                               0xf9400062,  // ldr x2, [x3]
                               0xd5033fbf,  // dmb sy
                               0xc8dffc04,  // ldar x4, [x0]
                               0xeb04003f,  // cmp x1, x4
                               0x54ffff61,  // b.ne again
                               0x3707ff41,  // tbnz x1, #0, again
                               0xd3410425,  // ubfx x5, x1, #1, #1
                               0x910004c6,  // add x6, x6, #1
                               0xeb0200bf,  // cmp x5, x2
                               0x54fffec0,  // b.eq again
                               0xd4000022,  // hvc #1
                           });
  Cpu &a = bench.cpu(0), &b = bench.cpu(1);
  a.pc = kCode;
  a.r.x[0] = b.r.x[0] = kData + 0x8000;
  a.r.x[1] = kRam + static_cast<uint64_t>(reinterpret_cast<uint8_t*>(bench.descriptor(kVirtual)) -
                                          bench.memory.host(kRam, 1));
  a.r.x[2] = kPageA | kAf | kPage;
  a.r.x[3] = kPageB | kAf | kPage;
  a.r.x[4] = kVirtual >> 12;
  a.r.x[5] = 3000;
  b.pc = kCode + 0x400;
  b.r.x[3] = kVirtual;
  Exit seen;
  std::thread other([&] { seen = go(bench.vcpu(1), ~uint64_t{0}); });
  EXPECT_EQ(go(bench.vcpu(0), ~uint64_t{0}).kind, ExitKind::kHvc);
  bench.vcpu(1).kick();
  other.join();
  EXPECT_EQ(seen.kind, ExitKind::kKicked)
      << "a stale translation: flag " << b.r.x[1] << " read " << b.r.x[2];
}

TEST(EngineSmp, CpusThatInvalidateEachOtherGetOn) {
  constexpr unsigned kCpus = 4;
  Bench bench(kCpus);
  bench.enable_mmu();
  bench.put(kCode, {
                       0xd508831f,  // loop: tlbi vmalle1is
                       0xd5033b9f,  // dsb ish
                       0xd508711f,  // ic ialluis
                       0xd5033b9f,  // dsb ish
                       0xd5033fdf,  // isb
                       0xf9400001,  // ldr x1, [x0]
                       0xf8220003,  // ldadd x2, x3, [x0]
                       0xf10004a5,  // subs x5, x5, #1
                       0x54ffff01,  // b.ne loop
                       0xd4000002,  // hvc #0
                   });
  std::vector<std::thread> threads;
  std::atomic<unsigned> finished{0};
  for (unsigned i = 0; i < kCpus; ++i) {
    Cpu& cpu = bench.cpu(i);
    cpu.pc = kCode;
    cpu.r.x[0] = kData;
    cpu.r.x[2] = 1;
    cpu.r.x[5] = 300;
    threads.emplace_back([&, i] {
      if (go(bench.vcpu(i), ~uint64_t{0}).kind == ExitKind::kHvc) ++finished;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(finished, kCpus);
  EXPECT_EQ(bench.peek<uint64_t>(kData), 300 * kCpus);
}

// A lock of exclusives around a plain counter.
TEST(EngineSmp, ExclusivesMakeALock) {
  constexpr unsigned kCpus = 3;
  Bench bench(kCpus);
  bench.enable_mmu();
  bench.put(kCode, {
                       0x885ffc01,  // loop: ldaxr w1, [x0]
                       0x35ffffe1,  // cbnz w1, loop
                       0x88027c09,  // stxr w2, w9, [x0]
                       0x35ffffa2,  // cbnz w2, loop
                       0xf9402003,  // ldr x3, [x0, #64]
                       0x91000463,  // add x3, x3, #1
                       0xf9002003,  // str x3, [x0, #64]
                       0x889ffc1f,  // stlr wzr, [x0]
                       0xf10004a5,  // subs x5, x5, #1
                       0x54fffee1,  // b.ne loop
                       0xd4000002,  // hvc #0
                   });
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kCpus; ++i) {
    Cpu& cpu = bench.cpu(i);
    cpu.pc = kCode;
    cpu.r.x[0] = kData;
    cpu.r.x[9] = 1;
    cpu.r.x[5] = 20'000;
    threads.emplace_back([&, i] { go(bench.vcpu(i), ~uint64_t{0}); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bench.peek<uint64_t>(kData + 64), 20'000u * kCpus);
}

// Vectors that fault, of themselves or by what the sink answers: told after a thousand, and again
// by each run() after it.
TEST(EngineRun, ACrashIsTold) {
  struct Aborting final : ExitSink {
    Answer handle(const Exit& exit, CpuView&) override {
      last = exit.kind;
      if (exit.kind != ExitKind::kPrefetchAbort) return {Resume::kLeave};
      fault = {.far = exit.far, .fsc = 0x10, .write = false, .ec = 0x20};
      return {Resume::kFault};
    }
    ExitKind last = ExitKind::kBudget;
  };
  for (const uint64_t vectors : {kDevice, kRam + kRamSize, kData}) {  // kData: zeroes, UDF
    Bench bench;
    bench.cpu().sys.vbar_el1 = vectors;
    bench.put(kCode, {0x00000000});  // udf #0
    bench.cpu().pc = kCode;
    Aborting sink;
    for (int again = 0; again < 2; ++again) {
      sink.last = ExitKind::kBudget;
      bench.vcpu().run(100'000, sink);
      EXPECT_EQ(sink.last, ExitKind::kCrashed);
      EXPECT_EQ(bench.cpu().retired, 0u);
    }
  }
}

}  // namespace
}  // namespace trapline::soft
