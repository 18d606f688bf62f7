// libtrapline through its C interface: each kind of access, each way it can end.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tests/vmm/embed/guest.h"

namespace {

constexpr uint64_t kUart = DEVICE_BASE;

class Embed : public ::testing::Test {
 protected:
  Embed() {
    guest_reset(&g);
    use(guest_ops);
  }
  ~Embed() override {
    tl_vcpu_free(vcpu);
    tl_cache_free(cache);
    tl_gate_free(gate);
  }
  void use(const tl_ops& ops) {
    tl_vcpu_free(vcpu);
    vcpu = tl_vcpu_new(&ops, &g);
    ASSERT_NE(vcpu, nullptr);
  }
  void use_cache(tl_cache_policy policy) {
    cache = tl_cache_new(policy, 6);
    ASSERT_NE(cache, nullptr);
    tl_vcpu_set_cache(vcpu, cache);
  }
  // The word at the PC traps at `far`, which is also the IPA.
  tl_result trap(uint32_t word, uint64_t far, bool write) {
    guest_put_word(&g, g.cpu.pc, word);
    return trap_again(far, write);
  }
  tl_result trap_again(uint64_t far, bool write) {
    const tl_abort abort = guest_abort(far, far, write);
    fault = {};
    return tl_handle_abort(vcpu, &g.cpu, &abort, &fault);
  }
  std::string log() const { return g.log; }

  guest g;
  tl_vcpu* vcpu = nullptr;
  tl_cache* cache = nullptr;
  tl_gate* gate = nullptr;
  tl_fault fault{};
};

// --- what no syndrome describes ------------------------------------------------------------------

struct Case {
  const char* text;
  uint32_t word;
  bool write;
  uint64_t far_offset;  // of the fault, from the device's base
  const char* log;
  int reg;  // that is looked at, and its value; -1: none
  uint64_t value;
  uint64_t base;  // x0 afterwards, from the device's base
};

TEST_F(Embed, EachForm) {
  // x0 = device + 0x20, x1 = 0x1111..., x2 = 0x2222..., x3 = 8; the device holds 0x80, 0x81...
  static const Case kCases[] = {
      {"ldr w1, [x0], #4", 0xb8404401, false, 0x20, "r4@20=a3a2a1a0;", 1, 0xa3a2a1a0, 0x24},
      {"ldr x1, [x0, #8]!", 0xf8408c01, false, 0x28, "r8@28=afaeadacabaaa9a8;", 1,
       0xafaeadacabaaa9a8, 0x28},
      {"ldrsb x1, [x0], #1", 0x38801401, false, 0x20, "r1@20=a0;", 1, 0xffffffffffffffa0, 0x21},
      {"ldrsh w1, [x0], #2", 0x78c02401, false, 0x20, "r2@20=a1a0;", 1, 0xffffa1a0, 0x22},
      {"ldrsw x1, [x0], #4", 0xb8804401, false, 0x20, "r4@20=a3a2a1a0;", 1, 0xffffffffa3a2a1a0,
       0x24},
      {"ldp w1, w2, [x0]", 0x29400801, false, 0x20, "r4@20=a3a2a1a0;r4@24=a7a6a5a4;", 2, 0xa7a6a5a4,
       0x20},
      {"stp x1, x2, [x0], #16", 0xa8810801, true, 0x20,
       "w8@20=1111111111111111;w8@28=2222222222222222;", -1, 0, 0x30},
      {"str wzr, [x0], #4", 0xb800441f, true, 0x20, "w4@20=0;", -1, 0, 0x24},
      {"ldr xzr, [x0], #8", 0xf840841f, false, 0x20, "r8@20=a7a6a5a4a3a2a1a0;", 31, 0x7770, 0x28},
      {"ldr x1, [x0, x3]", 0xf8636801, false, 0x28, "r8@28=afaeadacabaaa9a8;", 1,
       0xafaeadacabaaa9a8, 0x20},
      {"ldadd w3, w1, [x0]", 0xb8230001, true, 0x20, "r4@20=a3a2a1a0;w4@20=a3a2a1a8;", 1,
       0xa3a2a1a0, 0x20},
      {"swp x2, x1, [x0]", 0xf8228001, true, 0x20, "r8@20=a7a6a5a4a3a2a1a0;w8@20=2222222222222222;",
       1, 0xa7a6a5a4a3a2a1a0, 0x20},
      {"cas w3, w2, [x0]", 0x88a37c02, true, 0x20, "r4@20=a3a2a1a0;", 3, 0xa3a2a1a0, 0x20},
      {"ldxr w1, [x0]", 0x885f7c01, false, 0x20, "r4@20=a3a2a1a0;", 1, 0xa3a2a1a0, 0x20},
      {"str w1, [x0, #2]!", 0xb8002c01, true, 0x22, "w4@22=11111111;", -1, 0, 0x22},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.text);
    guest_reset(&g);
    g.cpu.sctlr = 1;  // stage 1 is on; every page is Normal memory to translate()
    tl_ops ops = guest_ops;
    ops.translate = [](void*, const tl_cpu*, uint64_t va, tl_direction, int, tl_translation* to) {
      to->ipa = va;
      return TL_DONE;
    };
    use(ops);
    for (unsigned i = 0; i < 256; ++i) g.device[i] = static_cast<uint8_t>(0x80 + i);
    g.x[0] = kUart + 0x20;
    g.x[1] = 0x1111111111111111;
    g.x[2] = 0x2222222222222222;
    g.x[3] = 8;
    g.x[31] = 0x7770;
    const tl_result result = trap(c.word, kUart + c.far_offset, c.write);
    EXPECT_EQ(result, std::strncmp(c.text, "ldxr", 4) == 0 ? TL_DONE_EXCLUSIVE : TL_DONE);
    EXPECT_EQ(log(), c.log);
    if (c.reg >= 0) {
      EXPECT_EQ(g.x[c.reg], c.value);
    }
    EXPECT_EQ(g.x[0], kUart + c.base);
    EXPECT_EQ(g.cpu.pc, RAM_BASE + 4);
  }
}

TEST_F(Embed, VectorRegisters) {
  for (unsigned i = 0; i < 64; ++i) g.device[i] = static_cast<uint8_t>(i);
  g.x[0] = kUart;
  EXPECT_EQ(trap(0x3cc10402, kUart, false), TL_DONE);  // ldr q2, [x0], #16
  EXPECT_EQ(log(), "r8@0=706050403020100;r8@8=f0e0d0c0b0a0908;");
  EXPECT_EQ(g.v[2][0], 0x0706050403020100u);
  EXPECT_EQ(g.v[2][1], 0x0f0e0d0c0b0a0908u);
  EXPECT_EQ(g.vreg_reads, 0u);
  EXPECT_EQ(g.vreg_writes, 1u);
  // ld1 {v2.s}[1], [x0]: the other lanes stay
  EXPECT_EQ(trap(0x0d409002, kUart + 16, false), TL_DONE);
  EXPECT_EQ(g.v[2][0], 0x1312111003020100u);
  EXPECT_EQ(g.v[2][1], 0x0f0e0d0c0b0a0908u);
  EXPECT_EQ(g.vreg_reads, 1u);

  tl_ops ops = guest_ops;
  ops.read_vreg = nullptr;
  use(ops);
  EXPECT_EQ(trap(0x3cc10402, g.x[0], false), TL_NOT_EMULATED);
}

// --- with a syndrome -----------------------------------------------------------------------------

TEST_F(Embed, SyndromeDescribes) {
  g.device[0x10] = 0x80;
  tl_abort abort = guest_abort(kUart + 0x10, kUart + 0x10, false);
  abort.esr |= 1u << 24 | 1u << 21 | 1u << 15 | 5u << 16;  // ldrsb x5
  EXPECT_EQ(tl_handle_abort(vcpu, &g.cpu, &abort, &fault), TL_DONE);
  EXPECT_EQ(g.x[5], 0xffffffffffffff80u);
  EXPECT_EQ(g.cpu.pc, RAM_BASE + 4);

  abort = guest_abort(kUart + 0x10, kUart + 0x10, true);
  abort.esr |= 1u << 24 | 2u << 22 | 31u << 16;  // str wzr
  g.x[31] = 0x1234;
  g.log[0] = 0;
  EXPECT_EQ(tl_handle_abort(vcpu, &g.cpu, &abort, &fault), TL_DONE);
  EXPECT_EQ(log(), "w4@10=0;");
}

TEST_F(Embed, CacheMaintenanceAndTables) {
  tl_abort abort = guest_abort(kUart, kUart, true);
  abort.esr |= 1u << 8;
  EXPECT_EQ(tl_handle_abort(vcpu, &g.cpu, &abort, &fault), TL_DONE);
  EXPECT_EQ(g.cpu.pc, RAM_BASE + 4);
  abort = guest_abort(0x1234, kUart, false);
  abort.esr |= 1u << 7;
  EXPECT_EQ(tl_handle_abort(vcpu, &g.cpu, &abort, &fault), TL_FAULT);
  EXPECT_EQ(fault.esr, 0x96000017u);  // same EL, external abort on a walk, level 3
  EXPECT_EQ(fault.far, 0x1234u);
  EXPECT_EQ(log(), "");
}

// KVM tells neither FAR nor a class: WnR, DFSC and the IPA.
TEST_F(Embed, WithoutFar) {
  g.x[0] = kUart + 0x40;
  g.x[1] = 7;
  guest_put_word(&g, RAM_BASE, 0xb8004401);  // str w1, [x0], #4
  tl_abort abort{};
  abort.esr = 0x47;
  abort.ipa = kUart + 0x40;
  abort.valid = TL_ABORT_IPA;
  EXPECT_EQ(tl_handle_abort(vcpu, &g.cpu, &abort, &fault), TL_DONE);
  EXPECT_EQ(log(), "w4@40=7;");
  // Another page than the registers say: not what trapped.
  g.cpu.pc = RAM_BASE;
  abort.ipa = kUart + 0x3000;
  EXPECT_EQ(tl_handle_abort(vcpu, &g.cpu, &abort, &fault), TL_RETRY);
  EXPECT_EQ(log(), "w4@40=7;");
}

// --- faults --------------------------------------------------------------------------------------

TEST_F(Embed, DeviceRefuses) {
  g.refuse = 1;
  g.x[0] = kUart;
  EXPECT_EQ(trap(0xb8404401, kUart, false), TL_FAULT);
  EXPECT_EQ(fault.esr, 0x96000010u);
  EXPECT_EQ(fault.far, kUart);
  EXPECT_EQ(g.x[0], kUart);
  EXPECT_EQ(g.cpu.pc, RAM_BASE);
  g.cpu.pstate = 0x3c0;  // EL0
  EXPECT_EQ(trap(0xb8004401, kUart, true), TL_FAULT);
  EXPECT_EQ(fault.esr, 0x92000050u);
}

// All or nothing: the second element is asked about before the first is performed.
TEST_F(Embed, AcceptsComesFirst) {
  tl_ops ops = guest_ops;
  ops.accepts = [](void*, uint64_t ipa, unsigned, int) { return ipa == kUart + 8 ? 0 : 1; };
  use(ops);
  g.x[0] = kUart;
  EXPECT_EQ(trap(0xa9400801, kUart, false), TL_FAULT);  // ldp x1, x2, [x0]
  EXPECT_EQ(log(), "");
  EXPECT_EQ(fault.far, kUart + 8);
}

TEST_F(Embed, Misaligned) {
  g.x[0] = kUart + 1;
  EXPECT_EQ(trap(0x885f7c01, kUart + 1, false), TL_FAULT);  // ldxr
  EXPECT_EQ(fault.esr & 0x3f, 0x21u);
}

TEST_F(Embed, RegistersFail) {
  g.fail = 1;
  EXPECT_EQ(trap(0xb8404401, kUart, false), TL_FAILED);
  EXPECT_EQ(log(), "");
}

TEST_F(Embed, NotEmulated) {
  g.x[0] = kUart;
  EXPECT_EQ(trap(0xa5e04000, kUart, false), TL_NOT_EMULATED);  // SVE ld1d
  EXPECT_EQ(trap(0xd503201f, kUart, false), TL_RETRY);         // nop: not what trapped
  g.cpu.pstate |= 1 << 4;                                      // AArch32
  EXPECT_EQ(trap(0xb8404401, kUart, false), TL_NOT_EMULATED);
}

TEST_F(Embed, BadArguments) {
  const tl_abort abort = guest_abort(kUart, kUart, false);
  EXPECT_EQ(tl_handle_abort(nullptr, &g.cpu, &abort, &fault), TL_BAD_ARGUMENT);
  EXPECT_EQ(tl_handle_abort(vcpu, nullptr, &abort, &fault), TL_BAD_ARGUMENT);
  tl_abort other = abort;
  other.esr = 0x5a000000;  // HVC
  EXPECT_EQ(tl_handle_abort(vcpu, &g.cpu, &other, &fault), TL_BAD_ARGUMENT);
  tl_access access{};
  EXPECT_EQ(tl_emulate(vcpu, &g.cpu, &access, &fault), TL_BAD_ARGUMENT);
  alignas(64) char little[64];
  EXPECT_EQ(tl_vcpu_init(little, sizeof little, &guest_ops, &g), nullptr);
  EXPECT_EQ(tl_cache_init(little, sizeof little, TL_CACHE_REWALK, 10), nullptr);
  EXPECT_EQ(tl_gate_init(little, sizeof little), nullptr);
  EXPECT_EQ(tl_cache_size(static_cast<tl_cache_policy>(0), 10), 0u);
  tl_ops ops = guest_ops;
  ops.mmio_write = nullptr;
  EXPECT_EQ(tl_vcpu_new(&ops, &g), nullptr);
  ops = guest_ops;
  ops.size = 8;
  EXPECT_EQ(tl_vcpu_new(&ops, &g), nullptr);
}

// --- memory and device in one access -------------------------------------------------------------

TEST_F(Embed, FromMemoryIntoADevice) {
  // The device follows the page of memory.
  tl_ops ops = guest_ops;
  ops.translate = [](void*, const tl_cpu*, uint64_t va, tl_direction, int, tl_translation* to) {
    to->ipa = va < 0x2000 ? RAM_BASE + va : va < 0x3000 ? kUart + (va - 0x2000) : RAM_BASE + 0x1000;
    return TL_DONE;
  };
  use(ops);
  g.cpu.pc = 0;
  guest_put_word(&g, RAM_BASE, 0xf8008401);  // str x1, [x0], #8
  g.x[0] = 0x1ffc;
  g.x[1] = 0x8877665544332211;
  tl_abort abort = guest_abort(0x2000, kUart, true);
  EXPECT_EQ(tl_handle_abort(vcpu, &g.cpu, &abort, &fault), TL_DONE);
  EXPECT_EQ(log(), "w4@0=88776655;");
  EXPECT_EQ(g.ram[0x1ff8 / 8] >> 32, 0x44332211u);
  EXPECT_EQ(g.ram_writes, 1u);
  EXPECT_EQ(g.x[0], 0x2004u);
}

TEST_F(Embed, MemoryAlone) {
  tl_access access;
  ASSERT_EQ(tl_decode(0xf8008401, &access), TL_OK);
  g.x[0] = RAM_BASE + 0x100;
  g.x[1] = 42;
  EXPECT_EQ(tl_emulate(vcpu, &g.cpu, &access, &fault), TL_DONE);
  EXPECT_EQ(g.ram[0x20], 42u);
}

// FEAT_MOPS: SETP, SETM, SETE of 100 bytes, chunk by chunk.
TEST_F(Embed, MemorySet) {
  tl_ops ops = guest_ops;
  ops.translate = [](void*, const tl_cpu*, uint64_t va, tl_direction, int, tl_translation* to) {
    to->ipa = va;
    return TL_DONE;
  };
  use(ops);
  g.x[0] = RAM_BASE + 0x1001;
  g.x[1] = 100;
  g.x[2] = 0x5a;
  unsigned rounds = 0;
  for (const uint32_t word : {0x19c20420u, 0x19c24420u, 0x19c28420u}) {  // setp, setm, sete
    tl_access access;
    ASSERT_EQ(tl_decode(word, &access), TL_OK) << std::hex << word;
    tl_result result;
    do {
      result = tl_emulate(vcpu, &g.cpu, &access, &fault);
      ASSERT_LT(++rounds, 10u);
    } while (result == TL_PROGRESS);
    ASSERT_EQ(result, TL_DONE);
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(g.ram);
  EXPECT_EQ(bytes[0x1000], 0);
  EXPECT_EQ(bytes[0x1001], 0x5a);
  EXPECT_EQ(bytes[0x1001 + 99], 0x5a);
  EXPECT_EQ(bytes[0x1001 + 100], 0);
  EXPECT_EQ(g.cpu.pc, RAM_BASE + 12);
}

// --- the stepper ---------------------------------------------------------------------------------

class Step : public Embed {
 protected:
  // At the load-exclusive of a loop; the words follow it.
  void begin(std::vector<uint32_t> words) {
    g.x[0] = kUart + 8;
    g.device[8] = 41;
    guest_put_word(&g, RAM_BASE, 0x885f7c01);  // ldxr w1, [x0]
    for (size_t i = 0; i < words.size(); ++i) guest_put_word(&g, RAM_BASE + 4 + 4 * i, words[i]);
    ASSERT_EQ(trap_again(kUart + 8, false), TL_DONE_EXCLUSIVE);
  }
};

TEST_F(Step, ToTheStoreExclusive) {
  begin({0x11000421, 0x88027c01, 0x35ffffa2});  // add w1, w1, #1; stxr w2, w1, [x0]; cbnz w2, loop
  unsigned steps;
  EXPECT_EQ(tl_step(vcpu, &g.cpu, 0, &steps, &fault), TL_DONE);
  EXPECT_EQ(steps, 2u);
  EXPECT_EQ(g.cpu.pc, RAM_BASE + 12);
  EXPECT_EQ(g.x[2], 0u);
  EXPECT_EQ(log(), "r4@8=29;w4@8=2a;");
}

// Flags, a branch over, a load and a store of memory on the way; NZCV comes out.
TEST_F(Step, WithMemoryOnTheWay) {
  g.x[5] = RAM_BASE + 0x800;
  begin({0x7100a43f,    // cmp w1, #41
         0x54000041,    // b.ne over
         0xf94000a6,    // ldr x6, [x5]
         0x910004c6,    // add x6, x6, #1      over: lies here
         0xf90000a6,    // str x6, [x5]
         0x88027c06});  // stxr w2, w6, [x0]
  g.ram[0x100] = 6;
  EXPECT_EQ(tl_step(vcpu, &g.cpu, 0, nullptr, &fault), TL_DONE);
  EXPECT_EQ(log(), "r4@8=29;w4@8=7;");
  EXPECT_EQ(g.ram[0x100], 7u);
  EXPECT_EQ(g.cpu.pstate & 0xf0000000, 0x60000000u);
}

TEST_F(Step, ClrexEnds) {
  begin({0x7100003f, 0xd5033f5f, 0x88027c01});  // cmp; clrex; stxr
  EXPECT_EQ(tl_step(vcpu, &g.cpu, 0, nullptr, &fault), TL_DONE);
  EXPECT_EQ(g.cpu.pc, RAM_BASE + 12);
  EXPECT_EQ(log(), "r4@8=29;");
}

TEST_F(Step, Beyond) {
  unsigned steps;
  begin({0x11000421, 0xd4000001});  // add; svc
  EXPECT_EQ(tl_step(vcpu, &g.cpu, 0, &steps, &fault), TL_BEYOND);
  EXPECT_EQ(steps, 1u);
  EXPECT_EQ(g.cpu.pc, RAM_BASE + 8);
  EXPECT_EQ(g.x[1], 42u);

  guest_reset(&g);
  begin({0x14000000});  // b .
  EXPECT_EQ(tl_step(vcpu, &g.cpu, 0, &steps, &fault), TL_BEYOND);
  EXPECT_EQ(steps, 64u);
  EXPECT_EQ(tl_step(vcpu, &g.cpu, 5, &steps, &fault), TL_BEYOND);
  EXPECT_EQ(steps, 5u);
}

TEST_F(Step, AFaultOnTheWay) {
  begin({0xf94000a6, 0x88027c01});  // ldr x6, [x5]: nothing there
  g.x[5] = 0x1000;
  EXPECT_EQ(tl_step(vcpu, &g.cpu, 0, nullptr, &fault), TL_FAULT);
  EXPECT_EQ(g.cpu.pc, RAM_BASE + 4);
  EXPECT_EQ(fault.far, 0x1000u);
  EXPECT_EQ(fault.esr & 0x3f, 0x10u);
}

// Another vCPU's emulated store comes between: with a gate the store-exclusive fails.
TEST_F(Step, OfTwoVcpus) {
  gate = tl_gate_new();
  tl_vcpu_set_gate(vcpu, gate, 0);
  tl_vcpu* second = tl_vcpu_new(&guest_ops, &g);
  tl_vcpu_set_gate(second, gate, 1);
  begin({0x88027c01});
  tl_access store;
  ASSERT_EQ(tl_decode(0xb9000803, &store), TL_OK);  // str w3, [x0, #8]
  tl_cpu other = g.cpu;
  EXPECT_EQ(tl_emulate(second, &other, &store, &fault), TL_DONE);
  EXPECT_EQ(tl_step(vcpu, &g.cpu, 0, nullptr, &fault), TL_DONE);
  EXPECT_EQ(g.x[2], 1u);
  tl_vcpu_free(second);
}

// --- stage 1 -------------------------------------------------------------------------------------

struct Granule {
  unsigned log2;
  uint64_t tg0, tg1;
};

// Tables of one page each at RAM_BASE + 0x4000..., leading a VA of either half to the device.
TEST_F(Embed, WalksEachGranuleAndHalf) {
  static constexpr Granule kGranules[] = {{12, 0, 2}, {14, 2, 1}};
  for (const Granule& granule : kGranules) {
    for (const bool upper : {false, true}) {
      SCOPED_TRACE(testing::Message()
                   << "granule " << granule.log2 << (upper ? " upper" : " lower"));
      guest_reset(&g);
      const unsigned stride = granule.log2 - 3;
      const uint64_t va = (upper ? 0xffff000000000000u : 0) | uint64_t{0x1234} << granule.log2;
      constexpr unsigned kTsz = 64 - 39;
      const unsigned bits = 39, levels = (bits - granule.log2 + stride - 1) / stride;
      g.cpu.sctlr = 1;
      g.cpu.tcr =
          kTsz | uint64_t{kTsz} << 16 | granule.tg0 << 14 | granule.tg1 << 30 | uint64_t{5} << 32;
      const uint64_t top = (upper ? ~uint64_t{0} << bits : 0) | (va & ((uint64_t{1} << bits) - 1));
      // The tables are as large as a page, and the memory is as small as four of 16 KiB: they may
      // share, as long as the entries differ.
      uint64_t table = RAM_BASE;
      (upper ? g.cpu.ttbr1 : g.cpu.ttbr0) = table;
      for (unsigned level = 4 - levels; level <= 3; ++level) {
        const unsigned shift = granule.log2 + (3 - level) * stride;
        const uint64_t inside = top & ((uint64_t{1} << bits) - 1);
        const uint64_t index = inside >> shift & ((uint64_t{1} << stride) - 1);
        const uint64_t next =
            level == 3 ? kUart : RAM_BASE + ((level - (4 - levels) + 1) << granule.log2) % RAM_SIZE;
        g.ram[(table - RAM_BASE) / 8 + index] = next | 3 | 1 << 10;
        table = next;
      }
      tl_translation to;
      EXPECT_EQ(tl_walk(vcpu, &g.cpu, top + 0x123, TL_READ, 0, &to), TL_DONE);
      EXPECT_EQ(to.ipa, kUart + 0x123);
      EXPECT_EQ(tl_walk(vcpu, &g.cpu, top ^ uint64_t{1} << 38, TL_READ, 0, &to), TL_FAULT);
      EXPECT_EQ(to.fsc & 0x3c, 0x04);
    }
  }
}

// --- the cache -----------------------------------------------------------------------------------

TEST_F(Embed, RewalkIsKeyedByWord) {
  use_cache(TL_CACHE_REWALK);
  g.x[0] = kUart;
  EXPECT_EQ(trap(0xb8404401, kUart, false), TL_DONE);
  EXPECT_EQ(trap(0xb8404401, kUart + 4, false), TL_DONE);
  tl_cache_counters counters;
  tl_cache_count(cache, &counters);
  EXPECT_EQ(counters.hits, 1u);
  EXPECT_EQ(counters.misses, 1u);
}

TEST_F(Embed, ProtectHearsOfWrites) {
  static std::vector<uint64_t> watched;
  watched.clear();
  tl_ops ops = guest_ops;
  ops.watch = [](void*, uint64_t page) {
    watched.push_back(page);
    return 0;
  };
  use(ops);
  use_cache(TL_CACHE_PROTECT);
  g.x[0] = kUart;
  const uint64_t pc = g.cpu.pc;
  EXPECT_EQ(trap(0xb8404401, kUart, false), TL_DONE);
  EXPECT_EQ(watched, std::vector<uint64_t>{RAM_BASE});
  g.cpu.pc = pc;
  EXPECT_EQ(trap_again(kUart + 4, false), TL_DONE);
  tl_cache_counters counters;
  tl_cache_count(cache, &counters);
  EXPECT_EQ(counters.hits, 1u);
  EXPECT_EQ(tl_cache_invalidate(cache, RAM_BASE + 0x10, 4), 1u);
  g.cpu.pc = pc;
  EXPECT_EQ(trap(0xb8004401, kUart + 8, true), TL_DONE);
  EXPECT_EQ(log(), "r4@0=0;r4@4=0;w4@8=0;");
}

// An entry of another guest, or of other tables, is another entry.
TEST_F(Embed, ContextIsPartOfTheKey) {
  use_cache(TL_CACHE_RECHECK);
  g.x[0] = kUart;
  const uint64_t pc = g.cpu.pc;
  EXPECT_EQ(trap(0xb8404401, kUart, false), TL_DONE);
  g.cpu.vmid = 9;
  g.cpu.pc = pc;
  EXPECT_EQ(trap_again(kUart + 4, false), TL_DONE);
  tl_cache_counters counters;
  tl_cache_count(cache, &counters);
  EXPECT_EQ(counters.hits, 0u);
  EXPECT_EQ(counters.inserts, 2u);
}

TEST(EmbedTexts, NeverNull) {
  for (int i = -1; i < 12; ++i) {
    const auto result = static_cast<tl_result>(i < 0 ? 15 : i);
    EXPECT_GT(std::strlen(tl_result_text(result)), 3u);
  }
}

}  // namespace
