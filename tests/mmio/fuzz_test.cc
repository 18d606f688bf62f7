// Rule 3: no Access, register value or address makes emulate() crash, hang or touch what it was not
// given; rule 2 where an access does not end well. For the sanitizers.
#include <cstring>
#include <random>

#include "mmio/agree.h"
#include "tests/mmio/table.h"

namespace trapline::test {
namespace {

uint64_t some_address(std::mt19937_64& random) {
  uint64_t address = kBase + random() % 0x10000;
  switch (random() % 8) {
    case 0:  // near the end of a page
      return (address | 0xfff) - random() % 70;
    case 1:
      return random();
    case 2:
      return address | random() << 56;
    case 3:
      return address & ~uint64_t{63};
    case 4:
      return ~uint64_t{0} - random() % 64;
    default:
      return address & ~uint64_t{7};
  }
}

void randomize(Machine& machine, std::mt19937_64& random) {
  for (uint64_t& x : machine.view.general.x) x = some_address(random);
  machine.view.general.x[kSlotXzr] = 0;
  for (Vreg& v : machine.view.vectors) v = {random(), random()};
  if (random() % 4 == 0) machine.view.general.x[random() % 31] = random() % 100;
  if (random() % 4 == 0) machine.view.general.x[random() % 31] = 0 - random() % 5000;
  machine.view.pc = some_address(random) & ~uint64_t{3};
  machine.view.nzcv = static_cast<uint32_t>(random()) & 0xf0000000;
  machine.view.big_endian = random() % 4 == 0;
  machine.view.sp_alignment_check = random() % 4 == 0;
  machine.view.alignment_check = random() % 8 == 0;
  machine.view.lse2 = random() % 4 == 0;
  machine.view.mops_option_a = random() % 2 == 0;
  machine.view.zero_block_log2 = static_cast<unsigned>(random() % 14);
  machine.view.va_bits_lower = static_cast<uint8_t>(random() % 64);
  machine.view.known_va_page = random() % 2 == 0 ? ~uint64_t{0} : kBase + random() % 16 * 0x1000;
  machine.view.known_ipa_page = machine.view.known_va_page;
  machine.log.clear();
  machine.view.written.clear();
}

void run_one(Machine& machine, const Access& access, std::mt19937_64& random) {
  const uint64_t va =
      random() % 8 == 0 ? some_address(random) : effective_address(access, machine.view);
  agrees_with_syndrome(access, va, random() % 2 != 0, true, va + random() % 16, machine.view);
  const GeneralRegisters before = machine.view.general;
  const std::string outcome = machine.run(access, va, random() % 4 != 0);
  EXPECT_EQ(machine.view.general.x[kSlotXzr], 0u);
  EXPECT_EQ(machine.log.find("outside"), std::string::npos);
  if (outcome == "done" || outcome == "progress") return;
  for (unsigned i = 0; i <= kSlotSp; ++i) {
    EXPECT_EQ(machine.view.general.x[i], before.x[i]) << outcome;
  }
  const bool may_have_touched = machine.log.find("D.") != std::string::npos;
  if (!may_have_touched) {
    EXPECT_EQ(machine.log, "") << outcome;
    EXPECT_EQ(machine.view.written, "") << outcome;
  }
}

TEST(Fuzz, AnyBytesAsAccess) {
  std::mt19937_64 random(1);
  Machine machine;
  for (unsigned i = 0; i < 300000 && !::testing::Test::HasFailure(); ++i) {
    if (i % 64 == 0) randomize(machine, random);
    machine.log.clear();
    machine.view.written.clear();
    Access access;
    const uint64_t halves[2] = {random(), random()};
    std::memcpy(&access, halves, sizeof access);
    if (random() % 8 != 0) {
      // Plausible ones reach deeper.
      access.op = static_cast<Op>(random() % (static_cast<unsigned>(Op::kCount) + 2));
      access.size_log2 = random() % 8 == 0 ? access.size_log2 : random() % 5;
      access.count = random() % 8 == 0 ? access.count : 1 + random() % 4;
      access.rt &= 31;
      access.rt2 &= 31;
      access.rs &= 31;
      access.rn &= 31;
      access.rm &= 31;
      access.imm = static_cast<int32_t>(random() % 64) - 32;
    }
    run_one(machine, access, random);
  }
}

TEST(Fuzz, AnyMemoryInstruction) {
  std::mt19937_64 random(2);
  Machine machine;
  unsigned emulated = 0;
  for (unsigned i = 0; i < 600000 && !::testing::Test::HasFailure(); ++i) {
    if (i % 64 == 0) randomize(machine, random);
    machine.log.clear();
    machine.view.written.clear();
    uint32_t word = (static_cast<uint32_t>(random()) & ~0x0a000000u) | 0x08000000u;
    if (random() % 64 == 0) word = 0xd50b7420u | (static_cast<uint32_t>(random()) & 0x1fu);
    Access access;
    if (decode(word, access) != DecodeStatus::kAccess) continue;
    ++emulated;
    run_one(machine, access, random);
  }
  EXPECT_GT(emulated, 100000u);
}

}  // namespace
}  // namespace trapline::test
