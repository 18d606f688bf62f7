// The regimes of EL2, a hypervisor's stage 2, and both stages together, as tables.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "vmm/memory/memory_type.h"
#include "vmm/memory/nested_walk_inl.h"

namespace trapline {
namespace {

using S2Status = GuestStage2Walk::Status;
using Status = NestedWalk::Status;

constexpr uint64_t kAf = 1 << 10;
constexpr uint64_t kPage = 3, kBlock = 1, kTable = 3;
constexpr uint64_t kRead = 1 << 6, kWrite = 1 << 7;  // S2AP
constexpr uint64_t kXn = uint64_t{1} << 54, kBit53 = uint64_t{1} << 53;
constexpr uint64_t kReadOnly = 1 << 7, kUser = 1 << 6;  // AP of stage 1
constexpr uint64_t mem_attr(unsigned bits) { return uint64_t{bits} << 2; }
constexpr uint64_t kS2Normal = mem_attr(15) | kAf;
constexpr uint64_t kS2All = kS2Normal | kRead | kWrite;

constexpr uint64_t vtcr(unsigned t0sz, unsigned sl0, unsigned tg0, unsigned ps) {
  return uint64_t{1} << 31 | uint64_t{ps} << 16 | uint64_t{tg0} << 14 | uint64_t{sl0} << 6 | t0sz;
}
constexpr uint64_t kS2Root = 0x5000'0000;  // aligned for 16 concatenated tables of 64 KiB

// Stage 1 with 4 KiB pages and 48-bit addresses in the inner guest's IPAs, stage 2 as told. The
// inner guest's memory is found at kOffset above its address.
struct Machine {
  static constexpr uint64_t kOffset = 0x10'0000'0000;
  static constexpr uint64_t kS1Root = 0x4000'0000;
  std::map<uint64_t, uint64_t> memory;  // descriptors; absent: Trapline's stage 2 refuses
  TranslationRegs regs;
  unsigned tables = 0;

  Machine() {
    regs.sctlr = kSctlrM;
    regs.tcr = 16 | 16 << 16 | uint64_t{2} << 30 | uint64_t{2} << 32;
    regs.ttbr0 = kS1Root;
    regs.mair = 0xff00;  // 0 Device-nGnRnE, 1 Normal
    regs.vttbr = kS2Root;
    regs.vtcr = vtcr(24, 1, 0, 2);
    regs.guest_stage2 = kGuestStage2On;
  }

  bool read(uint64_t ipa, uint64_t& descriptor) const {
    const auto it = memory.find(ipa);
    if (it == memory.end()) return false;
    descriptor = it->second;
    return true;
  }
  GuestStage2Walk walk2(uint64_t ipa) const {
    return walk_guest_stage2(regs, ipa, [this](uint64_t at, uint64_t& d) { return read(at, d); });
  }
  NestedWalk walk(uint64_t va, WalkFor purpose = WalkFor::kRead, bool el0 = false,
                  bool check_stage2 = true) const {
    auto reader = [this](uint64_t at, uint64_t& d) { return read(at, d); };
    return walk_nested(regs, va, purpose, el0, reader, check_stage2);
  }

  // Tables of stage 2 along `ipa` down to `leaf_level`.
  void map2(uint64_t ipa, unsigned leaf_level, uint64_t leaf) {
    const GuestStage2Shape shape = guest_stage2_shape(regs.vtcr);
    const unsigned granule = shape.granule_log2, stride = granule - 3;
    uint64_t table = regs.vttbr & 0x0000'ffff'ffff'fffe;
    unsigned index_bits = shape.input_bits - (granule + (3 - shape.start_level) * stride);
    for (unsigned level = shape.start_level;; ++level, index_bits = stride) {
      const unsigned shift = granule + (3 - level) * stride;
      const uint64_t entry = table + (ipa >> shift & ((uint64_t{1} << index_bits) - 1)) * 8;
      if (level == leaf_level) {
        memory[entry] = leaf;
        return;
      }
      uint64_t& next = memory[entry];
      if (next == 0) next = (0x6000'0000 + 0x1'0000 * ++tables) | kTable;
      table = next & 0x0000'ffff'ffff'f000;
    }
  }
  // A page of the inner guest where it belongs.
  void map2_page(uint64_t ipa, uint64_t bits = kS2All) {
    const uint64_t page = ipa & ~uint64_t{0xfff};
    map2(page, 3, (page + kOffset) | bits | kPage);
  }
  // Stage 1: `va` -> `leaf` at level 3; its tables are written where stage 2 has them, and mapped.
  void map1(uint64_t va, uint64_t leaf, uint64_t table_bits = kS2All) {
    uint64_t table = kS1Root;
    for (unsigned level = 0;; ++level) {
      map2_page(table, table_bits);
      const uint64_t entry = table + (va >> (39 - 9 * level) & 511) * 8;
      if (level == 3) {
        memory[entry + kOffset] = leaf | kPage;
        return;
      }
      table += 0x1000;
      memory[entry + kOffset] = table | kTable;
    }
  }
};

std::string rights(bool r, bool w, bool x) {
  return std::string(r ? "r" : "-") + (w ? "w" : "-") + (x ? "x" : "-");
}

// --- the EL2 regime ----------------------------------------------------------------------------

// D8.4.1, one range: AP[2] and XN alone count, AP[1] and bit 53 do not, PAN is not there.
TEST(El2Regime, PermissionMatrix) {
  for (unsigned bits = 0; bits < 64; ++bits) {
    const bool user = bits & 1, ro = bits & 2, xn = bits & 4, pxn = bits & 8, wxn = bits & 16;
    Machine m;
    m.regs.regime = Regime::kEl2;
    m.regs.el = 2;
    m.regs.guest_stage2 = 0;
    m.regs.pan = bits & 32;
    m.regs.tcr = tcr_of_el2(16 | 2 << 16);
    if (wxn) m.regs.sctlr |= kSctlrWxn;
    constexpr uint64_t kVa = 0x1234'5000;
    uint64_t table = Machine::kS1Root;
    for (unsigned level = 0; level < 3; ++level, table += 0x1000) {
      m.memory[table + (kVa >> (39 - 9 * level) & 511) * 8] = (table + 0x1000) | kTable;
    }
    m.memory[table + (kVa >> 12 & 511) * 8] = 0x8000'0000 | kPage | kAf | mem_attr(1) |
                                              (user ? kUser : 0) | (ro ? kReadOnly : 0) |
                                              (xn ? kXn : 0) | (pxn ? kBit53 : 0);
    const std::string expected = rights(true, !ro, !xn && !(wxn && !ro));
    for (const WalkFor purpose : {WalkFor::kRead, WalkFor::kWrite, WalkFor::kFetch}) {
      const NestedWalk walk = m.walk(kVa, purpose);
      const char need = purpose == WalkFor::kRead ? 'r' : purpose == WalkFor::kWrite ? 'w' : 'x';
      EXPECT_EQ(rights(walk.stage1.readable, walk.stage1.writable, walk.stage1.executable),
                expected)
          << bits;
      const bool allowed = expected.find(need) != std::string::npos;
      EXPECT_EQ(walk.status, allowed ? Status::kOk : Status::kStage1Fault) << bits;
      EXPECT_EQ(walk.fsc, allowed ? 0 : kFscPermission | 3) << bits;
    }
  }
}

TEST(El2Regime, TcrAsOneRange) {
  constexpr uint64_t kTbi = 1 << 20;
  struct Row {
    const char* name;
    uint64_t tcr_el2, va;
    unsigned fsc;  // kFscExternalOnWalk: past the first check, and no table is there
  } constexpr kRows[] = {
      {"in range", 25 | 2 << 16, 0x7f'ffff'f000, kFscExternalOnWalk | 1},
      {"beyond T0SZ", 25 | 2 << 16, 0x80'0000'0000, kFscTranslation},
      {"the upper half is none", 25 | 2 << 16, 0xffff'ffff'ffff'f000, kFscTranslation},
      {"tag without TBI", 25 | 2 << 16, 0xab00'0000'0000'1000, kFscTranslation},
      {"tag with TBI", 25 | 2 << 16 | kTbi, 0xab00'0000'0000'1000, kFscExternalOnWalk | 1},
      {"bit 55 is no tag", 25 | 2 << 16 | kTbi, 0xab80'0000'0000'1000, kFscTranslation},
      {"TTBR beyond PS", 25 | 0 << 16, 0x1000, kFscAddressSize},
  };
  for (const Row& row : kRows) {
    Machine m;
    m.regs.regime = Regime::kEl2;
    m.regs.guest_stage2 = 0;
    m.regs.tcr = tcr_of_el2(row.tcr_el2);
    m.regs.ttbr0 = uint64_t{1} << 36;
    const NestedWalk walk = m.walk(row.va);
    EXPECT_EQ(walk.status,
              row.fsc >= kFscExternalOnWalk ? Status::kTableFault : Status::kStage1Fault)
        << row.name;
    EXPECT_EQ(walk.fsc, row.fsc) << row.name;
  }
  TranslationRegs regs;
  regs.regime = Regime::kEl2;
  regs.tcr = tcr_of_el2(25 | kTbi);
  EXPECT_EQ(strip_tag(regs, 0xab80'0000'0000'1000), 0x80'0000'0000'1000u);
  regs.regime = Regime::kEl20;
  EXPECT_EQ(strip_tag(regs, 0xab80'0000'0000'1000), 0xff80'0000'0000'1000u);
}

// --- stage 2 alone -----------------------------------------------------------------------------

TEST(GuestStage2, Shapes) {
  struct Row {
    const char* name;
    unsigned t0sz, sl0, tg0;
    bool valid;
    unsigned start_level;
  } constexpr kRows[] = {
      // 4 KiB: SL0 0, 1, 2 are levels 2, 1, 0.
      {"4K, 40 bits, two tables", 24, 1, 0, true, 1},
      {"4K, 39 bits", 25, 1, 0, true, 1},
      {"4K, 34 bits at level 2, 16 tables", 30, 0, 0, true, 2},
      {"4K, 35 bits at level 2", 29, 0, 0, false, 0},
      {"4K, 31 bits at level 1", 33, 1, 0, true, 1},
      {"4K, 30 bits at level 1", 34, 1, 0, false, 0},
      {"4K, 25 bits at level 2", 39, 0, 0, true, 2},
      {"4K, 24 bits", 40, 0, 0, false, 0},
      {"4K, level 0", 24, 2, 0, false, 0},
      {"4K, SL0 3", 24, 3, 0, false, 0},
      {"4K, 41 bits", 23, 1, 0, false, 0},
      {"4K, T0SZ 0", 0, 1, 0, false, 0},
      {"4K, TG0 reserved", 24, 1, 3, true, 1},
      // 16 KiB: levels 3, 2, 1.
      {"16K, 40 bits at level 2, 16 tables", 24, 1, 2, true, 2},
      {"16K, 29 bits at level 3, 16 tables", 35, 0, 2, true, 3},
      {"16K, 30 bits at level 3", 34, 0, 2, false, 0},
      {"16K, level 1 needs 42 bits", 24, 2, 2, false, 0},
      // 64 KiB: levels 3, 2, 1.
      {"64K, 40 bits", 24, 1, 1, true, 2},
      {"64K, 33 bits at level 3, 16 tables", 31, 0, 1, true, 3},
      {"64K, 29 bits at level 2", 35, 1, 1, false, 0},
      {"64K, level 1 needs 44 bits", 24, 2, 1, false, 0},
  };
  for (const Row& row : kRows) {
    Machine m;
    m.regs.vtcr = vtcr(row.t0sz, row.sl0, row.tg0, 2);
    const GuestStage2Shape shape = guest_stage2_shape(m.regs.vtcr);
    EXPECT_EQ(shape.valid, row.valid) << row.name;
    if (!row.valid) {
      const GuestStage2Walk walk = m.walk2(0);
      EXPECT_EQ(walk.status, S2Status::kFault) << row.name;
      EXPECT_EQ(walk.fsc, kFscTranslation) << row.name;
      continue;
    }
    EXPECT_EQ(shape.start_level, row.start_level) << row.name;
    const uint64_t last = (uint64_t{1} << (64 - row.t0sz)) - 1;
    m.map2(last, 3, 0x7'0000'0000 | kS2All | kPage);
    const GuestStage2Walk walk = m.walk2(last);
    EXPECT_EQ(walk.status, S2Status::kOk) << row.name;
    EXPECT_EQ(walk.ipa, 0x7'0000'0000 | (last & ((1u << shape.granule_log2) - 1))) << row.name;
    EXPECT_EQ(walk.page_log2, shape.granule_log2) << row.name;
    EXPECT_EQ(m.walk2(last + 1).fsc, kFscTranslation) << row.name;
    EXPECT_EQ(m.walk2(last + 1).status, S2Status::kFault) << row.name;
  }
}

TEST(GuestStage2, Faults) {
  constexpr uint64_t kTooBig = uint64_t{1} << 37;  // PS is 36 bits
  struct Row {
    const char* name;
    unsigned level;
    uint64_t descriptor;
    unsigned fsc;
  } constexpr kRows[] = {
      {"invalid level 1", 1, 2, kFscTranslation | 1},
      {"invalid level 2", 2, 0xfffe, kFscTranslation | 2},
      {"invalid level 3", 3, 0, kFscTranslation | 3},
      {"reserved level 3", 3, kBlock | kS2All, kFscTranslation | 3},
      {"table out of range", 1, kTooBig | kTable, kFscAddressSize | 1},
      {"block out of range", 2, kTooBig | kBlock | kS2All, kFscAddressSize | 2},
      {"page out of range", 3, kTooBig | kPage | kS2All, kFscAddressSize | 3},
      {"address size before access flag", 3, kTooBig | kPage, kFscAddressSize | 3},
      {"no access flag, block", 1, kBlock | kRead, kFscAccessFlag | 1},
      {"no access flag, page", 3, kPage | kRead, kFscAccessFlag | 3},
  };
  for (const Row& row : kRows) {
    Machine m;
    m.regs.vtcr = vtcr(24, 1, 0, 1);
    m.map2(0x1000, row.level, row.descriptor);
    const GuestStage2Walk walk = m.walk2(0x1000);
    EXPECT_EQ(walk.status, S2Status::kFault) << row.name;
    EXPECT_EQ(walk.fsc, row.fsc) << row.name;
    EXPECT_EQ(walk.level, row.fsc & 3) << row.name;
  }
  Machine m;
  m.regs.vtcr = vtcr(24, 1, 0, 1);
  m.regs.vttbr = kTooBig;
  EXPECT_EQ(m.walk2(0).fsc, kFscAddressSize);
  m.regs.vttbr = uint64_t{0xffff} << 48 | kS2Root | 1;  // VMID and CnP are no address
  EXPECT_EQ(m.walk2(0).status, S2Status::kTableFault);
  EXPECT_EQ(m.walk2(0).table_ipa, kS2Root);
}

TEST(GuestStage2, LeavesAndEndianness) {
  struct Row {
    unsigned tg0, level, page_log2;
    bool legal;
  } constexpr kRows[] = {{0, 1, 30, true}, {0, 2, 21, true}, {2, 2, 25, true}, {1, 2, 29, true}};
  for (const Row& row : kRows) {
    for (const bool big : {false, true}) {
      Machine m;
      m.regs.vtcr = vtcr(24, 1, row.tg0, 2);
      if (big) m.regs.guest_stage2 |= kGuestStage2BigEndian;
      constexpr uint64_t kIpa = 0x12'3456'789a;
      constexpr uint64_t kBase = uint64_t{5} << 36;
      m.map2(kIpa, row.level, kBase | kBlock | kS2All);
      if (big) {
        for (auto& [ipa, descriptor] : m.memory) descriptor = __builtin_bswap64(descriptor);
      }
      const GuestStage2Walk walk = m.walk2(kIpa);
      ASSERT_EQ(walk.status, S2Status::kOk) << row.tg0 << row.level;
      EXPECT_EQ(walk.page_log2, row.page_log2);
      EXPECT_EQ(walk.ipa, kBase | (kIpa & ((uint64_t{1} << row.page_log2) - 1)));
    }
  }
}

TEST(GuestStage2, RightsAndAttributes) {
  for (unsigned bits = 0; bits < 8; ++bits) {
    for (unsigned attr = 0; attr < 16; ++attr) {
      Machine m;
      m.map2(0x1000, 3,
             0x9000 | kPage | kAf | (bits & 1 ? kRead : 0) | (bits & 2 ? kWrite : 0) |
                 (bits & 4 ? kXn : 0) | kBit53 | mem_attr(attr) | 3 << 8);
      const GuestStage2Walk walk = m.walk2(0x1234);
      ASSERT_EQ(walk.status, S2Status::kOk);
      EXPECT_EQ(rights(walk.readable, walk.writable, walk.executable),
                rights(bits & 1, bits & 2, !(bits & 4)));
      EXPECT_EQ(walk.device, attr < 4);
      EXPECT_EQ(walk.mem_attr, attr);
      EXPECT_EQ(walk.shareability, 3);
      EXPECT_EQ(walk.ipa, 0x9234u);
    }
  }
}

// --- both stages -------------------------------------------------------------------------------

constexpr uint64_t kVa = 0x1234'5678, kIpa = 0x8000'0678, kS1Page = 0x8000'0000 | kAf | mem_attr(1);

TEST(Nested, TranslatesAndListsEveryDescriptor) {
  Machine m;
  m.map1(kVa, kS1Page);
  m.map2_page(kIpa);
  const NestedWalk walk = m.walk(kVa, WalkFor::kWrite);
  ASSERT_EQ(walk.status, Status::kOk);
  EXPECT_EQ(walk.ipa, kIpa + Machine::kOffset);
  EXPECT_EQ(walk.fault_ipa, kIpa);
  EXPECT_EQ(walk.page_log2, 12);
  EXPECT_EQ(rights(walk.readable, walk.writable, walk.executable), "rwx");
  ASSERT_EQ(walk.loads, 4 * (3 + 1) + 3);
  for (unsigned i = 0; i < walk.loads; ++i) {
    EXPECT_EQ(m.memory[walk.descriptor_ipa[i]], walk.descriptor[i]) << i;
    EXPECT_EQ(walk.descriptor_ipa[i] >> 36, i % 4 == 3 ? 1u : 0u) << i;  // stage 1 is at kOffset
  }
}

// Rights are what both stages give; stage 1 is asked first.
TEST(Nested, PermissionMatrix) {
  for (unsigned bits = 0; bits < 32; ++bits) {
    const bool ro = bits & 1, xn = bits & 2;
    Machine m;
    m.map1(kVa, kS1Page | (ro ? kReadOnly : 0) | (xn ? kBit53 : 0));
    m.map2_page(
        kIpa, kS2Normal | (bits & 4 ? kRead : 0) | (bits & 8 ? kWrite : 0) | (bits & 16 ? kXn : 0));
    const std::string s1 = rights(true, !ro, !xn), s2 = rights(bits & 4, bits & 8, !(bits & 16));
    for (const WalkFor purpose : {WalkFor::kRead, WalkFor::kWrite, WalkFor::kFetch}) {
      const unsigned n = purpose == WalkFor::kRead ? 0 : purpose == WalkFor::kWrite ? 1 : 2;
      const NestedWalk walk = m.walk(kVa, purpose);
      const Status expected = s1[n] == '-'   ? Status::kStage1Fault
                              : s2[n] == '-' ? Status::kStage2Fault
                                             : Status::kOk;
      ASSERT_EQ(walk.status, expected) << bits << s1 << s2 << n;
      if (expected == Status::kOk) continue;
      EXPECT_EQ(walk.fsc, kFscPermission | 3);
      EXPECT_FALSE(walk.s1ptw);
      if (expected == Status::kStage2Fault) {
        EXPECT_EQ(walk.fault_ipa, kIpa);
        EXPECT_FALSE(walk.ipa_valid);
        EXPECT_EQ(m.walk(kVa, purpose, false, false).status, Status::kOk);  // check_stage2
      }
    }
  }
}

TEST(Nested, Stage2FaultOfTheAddress) {
  Machine m;
  m.map1(kVa, kS1Page);
  const NestedWalk walk = m.walk(kVa, WalkFor::kFetch);
  EXPECT_EQ(walk.status, Status::kTableFault);  // nothing at all is at that level
  m.map2(kIpa, 2, 0);
  const NestedWalk fault = m.walk(kVa, WalkFor::kFetch);
  EXPECT_EQ(fault.status, Status::kStage2Fault);
  EXPECT_EQ(fault.fsc, kFscTranslation | 2);
  EXPECT_FALSE(fault.s1ptw);
  EXPECT_TRUE(fault.ipa_valid);
  EXPECT_EQ(fault.fault_ipa, kIpa);
}

// A table of stage 1 at each level: not mapped by stage 2, not readable, or of Device memory.
TEST(Nested, Stage2FaultOfATable) {
  for (unsigned level = 0; level < 4; ++level) {
    const uint64_t table = Machine::kS1Root + level * 0x1000;
    const uint64_t entry = table + (kVa >> (39 - 9 * level) & 511) * 8;
    struct Row {
      const char* name;
      uint64_t leaf;
      uint8_t hcr;
      unsigned fsc;  // 0: fine
    } const rows[] = {
        {"not mapped", 0, 0, kFscTranslation | 3},
        {"no access flag", kPage | kRead, 0, kFscAccessFlag | 3},
        {"write-only", kPage | kS2Normal | kWrite, 0, kFscPermission | 3},
        {"read-only", kPage | kS2Normal | kRead, 0, 0},
        {"Device", kPage | kAf | kRead, 0, 0},
        {"Device, PTW", kPage | kAf | kRead, kGuestStage2Ptw, kFscPermission | 3},
        {"Normal, PTW", kPage | kS2Normal | kRead, kGuestStage2Ptw, 0},
    };
    for (const Row& row : rows) {
      Machine m;
      m.map1(kVa, kS1Page);
      m.map2_page(kIpa);
      m.map2(table, 3, row.leaf == 0 ? 0 : row.leaf | (table + Machine::kOffset));
      m.regs.guest_stage2 |= row.hcr;
      const NestedWalk walk = m.walk(kVa);
      EXPECT_EQ(walk.status, row.fsc == 0 ? Status::kOk : Status::kStage2Fault) << row.name;
      if (row.fsc == 0) continue;
      EXPECT_EQ(walk.fsc, row.fsc) << row.name;
      EXPECT_TRUE(walk.s1ptw) << row.name;
      EXPECT_TRUE(walk.ipa_valid) << row.name;
      EXPECT_EQ(walk.fault_ipa, entry) << row.name;
    }
  }
}

// What Trapline's own stage 2 refuses: whose table it was, and at which level.
TEST(Nested, TablesThatCannotBeRead) {
  Machine good;
  good.map1(kVa, kS1Page);
  good.map2_page(kIpa);
  const NestedWalk all = good.walk(kVa);
  ASSERT_EQ(all.loads, 4 * (3 + 1) + 3);
  for (unsigned missing = 0; missing < all.loads; ++missing) {
    Machine m = good;
    m.memory.erase(all.descriptor_ipa[missing]);
    const NestedWalk walk = m.walk(kVa);
    const bool stage2 = missing % 4 != 3;
    // The same entry may be read for several addresses: its first use counts.
    unsigned first = 0;
    while (all.descriptor_ipa[first] != all.descriptor_ipa[missing]) ++first;
    EXPECT_EQ(walk.status, Status::kTableFault) << missing;
    EXPECT_EQ(walk.ipa, all.descriptor_ipa[missing]) << missing;
    EXPECT_EQ(walk.of_stage2, stage2) << missing;
    EXPECT_EQ(walk.s1ptw, first < 16) << missing;
    EXPECT_EQ(walk.level, static_cast<int>(stage2 ? first % 4 + 1 : first / 4)) << missing;
    EXPECT_EQ(walk.fsc, kFscExternalOnWalk | walk.level) << missing;
    EXPECT_EQ(walk.loads, first) << missing;
  }
}

TEST(Nested, Stage1OffAndDefaultCacheable) {
  Machine m;
  m.regs.sctlr = 0;
  m.map2_page(kIpa);
  EXPECT_EQ(m.walk(kIpa).ipa, kIpa + Machine::kOffset);
  EXPECT_TRUE(m.walk(kIpa).device);
  EXPECT_EQ(m.walk(kIpa).loads, 3);
  m.regs.guest_stage2 |= kGuestStage2Dc;
  EXPECT_FALSE(m.walk(kIpa).device);
  m.map2_page(kIpa, kAf | kRead);  // and Device by stage 2
  EXPECT_TRUE(m.walk(kIpa).device);
  EXPECT_FALSE(m.walk(kIpa).stage1.device);
}

TEST(Nested, SmallerLeaf) {
  Machine m;
  m.map1(kVa, kS1Page);
  m.map2(kIpa, 1, kS2All | kBlock | 0x40'0000'0000);
  EXPECT_EQ(m.walk(kVa).page_log2, 12);
  EXPECT_EQ(m.walk(kVa).stage2.page_log2, 30);
  EXPECT_EQ(m.walk(kVa).ipa, 0x40'0000'0678u);
  m.regs.sctlr = 0;
  m.map2(0x4'0000'0000, 1, kS2All | kBlock | 0x40'0000'0000);
  EXPECT_EQ(m.walk(0x4'0000'0000).page_log2, 12);  // stage 1 off: as if by pages
}

// D8.5.5: rows are stage 1, columns MemAttr of stage 2 without the reserved ones; with stage 2
// Inner Shareable.
TEST(Nested, MemoryTypes) {
  constexpr unsigned kMemAttr[] = {0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15};
  struct Row {
    unsigned mair;
    bool cd;
    unsigned expected[13];
  } constexpr kRows[] = {
      {0x00, false, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
      {0x04, false, {0, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}},
      {0x0c, false, {0, 4, 8, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12}},
      {0x44, false, {0, 4, 8, 12, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44}},
      {0xff, false, {0, 4, 8, 12, 0x44, 0x4b, 0x4f, 0xb4, 0xbb, 0xbf, 0xf4, 0xfb, 0xff}},
      {0xbb, false, {0, 4, 8, 12, 0x44, 0x4b, 0x4b, 0xb4, 0xbb, 0xbb, 0xb4, 0xbb, 0xbb}},
      {0x4f, false, {0, 4, 8, 12, 0x44, 0x4b, 0x4f, 0x44, 0x4b, 0x4f, 0x44, 0x4b, 0x4f}},
      {0xf4, false, {0, 4, 8, 12, 0x44, 0x44, 0x44, 0xb4, 0xb4, 0xb4, 0xf4, 0xf4, 0xf4}},
      {0xff, true, {0, 4, 8, 12, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44, 0x44}},
      {0x0c, true, {0, 4, 8, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12}},
  };
  for (const Row& row : kRows) {
    for (unsigned i = 0; i < 13; ++i) {
      Machine m;
      m.regs.mair = uint64_t{row.mair} << 8;
      if (row.cd) m.regs.guest_stage2 |= kGuestStage2Cd;
      m.map1(kVa, kS1Page);
      m.map2_page(kIpa, kAf | kRead | mem_attr(kMemAttr[i]) | 3 << 8);
      const NestedWalk walk = m.walk(kVa);
      ASSERT_EQ(walk.status, Status::kOk);
      const MemoryType type =
          combined_memory_type(m.regs, stage1_memory_type(m.regs, walk.stage1), walk.stage2);
      EXPECT_EQ(type.attr, row.expected[i]) << row.mair << ' ' << kMemAttr[i];
      const bool outer = type.attr < 16 || type.attr == 0x44;
      EXPECT_EQ(type.shareability, outer ? 2 : 3) << row.mair << ' ' << kMemAttr[i];
    }
  }
}

// Without a hypervisor's stage 2 it is the plain walk.
TEST(Nested, WithoutStage2) {
  Machine m;
  m.regs.guest_stage2 = 0;
  m.regs.sctlr = 0;
  const NestedWalk walk = m.walk(kIpa);
  EXPECT_EQ(walk.status, Status::kOk);
  EXPECT_EQ(walk.ipa, kIpa);
  EXPECT_EQ(walk.loads, 0);
}

}  // namespace
}  // namespace trapline
