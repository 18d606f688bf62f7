// The stage-1 walk, as tables: permissions, levels, faults, regions, granules.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "vmm/memory/walk_inl.h"

namespace trapline {
namespace {

using Status = Stage1Walk::Status;

constexpr uint64_t kAf = 1 << 10;
constexpr uint64_t kPage = 3, kBlock = 1, kTable = 3;
constexpr uint64_t kNg = 1 << 11;
constexpr uint64_t kPxn = uint64_t{1} << 53, kUxn = uint64_t{1} << 54;
constexpr uint64_t kContiguous = uint64_t{1} << 52;
constexpr uint64_t ap(unsigned bits) { return uint64_t{bits} << 6; }
constexpr uint64_t attr(unsigned index) { return uint64_t{index} << 2; }

// MAIR: 0 Device-nGnRnE, 1 Normal write-back, 2 Normal non-cacheable, 3 Device-GRE.
constexpr uint64_t kMair = 0x0c44ff00;
constexpr uint64_t kRoot = 0x4000'0000;

struct Machine {
  std::map<uint64_t, uint64_t> memory;  // descriptors; absent: stage 2 refuses
  TranslationRegs regs;

  Machine() {
    regs.sctlr = kSctlrM;
    // T0SZ = T1SZ = 16, 4 KiB both, IPS 40 bits.
    regs.tcr = 16 | 16 << 16 | uint64_t{2} << 30 | uint64_t{2} << 32;
    regs.ttbr0 = kRoot;
    regs.ttbr1 = kRoot + 0x10'0000;
    regs.mair = kMair;
  }

  template <typename Features = SoftWalkFeatures>
  Stage1Walk walk(uint64_t va, WalkFor purpose = WalkFor::kRead, bool el0 = false) const {
    return walk_stage1<Features>(regs, va, purpose, el0,
                                 [this](uint64_t ipa, uint64_t& descriptor) {
                                   auto it = memory.find(ipa);
                                   if (it == memory.end()) return false;
                                   descriptor = it->second;
                                   return true;
                                 });
  }

  // Tables along `va` down to `leaf_level`, where `leaf` goes. Tables stand at kRoot + n * 64 KiB.
  void map(uint64_t va, int leaf_level, uint64_t leaf, unsigned granule = 12, unsigned bits = 48,
           uint64_t table_bits = 0) {
    const unsigned stride = granule - 3;
    const unsigned levels = (bits - granule + stride - 1) / stride;
    uint64_t table = (va >> 55 & 1) != 0 ? regs.ttbr1 : regs.ttbr0;
    unsigned index_bits = bits - (granule + (levels - 1) * stride);
    for (int level = 4 - static_cast<int>(levels);; ++level, index_bits = stride) {
      const unsigned shift = granule + static_cast<unsigned>(3 - level) * stride;
      const uint64_t entry = table + (va >> shift & ((uint64_t{1} << index_bits) - 1)) * 8;
      if (level == leaf_level) {
        memory[entry] = leaf;
        return;
      }
      table += 0x1'0000;
      memory[entry] = table | kTable | table_bits;
    }
  }
};

std::string rights(const Stage1Walk& walk) {
  return std::string(walk.readable ? "r" : "-") + (walk.writable ? "w" : "-") +
         (walk.executable ? "x" : "-");
}

// D8.4.1: what AP[2:1] gives each EL, without PAN; and what PAN leaves of EL1's.
struct ApRow {
  unsigned ap;
  const char *el1, *el1_pan, *el0;
};
constexpr ApRow kApRows[] = {
    {0, "rw", "rw", "--"},
    {1, "rw", "--", "rw"},
    {2, "r-", "r-", "--"},
    {3, "r-", "--", "r-"},
};

TEST(Walk, PermissionMatrix) {
  for (const ApRow& row : kApRows) {
    for (unsigned bits = 0; bits < 32; ++bits) {
      const bool uxn = bits & 1, pxn = bits & 2, pan = bits & 4, wxn = bits & 8, el0 = bits & 16;
      Machine m;
      if (wxn) m.regs.sctlr |= kSctlrWxn;
      m.regs.pan = pan;
      m.map(0x1000, 3,
            0x8000'0000 | kPage | kAf | attr(1) | ap(row.ap) | (uxn ? kUxn : 0) | (pxn ? kPxn : 0));
      const std::string data = el0 ? row.el0 : pan ? row.el1_pan : row.el1;
      const bool writable = (el0 ? row.el0 : row.el1)[1] == 'w';
      const bool user_writable = row.el0[1] == 'w';
      bool execute = el0 ? !uxn : !pxn && !user_writable;
      if (wxn && writable) execute = false;
      const std::string expected = data + (execute ? "x" : "-");
      const std::string name =
          "ap " + std::to_string(row.ap) + " uxn,pxn,pan,wxn,el0 bits " + std::to_string(bits);

      struct {
        WalkFor purpose;
        bool allowed;
      } const purposes[] = {
          {WalkFor::kRead, expected[0] == 'r'},
          {WalkFor::kWrite, expected[1] == 'w'},
          {WalkFor::kReadWrite, expected[0] == 'r' && expected[1] == 'w'},
          {WalkFor::kFetch, expected[2] == 'x'},
      };
      for (const auto& p : purposes) {
        const Stage1Walk walk = m.walk(0x1234, p.purpose, el0);
        EXPECT_EQ(rights(walk), expected) << name;
        EXPECT_EQ(walk.status, p.allowed ? Status::kOk : Status::kFault) << name;
        if (p.allowed) {
          EXPECT_EQ(walk.ipa, 0x8000'0234u) << name;
        } else {
          EXPECT_EQ(walk.fsc, kFscPermission | 3) << name;
        }
      }
    }
  }
}

TEST(Walk, HierarchicalRights) {
  struct Row {
    uint64_t table_bits;
    const char *el1, *el0;
  } constexpr kRows[] = {
      {0, "rw-", "rwx"},                  // EL1 never executes what EL0 writes
      {uint64_t{1} << 61, "rwx", "--x"},  // APTable[0]: no EL0 access
      {uint64_t{1} << 62, "r-x", "r-x"},  // APTable[1]: read-only
      {uint64_t{3} << 61, "r-x", "--x"},
      {uint64_t{1} << 60, "rw-", "rw-"},                      // UXNTable
      {uint64_t{1} << 59 | uint64_t{1} << 61, "rw-", "--x"},  // PXNTable
  };
  for (const Row& row : kRows) {
    Machine m;
    m.map(0x1000, 3, 0x8000'0000 | kPage | kAf | attr(1) | ap(1), 12, 48, row.table_bits);
    EXPECT_EQ(rights(m.walk(0x1000, WalkFor::kRead, false)), row.el1) << std::hex << row.table_bits;
    EXPECT_EQ(rights(m.walk(0x1000, WalkFor::kRead, true)), row.el0) << std::hex << row.table_bits;
  }
}

TEST(Walk, LeavesAtEachLevelAndGranule) {
  struct Row {
    unsigned granule, tg0, level;
    uint64_t type;
    bool legal;
    unsigned page_log2;
  } constexpr kRows[] = {
      {12, 0, 0, kBlock, false, 0}, {12, 0, 1, kBlock, true, 30}, {12, 0, 2, kBlock, true, 21},
      {12, 0, 3, kPage, true, 12},  {12, 0, 3, kBlock, false, 0}, {14, 2, 0, kBlock, false, 0},
      {14, 2, 1, kBlock, false, 0}, {14, 2, 2, kBlock, true, 25}, {14, 2, 3, kPage, true, 14},
      {16, 1, 1, kBlock, false, 0}, {16, 1, 2, kBlock, true, 29}, {16, 1, 3, kPage, true, 16},
      {16, 1, 3, kBlock, false, 0},
  };
  for (const Row& row : kRows) {
    const std::string name =
        "granule " + std::to_string(row.granule) + " level " + std::to_string(row.level);
    Machine m;
    m.regs.tcr |= uint64_t{row.tg0} << 14;
    constexpr uint64_t kVa = 0x0000'1234'5678'9abc;
    const uint64_t base = row.legal ? (uint64_t{5} << 36) & (~uint64_t{0} << row.page_log2) : 0;
    m.map(kVa, row.level, base | row.type | kAf | attr(1) | kContiguous, row.granule);
    const Stage1Walk walk = m.walk(kVa);
    if (!row.legal) {
      EXPECT_EQ(walk.status, Status::kFault) << name;
      EXPECT_EQ(walk.fsc, kFscTranslation | row.level) << name;
      continue;
    }
    ASSERT_EQ(walk.status, Status::kOk) << name;
    EXPECT_EQ(walk.page_log2, row.page_log2) << name;
    EXPECT_EQ(walk.ipa, base | (kVa & ((uint64_t{1} << row.page_log2) - 1))) << name;
    EXPECT_EQ(walk.level, static_cast<int>(row.level)) << name;
  }
}

// An address of 52 bits as a descriptor holds it (D8.3.1).
constexpr uint64_t large(uint64_t address, unsigned granule) {
  constexpr uint64_t kTo47 = (uint64_t{1} << 48) - 1, kTo49 = (uint64_t{1} << 50) - 1;
  return granule == 16 ? (address & kTo47) | (address >> 48) << 12
                       : (address & kTo49) | (address >> 50) << 8;
}

TEST(Walk, LargeAddressesOfTheHost) {
  struct Row {
    unsigned granule, tg0;
    bool ds;
    unsigned bits;
    int level;
    uint64_t type;
    unsigned page_log2;  // 0: reserved
  } constexpr kRows[] = {
      // LPA2, 4 KiB: level -1, with 49 bits of one entry's index; blocks from level 0.
      {12, 0, true, 52, 3, kPage, 12},
      {12, 0, true, 49, 3, kPage, 12},
      {12, 0, true, 48, 3, kPage, 12},
      {12, 0, true, 52, 2, kBlock, 21},
      {12, 0, true, 52, 1, kBlock, 30},
      {12, 0, true, 52, 0, kBlock, 39},
      {12, 0, true, 52, -1, kBlock, 0},
      // 16 KiB: blocks from level 1.
      {14, 2, true, 52, 3, kPage, 14},
      {14, 2, true, 52, 2, kBlock, 25},
      {14, 2, true, 48, 1, kBlock, 36},
      {14, 2, true, 52, 0, kBlock, 0},
      // LVA and LPA, 64 KiB: as without DS.
      {16, 1, false, 52, 3, kPage, 16},
      {16, 1, false, 52, 2, kBlock, 29},
      {16, 1, true, 48, 1, kBlock, 42},
  };
  for (const Row& row : kRows) {
    const std::string name = "granule " + std::to_string(row.granule) + " bits " +
                             std::to_string(row.bits) + " level " + std::to_string(row.level);
    Machine m;
    m.regs.tcr = (64 - row.bits) | uint64_t{row.tg0} << 14 | uint64_t{6} << 32;
    if (row.ds) m.regs.tcr |= kTcrDs;
    const uint64_t va = 0x000a'9234'5678'9abc & ((uint64_t{1} << row.bits) - 1);
    const uint64_t base = 0x000b'4000'0000'0000 & (~uint64_t{0} << row.page_log2);
    m.map(va, row.level, large(base, row.granule) | row.type | kAf | attr(1), row.granule,
          row.bits);
    const Stage1Walk walk = m.walk<HostWalkFeatures>(va);
    if (row.page_log2 == 0) {
      EXPECT_EQ(walk.status, Status::kFault) << name;
      EXPECT_EQ(walk.fsc, fsc_at(kFscTranslation, row.level)) << name;
      continue;
    }
    ASSERT_EQ(walk.status, Status::kOk) << name;
    EXPECT_EQ(walk.page_log2, row.page_log2) << name;
    EXPECT_EQ(walk.ipa, base | (va & ((uint64_t{1} << row.page_log2) - 1))) << name;
    EXPECT_EQ(walk.level, row.level) << name;
    if (row.bits > 48 || row.ds) {  // the software CPU has none of it
      EXPECT_FALSE(m.walk(va).status == Status::kOk && m.walk(va).ipa == walk.ipa) << name;
    }
  }
}

TEST(Walk, LargeAddressesInTablesAndBases) {
  Machine m;
  m.regs.tcr = 12 | 12 << 16 | uint64_t{2} << 30 | uint64_t{6} << 32 | kTcrDs;
  // The upper half's 51 bits of ones, a base and a table above 48 bits.
  constexpr uint64_t kVa = 0xfff0'0000'8000'1238, kBase = 0x000c'0000'4000'0000;
  m.regs.ttbr1 = (kBase & 0x0000'ffff'ffff'ffff) | (kBase >> 48) << 2 | 1 | uint64_t{7} << 52;
  constexpr uint64_t kTables[] = {0x000d'0000'0000'1000, 0x0007'8000'0000'2000,
                                  0x000f'ffff'ffff'f000, 0x0000'0000'8000'4000};
  const unsigned shifts[] = {48, 39, 30, 21, 12};
  uint64_t table = kBase;
  for (unsigned i = 0; i < 5; ++i) {
    const uint64_t entry = table + (kVa >> shifts[i] & (i == 0 ? 15 : 511)) * 8;
    table = i < 4 ? kTables[i] : 0x0004'0000'0901'0000;
    m.memory[entry] = large(table, 12) | kTable | (i == 4 ? kAf | attr(0) : 0);
  }
  const Stage1Walk walk = m.walk<HostWalkFeatures>(kVa);
  ASSERT_EQ(walk.status, Status::kOk);
  EXPECT_EQ(walk.ipa, 0x0004'0000'0901'0238u);
  EXPECT_EQ(walk.table_loads, 5);
  EXPECT_TRUE(walk.device);
  // What level -1 has to say against it has codes of its own (D17.2.37).
  const uint64_t first = walk.descriptor_ipa[0], good = walk.descriptor[0];
  m.memory[first] = 0;
  EXPECT_EQ(m.walk<HostWalkFeatures>(kVa).fsc, 0x2b);
  m.memory.erase(first);
  EXPECT_EQ(m.walk<HostWalkFeatures>(kVa).status, Status::kTableFault);
  EXPECT_EQ(m.walk<HostWalkFeatures>(kVa).level, -1);
  m.memory[first] = good;
  m.regs.tcr ^= uint64_t{6 ^ 5} << 32;  // 48-bit outputs: the base's 5:2 are no address
  m.regs.ttbr1 = kBase & 0x0000'ffff'ffff'ffff;
  m.memory[first & 0x0000'ffff'ffff'ffff] = good;
  EXPECT_EQ(m.walk<HostWalkFeatures>(kVa).fsc, 0x29);  // the first table is beyond them
}

TEST(Walk, SizesOfTheInputRegion) {
  for (unsigned tsz = 16; tsz <= 39; ++tsz) {
    for (unsigned tg : {0u, 1u, 2u}) {
      const unsigned granule = tg == 0 ? 12 : tg == 1 ? 16 : 14;
      const unsigned bits = 64 - tsz;
      Machine m;
      m.regs.tcr = (m.regs.tcr & ~uint64_t{0x3f}) | tsz | uint64_t{tg} << 14;
      const uint64_t last = (uint64_t{1} << bits) - 1;
      m.map(last, 3, 0x7'0000'0000 | kPage | kAf | attr(1), granule, bits);
      const Stage1Walk walk = m.walk(last);
      EXPECT_EQ(walk.status, Status::kOk) << tsz << ' ' << tg;
      EXPECT_EQ(walk.ipa, 0x7'0000'0000 | (last & ((1u << granule) - 1))) << tsz << ' ' << tg;
      const Stage1Walk beyond = m.walk(last + 1);
      EXPECT_EQ(beyond.status, Status::kFault) << tsz;
      EXPECT_EQ(beyond.fsc, kFscTranslation) << tsz;
      EXPECT_EQ(beyond.table_loads, 0) << tsz;
    }
  }
  for (unsigned tsz : {0u, 15u, 40u, 63u}) {
    Machine m;
    m.regs.tcr = (m.regs.tcr & ~uint64_t{0x3f}) | tsz;
    EXPECT_EQ(m.walk(0).fsc, kFscTranslation) << tsz;
    EXPECT_EQ(m.walk(0).status, Status::kFault) << tsz;
  }
}

TEST(Walk, RegionsAndTags) {
  constexpr uint64_t kTbi0 = uint64_t{1} << 37, kTbi1 = uint64_t{1} << 38;
  struct Row {
    const char* name;
    uint64_t tcr_bits;
    uint64_t va;
    bool ok;
    uint64_t ipa;
  } constexpr kRows[] = {
      {"lower", 0, 0x1000, true, 0x8000'0000},
      {"upper", 0, 0xffff'ffff'ffff'1008, true, 0x9000'0008},
      {"lower hole", 0, 0x0001'0000'0000'1000, false, 0},
      {"upper hole", 0, 0xfffe'ffff'ffff'1000, false, 0},
      {"tag without TBI0", 0, 0xab00'0000'0000'1000, false, 0},
      {"tag with TBI0", kTbi0, 0xab00'0000'0000'1000, true, 0x8000'0000},
      {"tag with the other TBI", kTbi1, 0xab00'0000'0000'1000, false, 0},
      {"upper tag with TBI1", kTbi1, 0x12ff'ffff'ffff'1008, true, 0x9000'0008},
      {"upper tag without TBI1", 0, 0x12ff'ffff'ffff'1008, false, 0},
      {"EPD0", 1 << 7, 0x1000, false, 0},
      {"EPD0 leaves the upper half", 1 << 7, 0xffff'ffff'ffff'1008, true, 0x9000'0008},
      {"EPD1", 1 << 23, 0xffff'ffff'ffff'1008, false, 0},
  };
  for (const Row& row : kRows) {
    Machine m;
    m.regs.tcr |= row.tcr_bits;
    m.map(0x1000, 3, 0x8000'0000 | kPage | kAf | attr(1));
    m.map(0xffff'ffff'ffff'1000, 3, 0x9000'0000 | kPage | kAf | attr(1));
    const Stage1Walk walk = m.walk(row.va);
    EXPECT_EQ(walk.status, row.ok ? Status::kOk : Status::kFault) << row.name;
    if (row.ok) {
      EXPECT_EQ(walk.ipa, row.ipa) << row.name;
    } else {
      EXPECT_EQ(walk.fsc, kFscTranslation) << row.name;  // level 0
    }
  }
}

// D8.2: which fault a descriptor gives, and which comes first.
TEST(Walk, Faults) {
  constexpr uint64_t kTooBig = uint64_t{1} << 41;  // IPS is 40 bits
  struct Row {
    const char* name;
    unsigned level;
    uint64_t descriptor;
    unsigned fsc;
  } constexpr kRows[] = {
      {"invalid level 0", 0, 0, kFscTranslation | 0},
      {"invalid level 1", 1, 2, kFscTranslation | 1},
      {"invalid level 2", 2, 0xfffe, kFscTranslation | 2},
      {"invalid level 3", 3, 0, kFscTranslation | 3},
      {"reserved level 3", 3, 1 | kAf, kFscTranslation | 3},
      {"table out of range, level 0", 0, kTooBig | kTable, kFscAddressSize | 0},
      {"table out of range, level 2", 2, kTooBig | kTable, kFscAddressSize | 2},
      {"block out of range", 1, kTooBig | kBlock | kAf, kFscAddressSize | 1},
      {"page out of range", 3, kTooBig | kPage | kAf, kFscAddressSize | 3},
      {"address size before access flag", 3, kTooBig | kPage, kFscAddressSize | 3},
      {"no access flag, block", 2, kBlock | attr(1), kFscAccessFlag | 2},
      {"no access flag, page", 3, kPage | attr(1), kFscAccessFlag | 3},
      {"access flag before permission", 3, kPage | ap(2), kFscAccessFlag | 3},
      {"permission", 3, kPage | kAf | ap(2), kFscPermission | 3},
      {"permission of a block", 1, kBlock | kAf | ap(2), kFscPermission | 1},
  };
  for (const Row& row : kRows) {
    Machine m;
    m.map(0x1000, row.level, row.descriptor);
    const Stage1Walk walk = m.walk(0x1000, WalkFor::kWrite);
    EXPECT_EQ(walk.status, Status::kFault) << row.name;
    EXPECT_EQ(walk.fsc, row.fsc) << row.name;
    EXPECT_EQ(walk.level, static_cast<int>(row.level)) << row.name;
    EXPECT_EQ(walk.table_loads, row.level + 1) << row.name;
  }
}

TEST(Walk, TtbrOutOfRange) {
  Machine m;
  m.regs.ttbr0 = uint64_t{1} << 44 | kRoot;
  EXPECT_EQ(m.walk(0x1000).status, Status::kFault);
  EXPECT_EQ(m.walk(0x1000).fsc, kFscAddressSize);
  // The ASID and CnP are no address.
  m.regs.ttbr0 = uint64_t{0xffff} << 48 | kRoot | 1;
  m.map(0x1000, 3, 0x8000'0000 | kPage | kAf);
  m.memory[kRoot] = m.memory[(kRoot | 1) + (uint64_t{0xffff} << 48)];
  EXPECT_EQ(m.walk(0x1000).descriptor_ipa[0], kRoot);
}

TEST(Walk, TableThatStage2Refuses) {
  for (unsigned missing = 0; missing < 4; ++missing) {
    Machine m;
    m.map(0x1000, 3, 0x8000'0000 | kPage | kAf);
    const Stage1Walk good = m.walk(0x1000);
    ASSERT_EQ(good.table_loads, 4);
    m.memory.erase(good.descriptor_ipa[missing]);
    const Stage1Walk walk = m.walk(0x1000);
    EXPECT_EQ(walk.status, Status::kTableFault);
    EXPECT_EQ(walk.table_ipa, good.descriptor_ipa[missing]);
    EXPECT_EQ(walk.level, static_cast<int>(missing));
    EXPECT_EQ(walk.table_loads, missing);
  }
}

TEST(Walk, Attributes) {
  struct Row {
    unsigned index;
    bool device;
  } constexpr kRows[] = {{0, true}, {1, false}, {2, false}, {3, true}};
  for (const Row& row : kRows) {
    Machine m;
    m.map(0x1000, 3, 0x8000'0000 | kPage | kAf | attr(row.index) | kNg);
    const Stage1Walk walk = m.walk(0x1000);
    EXPECT_EQ(walk.device, row.device) << row.index;
    EXPECT_EQ(walk.attr_index, row.index);
    EXPECT_FALSE(walk.global);
  }
}

TEST(Walk, BigEndianTables) {
  Machine m;
  m.map(0x1000, 3, 0x8000'0000 | kPage | kAf);
  for (auto& [ipa, descriptor] : m.memory) descriptor = __builtin_bswap64(descriptor);
  m.regs.sctlr |= kSctlrEe;
  const Stage1Walk walk = m.walk(0x1010);
  EXPECT_EQ(walk.status, Status::kOk);
  EXPECT_EQ(walk.ipa, 0x8000'0010u);
  EXPECT_EQ(walk.descriptor[3], __builtin_bswap64(0x8000'0000 | kPage | kAf));  // as in memory
}

TEST(Walk, MmuOff) {
  Machine m;
  m.regs.sctlr = 0;
  const Stage1Walk data = m.walk(0x4000'1234, WalkFor::kWrite);
  EXPECT_EQ(data.status, Status::kOk);
  EXPECT_EQ(data.ipa, 0x4000'1234u);
  EXPECT_TRUE(data.device);
  EXPECT_EQ(rights(data), "rwx");
  EXPECT_FALSE(m.walk(0x4000'1234, WalkFor::kFetch).device);
  EXPECT_EQ(m.walk(uint64_t{1} << 40).status, Status::kFault);
  EXPECT_EQ(m.walk(uint64_t{1} << 40).fsc, kFscAddressSize);
  // TBI applies with the MMU off, too.
  EXPECT_EQ(m.walk(0xab00'0000'4000'1234).status, Status::kFault);
  m.regs.tcr |= uint64_t{1} << 37;
  EXPECT_EQ(m.walk(0xab00'0000'4000'1234).ipa, 0x4000'1234u);
}

}  // namespace
}  // namespace trapline
