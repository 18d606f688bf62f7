// What leaves run(): device accesses with their syndromes, faults in their order, HVC, WFI,
// fetches.
#include <gtest/gtest.h>

#include "tests/vmm/soft/engine_fixture.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::soft {
namespace {

constexpr uint32_t kIsv = 1 << 24, kSse = 1 << 21, kSf = 1 << 15, kAr = 1 << 14, kWnr = 1 << 6;
constexpr uint32_t kDataAbort = 0x24u << 26 | 1 << 25;
constexpr uint32_t kTranslation1 = 0x05;  // level 1: stage 2 maps nothing in the first GiB
constexpr uint32_t sas(uint32_t size_log2) { return size_log2 << 22; }
constexpr uint32_t srt(uint32_t reg) { return reg << 16; }

struct DeviceRow {
  const char* text;
  uint32_t word;
  uint32_t iss;  // without DFSC
};
// X0 is a device's address, X2 zero.
const DeviceRow kDeviceRows[] = {
    {"ldr w1, [x0]", 0xb9400001, kIsv | sas(2) | srt(1)},
    {"ldr x1, [x0]", 0xf9400001, kIsv | sas(3) | srt(1) | kSf},
    {"ldrb w1, [x0]", 0x39400001, kIsv | sas(0) | srt(1)},
    {"ldrh w1, [x0]", 0x79400001, kIsv | sas(1) | srt(1)},
    {"ldrsb w1, [x0]", 0x39c00001, kIsv | sas(0) | srt(1) | kSse},
    {"ldrsb x1, [x0]", 0x39800001, kIsv | sas(0) | srt(1) | kSse | kSf},
    {"ldrsh w1, [x0]", 0x79c00001, kIsv | sas(1) | srt(1) | kSse},
    {"ldrsh x1, [x0]", 0x79800001, kIsv | sas(1) | srt(1) | kSse | kSf},
    {"ldrsw x1, [x0]", 0xb9800001, kIsv | sas(2) | srt(1) | kSse | kSf},
    {"ldr xzr, [x0]", 0xf940001f, kIsv | sas(3) | srt(31) | kSf},
    {"ldr w1, [x0, x2]", 0xb8626801, kIsv | sas(2) | srt(1)},
    {"ldr x1, [x0, w2, uxtw #3]", 0xf8625801, kIsv | sas(3) | srt(1) | kSf},
    {"ldur w1, [x0]", 0xb8400001, kIsv | sas(2) | srt(1)},
    {"ldtr w1, [x0]", 0xb8400801, kIsv | sas(2) | srt(1)},
    {"ldar w1, [x0]", 0x88dffc01, kIsv | sas(2) | srt(1) | kAr},
    {"ldar x1, [x0]", 0xc8dffc01, kIsv | sas(3) | srt(1) | kAr | kSf},
    {"ldarb w1, [x0]", 0x08dffc01, kIsv | sas(0) | srt(1) | kAr},
    {"str w1, [x0]", 0xb9000001, kIsv | sas(2) | srt(1) | kWnr},
    {"str x1, [x0]", 0xf9000001, kIsv | sas(3) | srt(1) | kSf | kWnr},
    {"strb w1, [x0]", 0x39000001, kIsv | sas(0) | srt(1) | kWnr},
    {"strh wzr, [x0]", 0x7900001f, kIsv | sas(1) | srt(31) | kWnr},
    {"stur w1, [x0]", 0xb8000001, kIsv | sas(2) | srt(1) | kWnr},
    {"sttr w1, [x0]", 0xb8000801, kIsv | sas(2) | srt(1) | kWnr},
    {"stlr w1, [x0]", 0x889ffc01, kIsv | sas(2) | srt(1) | kAr | kWnr},
    {"stlrb w1, [x0]", 0x089ffc01, kIsv | sas(0) | srt(1) | kAr | kWnr},
    // No syndrome.
    {"str w1, [x0], #4", 0xb8004401, kWnr},
    {"ldr w1, [x0, #0]!", 0xb8400c01, 0},
    {"ldp w1, w2, [x0]", 0x29400801, 0},
    {"stp x1, x2, [x0]", 0xa9000801, kWnr},
    {"ldnp x1, x2, [x0]", 0xa8400801, 0},
    {"ldpsw x1, x2, [x0]", 0x69400801, 0},
    {"ldr s1, [x0]", 0xbd400001, 0},
    {"ldr q1, [x0]", 0x3dc00001, 0},
    {"str d1, [x0]", 0xfd000001, kWnr},
    {"ld1 {v0.16b}, [x0]", 0x4c407000, 0},
    {"st1 {v0.b}[3], [x0]", 0x0d000c00, kWnr},
    {"ldxr w1, [x0]", 0x885f7c01, 0},
    {"ldaxr x1, [x0]", 0xc85ffc01, 0},
    {"ldxp x1, x2, [x0]", 0xc87f0801, 0},
    // Could not be read either: reported as reads.
    {"ldadd w1, w2, [x0]", 0xb8210002, 0},
    {"stadd x1, [x0]", 0xf821001f, 0},
    {"swpal w1, w2, [x0]", 0xb8e18002, 0},
    {"cas w1, w2, [x0]", 0x88a17c02, 0},
    {"casp x2, x3, x4, x5, [x0]", 0x48227c04, 0},
};

class DeviceExit : public testing::TestWithParam<bool> {};

TEST_P(DeviceExit, SyndromeAndAddresses) {
  const bool isv_never = GetParam();
  for (const DeviceRow& row : kDeviceRows) {
    Bench bench(1, isv_never);
    bench.map_page(0x7000'0000, kDevice, kDeviceMemory | kUser);  // LDTR may touch it
    bench.enable_mmu();
    Cpu& cpu = bench.cpu();
    bench.put(kCode, {kNop, row.word, kHvc0});
    // The second time the TLB knows the page.
    for (int time = 0; time < 2; ++time) {
      cpu.r.x[0] = 0x7000'0010;
      cpu.r.x[2] = 0;
      const uint64_t retired = cpu.retired;
      const Exit exit = bench.run();
      ASSERT_EQ(exit.kind, ExitKind::kDataAbort) << row.text;
      const uint32_t iss = isv_never ? row.iss & kWnr : row.iss;
      EXPECT_EQ(exit.esr, kDataAbort | iss | kTranslation1) << row.text << " time " << time;
      EXPECT_EQ(exit.valid_mask, Exit::kEsr | Exit::kFar | Exit::kIpa) << row.text;
      EXPECT_EQ(exit.far, 0x7000'0010) << row.text;
      EXPECT_EQ(exit.ipa, kDevice + 0x10) << row.text;
      EXPECT_EQ(exit.pc, kCode + 4) << row.text;
      EXPECT_EQ(cpu.pc, kCode + 4) << row.text;
      EXPECT_EQ(cpu.r.x[0], 0x7000'0010) << row.text << ": no write-back before completion";
      EXPECT_EQ(cpu.retired, retired + 1) << row.text;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(IsvNever, DeviceExit, testing::Bool());

TEST(EngineExit, CompletionStepsPastTheInstruction) {
  Bench bench;
  bench.enable_mmu();
  bench.put(kCode, {
                       0xb9400001,  // ldr w1, [x0]
                       0x11000421,  // add w1, w1, #1
                       0xd4000002,  // hvc #0
                   });
  bench.cpu().r.x[0] = kDevice;
  const Exit exit = bench.run();
  ASSERT_EQ(exit.kind, ExitKind::kDataAbort);
  bench.cpu().r.x[1] = 41;
  bench.step_past();
  EXPECT_EQ(go(bench.vcpu(), 100).kind, ExitKind::kHvc);
  EXPECT_EQ(bench.cpu().r.x[1], 42);
  EXPECT_EQ(bench.cpu().retired, 3);
}

TEST(EngineExit, PermissionFaultHasNoIpa) {
  Bench bench;
  bench.memory.add(0, 0x10000, false);
  bench.stage2.map(0, 0x10000, bench.memory.host(0, 0x10000), kS2Read | kS2Exec);
  bench.poke<uint64_t>(kTables, 0 | kBlock | kAf);  // Normal at stage 1
  bench.enable_mmu();
  bench.put(kCode, {
                       0xb9400001,  // ldr w1, [x0]
                       0xb9000001,  // str w1, [x0]
                       0xd4000002,  // hvc #0
                   });
  bench.poke<uint32_t>(0x100, 7);
  for (int time = 0; time < 2; ++time) {
    bench.cpu().r.x[0] = 0x100;
    const Exit exit = bench.run();
    ASSERT_EQ(exit.kind, ExitKind::kDataAbort);
    EXPECT_EQ(bench.cpu().r.x[1], 7);
    EXPECT_EQ(exit.esr, kDataAbort | kIsv | sas(2) | srt(1) | kWnr | 0x0f);
    EXPECT_EQ(exit.valid_mask, Exit::kEsr | Exit::kFar);
    EXPECT_EQ(exit.far, 0x100);
  }
}

TEST(EngineExit, ReadModifyWriteOfReadOnlyMemoryIsAWrite) {
  Bench bench;
  bench.memory.add(0, 0x10000, false);
  bench.stage2.map(0, 0x10000, bench.memory.host(0, 0x10000), kS2Read);
  bench.poke<uint64_t>(kTables, 0 | kBlock | kAf);
  bench.enable_mmu();
  bench.put(kCode, {
                       0xb8210002,  // ldadd w1, w2, [x0]
                   });
  for (int time = 0; time < 2; ++time) {
    bench.cpu().r.x[0] = 0x100;
    const Exit exit = bench.run();
    ASSERT_EQ(exit.kind, ExitKind::kDataAbort);
    EXPECT_EQ(exit.esr, kDataAbort | kWnr | 0x0f);
  }
}

TEST(EngineExit, TableWalkFaultIsMarked) {
  Bench bench;
  bench.enable_mmu();
  bench.poke<uint64_t>(kTables + 8 * 3, kDevice | kTable);  // a table where there is no memory
  bench.put(kCode, {
                       0xf9000001,  // str x1, [x0]
                   });
  bench.cpu().r.x[0] = 0xc020'1008;
  const Exit exit = bench.run();
  ASSERT_EQ(exit.kind, ExitKind::kDataAbort);
  EXPECT_EQ(exit.esr & ~uint64_t{kWnr}, kDataAbort | 1 << 7 | kTranslation1);
  EXPECT_EQ(exit.valid_mask, Exit::kEsr | Exit::kFar | Exit::kIpa);
  EXPECT_EQ(exit.ipa & ~kPageMask, kDevice);
  EXPECT_EQ(exit.far, 0xc020'1008);
}

TEST(EngineExit, PageCrossingNamesTheFirstDeviceByte) {
  Bench bench;
  bench.map_page(0x7000'0000, kData, 0);
  bench.map_page(0x7000'0000, kData, kAf);
  bench.map_page(0x7000'1000, kDevice, kAf);  // Normal, so that it may be unaligned
  bench.enable_mmu();
  bench.put(kCode, {
                       0xa9000801,  // stp x1, x2, [x0]
                   });
  bench.cpu().r.x[0] = 0x7000'0ff8;
  bench.cpu().r.x[1] = 0x1122;
  const Exit exit = bench.run();
  ASSERT_EQ(exit.kind, ExitKind::kDataAbort);
  EXPECT_EQ(exit.far, 0x7000'1000);
  EXPECT_EQ(exit.ipa, kDevice);
  EXPECT_EQ(exit.esr, kDataAbort | kWnr | kTranslation1);
  EXPECT_EQ(bench.peek<uint64_t>(kData + 0xff8), 0) << "all or nothing";
}

// --- faults that the guest gets itself -----------------------------------------------------------

struct FaultRow {
  const char* text;
  uint32_t word;
  uint64_t x0;
  uint32_t esr;
  uint64_t far;
};
constexpr uint32_t esr(uint32_t ec, uint32_t iss) { return ec << 26 | 1 << 25 | iss; }

TEST(EngineFault, DataAborts) {
  // 0x70000000: nothing; 0x70001000: read-only; 0x70002000: Device with nothing behind it;
  // 0x70003000: RAM as Device memory; 0x70004000: RAM.
  const FaultRow rows[] = {
      {"ldr x1, [x0]", 0xf9400001, 0x7000'0008, esr(0x25, 0x07), 0x7000'0008},
      {"str x1, [x0]", 0xf9000001, 0x7000'0008, esr(0x25, 0x47), 0x7000'0008},
      {"str x1, [x0]", 0xf9000001, 0x7000'1008, esr(0x25, 0x4f), 0x7000'1008},
      {"ldadd x1, x2, [x0]", 0xf8210002, 0x7000'1008, esr(0x25, 0x4f), 0x7000'1008},
      {"ldadd x1, x2, [x0]", 0xf8210002, 0x7000'0008, esr(0x25, 0x07), 0x7000'0008},
      {"dc zva, x0", 0xd50b7420, 0x7000'1048, esr(0x25, 0x4f), 0x7000'1048},
      // Alignment is checked before stage 2.
      {"ldr w1, [x0]", 0xb9400001, 0x7000'2002, esr(0x25, 0x21), 0x7000'2002},
      {"str x1, [x0]", 0xf9000001, 0x7000'2004, esr(0x25, 0x61), 0x7000'2004},
      {"ldr w1, [x0]", 0xb9400001, 0x7000'3001, esr(0x25, 0x21), 0x7000'3001},
      {"ldp x1, x2, [x0]", 0xa9400801, 0x7000'3004, esr(0x25, 0x21), 0x7000'3004},
      // Exclusives, atomics and ordered accesses are aligned everywhere.
      {"ldxr x1, [x0]", 0xc85f7c01, 0x7000'4004, esr(0x25, 0x21), 0x7000'4004},
      {"ldadd w1, w2, [x0]", 0xb8210002, 0x7000'4002, esr(0x25, 0x21), 0x7000'4002},
      {"ldar x1, [x0]", 0xc8dffc01, 0x7000'4001, esr(0x25, 0x21), 0x7000'4001},
      {"stlr w1, [x0]", 0x889ffc01, 0x7000'4002, esr(0x25, 0x61), 0x7000'4002},
      // The second page is missing.
      {"ldr x1, [x0]", 0xf9400001, 0x7000'4ffc, esr(0x25, 0x07), 0x7000'5000},
      {"stp x1, x2, [x0]", 0xa9000801, 0x7000'4ff4, esr(0x25, 0x47), 0x7000'5000},
  };
  for (const FaultRow& row : rows) {
    Bench bench;
    bench.map_page(0x7000'0000, 0, 0);
    bench.map_page(0x7000'1000, kData, kReadOnly);
    bench.map_page(0x7000'2000, kDevice, kDeviceMemory);
    bench.map_page(0x7000'3000, kData, kDeviceMemory);
    bench.map_page(0x7000'4000, kData, 0);
    bench.map_page(0x7000'4000, kData, kAf);
    bench.map_page(0x7000'5000, 0, 0);
    bench.enable_mmu();
    bench.put(kCode, {row.word, kHvc0});
    bench.cpu().r.x[0] = row.x0;
    const Exit exit = bench.run();
    EXPECT_EQ(vector_of(exit), 0x200) << row.text << std::hex << " at " << row.x0;
    EXPECT_EQ(bench.cpu().sys.elr_el1, kCode) << row.text;
    EXPECT_EQ(bench.cpu().sys.esr_el1, row.esr) << row.text << std::hex << " at " << row.x0;
    EXPECT_EQ(bench.cpu().sys.far_el1, row.far) << row.text << std::hex << " at " << row.x0;
  }
}

TEST(EngineFault, StackPointerAlignment) {
  const struct {
    const char* text;
    uint32_t word;
    bool faults;
  } rows[] = {
      {"ldr x1, [sp]", 0xf94003e1, true},       {"stp x1, x2, [sp, #-16]!", 0xa9bf0be1, true},
      {"ldr x1, [sp], #16", 0xf84107e1, true},  {"ldr q1, [sp, #32]", 0x3dc00be1, true},
      {"ldadd x1, x2, [sp]", 0xf82103e2, true}, {"ldxr x1, [sp]", 0xc85f7fe1, true},
      {"add x1, sp, #8", 0x910023e1, false},    {"prfm pldl1keep, [sp]", 0xf98003e0, false},
      {"ld1 {v0.16b}, [sp]", 0x4c4073e0, true},
  };
  for (bool check : {true, false}) {
    for (const auto& row : rows) {
      Bench bench;
      bench.enable_mmu();
      bench.cpu().sys.el1.sctlr |= check ? 8 : 0;  // SA
      engine_reset(bench.cpu());
      bench.put(kCode, {row.word, kHvc0});
      bench.cpu().r.x[kSlotSp] = kData + 0x108;
      const Exit exit = bench.run();
      if (row.faults && check) {
        EXPECT_EQ(vector_of(exit), 0x200) << row.text;
        EXPECT_EQ(bench.cpu().sys.esr_el1, esr(0x26, 0)) << row.text;
      } else {
        EXPECT_EQ(exit.kind, ExitKind::kHvc) << row.text;
        EXPECT_EQ(vector_of(exit), ~0u) << row.text << " SA " << check;
      }
    }
  }
}

struct ExceptionRow {
  const char* text;
  uint32_t word;
  unsigned el;
  unsigned vector;
  uint32_t esr;
  int64_t elr;  // relative to the instruction
};
TEST(EngineFault, ExceptionGeneration) {
  const ExceptionRow rows[] = {
      {"svc #0x1234", 0xd4024681, 1, 0x200, esr(0x15, 0x1234), 4},
      {"svc #5", 0xd40000a1, 0, 0x400, esr(0x15, 5), 4},
      {"brk #0x800", 0xd4210000, 1, 0x200, esr(0x3c, 0x800), 0},
      {"hvc #1", 0xd4000022, 0, 0x400, esr(0, 0), 0},
      {"smc #0", 0xd4000003, 1, 0x200, esr(0, 0), 0},
      {"hlt #0", 0xd4400000, 1, 0x200, esr(0, 0), 0},
      {"eret", 0xd69f03e0, 0, 0x400, esr(0, 0), 0},
      {"udf #0", 0x00000000, 1, 0x200, esr(0, 0), 0},
      {"sve", 0x04200000, 1, 0x200, esr(0, 0), 0},
      {"blraaz x0 (no FEAT_PAuth)", 0xd63f081f, 1, 0x200, esr(0, 0), 0},
      {"ldapr w1, [x0] (no FEAT_LRCPC)", 0xb8bfc001, 1, 0x200, esr(0, 0), 0},
      {"ldraa x1, [x0] (no FEAT_PAuth)", 0xf8200401, 1, 0x200, esr(0, 0), 0},
      {"stgp (no FEAT_MTE)", 0x69000800, 1, 0x200, esr(0, 0), 0},
      {"sb (no FEAT_SB)", 0xd50330ff, 1, 0x200, esr(0, 0), 0},
      {"setf8 w1 (no FEAT_FlagM)", 0x3a00082d, 1, 0x200, esr(0, 0), 0},
      {"and w0, w0, with N", 0x12400000, 1, 0x200, esr(0, 0), 0},
      {"wfi", 0xd503207f, 0, 0x400, esr(0x01, 0x1e00000), 0},
      {"wfe", 0xd503205f, 0, 0x400, esr(0x01, 0x1e00001), 0},
      {"fadd d0, d0, d0", 0x1e602800, 0, 0x400, esr(0x07, 0x1e00000), 0},
      {"ldr q0, [sp]", 0x3dc003e0, 0, 0x400, esr(0x07, 0x1e00000), 0},
      {"mrs x0, fpcr", 0xd53b4400, 0, 0x400, esr(0x07, 0x1e00000), 0},
      {"mrs x0, cntvct_el0", 0xd53be040, 0, 0x400, esr(0x18, 0x34f801), 0},
      {"dc zva, x0", 0xd50b7420, 0, 0x400, esr(0x18, 0x12dc08), 0},
  };
  for (const ExceptionRow& row : rows) {
    Bench bench(1, false, CpuModel::kBase);
    bench.cpu().sys.el1.sctlr &= ~uint64_t{1 << 16 | 1 << 18 | 1 << 14};
    bench.cpu().sys.cpacr_el1 = row.el == 0 ? 1 << 20 : 3 << 20;
    set_el_and_spsel(bench.cpu(), row.el, row.el);
    engine_reset(bench.cpu());
    bench.put(kCode, {kNop, row.word, kHvc0});
    const Exit exit = bench.run();
    EXPECT_EQ(vector_of(exit), row.vector) << row.text;
    EXPECT_EQ(bench.cpu().sys.esr_el1, row.esr)
        << row.text << std::hex << " got " << bench.cpu().sys.esr_el1;
    EXPECT_EQ(bench.cpu().sys.elr_el1, kCode + 4 + row.elr) << row.text;
  }
}

TEST(EngineFault, InstructionFetch) {
  Bench bench;
  bench.map_page(0x7000'0000, 0, 0);
  bench.map_page(0x7000'1000, kDevice, kAf);
  bench.map_page(0x7000'2000, kCode, kPxn | kAf);
  bench.enable_mmu();
  bench.put(kCode, {
                       0xd61f0000,  // br x0
                   });
  const struct {
    uint64_t target;
    uint32_t esr;
  } rows[] = {
      {0x7000'0010, esr(0x21, 0x07)},
      {0x7000'2010, esr(0x21, 0x0f)},
      {kCode + 0x102, esr(0x22, 0)},
      {0x0100'0000'4008'0000, esr(0x21, 0x04)},
  };
  for (const auto& row : rows) {
    bench.cpu().r.x[0] = row.target;
    EXPECT_EQ(vector_of(bench.run()), 0x200);
    EXPECT_EQ(bench.cpu().sys.esr_el1, row.esr) << std::hex << row.target;
    EXPECT_EQ(bench.cpu().sys.far_el1, row.target);
    EXPECT_EQ(bench.cpu().sys.elr_el1, row.target);
  }
  bench.cpu().r.x[0] = 0x7000'1010;
  const Exit exit = bench.run();
  EXPECT_EQ(exit.kind, ExitKind::kPrefetchAbort);
  EXPECT_EQ(exit.esr, 0x20u << 26 | 1 << 25 | kTranslation1);
  EXPECT_EQ(exit.far, 0x7000'1010);
  EXPECT_EQ(exit.ipa, kDevice + 0x10);
}

TEST(EngineFault, VectorsThatFaultCrash) {
  Bench bench;
  bench.cpu().sys.vbar_el1 = 0x0a00'0000'0000;
  bench.put(kCode, {
                       0xd4000001,  // svc #0
                   });
  const Exit exit = bench.run(~uint64_t{0});
  EXPECT_EQ(exit.kind, ExitKind::kCrashed);
  EXPECT_EQ(bench.cpu().retired, 1);
}

TEST(EngineExit, HvcAndWaitsArePastTheirInstruction) {
  Bench bench;
  bench.put(kCode, {
                       0xd4000842,  // hvc #0x42
                       0xd503207f,  // wfi
                       0xd503205f,  // wfe
                       0xd50320bf,  // sevl
                       0xd503205f,  // wfe
                       0xd4000022,  // hvc #1
                   });
  Exit exit = bench.run();
  EXPECT_EQ(exit.kind, ExitKind::kHvc);
  EXPECT_EQ(exit.esr, 0x16u << 26 | 1 << 25 | 0x42);
  EXPECT_EQ(exit.pc, kCode);
  EXPECT_EQ(bench.cpu().pc, kCode + 4);
  exit = go(bench.vcpu(), 100);
  EXPECT_EQ(exit.kind, ExitKind::kWfi);
  EXPECT_EQ(bench.cpu().pc, kCode + 8);
  exit = go(bench.vcpu(), 100);
  EXPECT_EQ(exit.kind, ExitKind::kWfe);
  EXPECT_EQ(bench.cpu().pc, kCode + 12);
  exit = go(bench.vcpu(), 100);  // SEVL: the second WFE does not wait
  EXPECT_EQ(exit.kind, ExitKind::kHvc);
  EXPECT_EQ(bench.cpu().retired, 6);
  // A masked interrupt is enough for WFI.
  bench.vcpu().set_irq(true);
  bench.put(kCode, {
                       0xd503207f,  // wfi
                       0xd4000042,  // hvc #2
                   });
  EXPECT_EQ(bench.run().kind, ExitKind::kHvc);
}

TEST(EngineExit, WaitsEndASoftwareStep) {
  for (const uint32_t word : {0xd503207fu, 0xd503205fu}) {  // wfi, wfe
    Bench bench;
    bench.put(kCode, {word, 0xd503201f});
    Cpu& cpu = bench.cpu();
    bench.put(kVectors + 0x200, {0xd4000002 | 0x77 << 5});
    cpu.pc = kCode;
    cpu.ps.daif = 0;
    cpu.ps.ss = true;
    cpu.sys.oslar_locked = 0;
    cpu.sys.mdscr_el1 = 1 | 1 << 13;  // SS, KDE
    EXPECT_EQ(go(bench.vcpu(), 100).kind, word == 0xd503207f ? ExitKind::kWfi : ExitKind::kWfe);
    EXPECT_EQ(go(bench.vcpu(), 100).kind, ExitKind::kHvc) << "the step exception's handler";
    EXPECT_EQ(cpu.sys.elr_el1, kCode + 4);
    EXPECT_EQ(cpu.sys.esr_el1, uint64_t{0x33} << 26 | 1 << 25 | 1 << 24 | 0x22);
  }
}

TEST(EngineExit, WfeSeesAnotherCpusStore) {
  Bench bench;
  bench.put(kCode, {
                       0xc85ffc20,  // ldaxr x0, [x1]
                       0xd503205f,  // wfe
                       0xf9000022,  // str x2, [x1]
                       0xd503205f,  // wfe
                       0xd4000042,  // hvc #2
                   });
  bench.cpu().r.x[1] = kData;
  bench.cpu().r.x[2] = 5;
  EXPECT_EQ(bench.run().kind, ExitKind::kWfe);
  EXPECT_FALSE(bench.vcpu().event_pending());
  EXPECT_EQ(go(bench.vcpu(), 100).kind, ExitKind::kHvc) << "whoever stores, the value is another";
  EXPECT_FALSE(bench.cpu().monitor.valid);
}

TEST(EngineExit, KickAnswersAtOnce) {
  Bench bench;
  bench.put(kCode, {
                       0x14000000,  // b .
                   });
  bench.vcpu().kick();
  EXPECT_EQ(bench.run().kind, ExitKind::kKicked);
  EXPECT_EQ(bench.cpu().retired, 0);
  EXPECT_EQ(go(bench.vcpu(), 10).kind, ExitKind::kBudget) << "a kick is used up";
}

}  // namespace
}  // namespace trapline::soft
