// The semantic oracle: each instruction runs on memory under qemu-aarch64 and through decode() and
// emulate() on RAM-backed devices (and RAM, by the page), from the same registers and bytes.
// Registers, vectors and memory must match.
//
// TRAPLINE_ORACLE_CASES: cases a class (1,000). TRAPLINE_ORACLE_SEED: of the generator (1).
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "decode/a64_decoder.h"
#include "mmio/bus.h"
#include "mmio/emulate.h"
#include "tests/mmio/oracle/cases.h"

namespace trapline::test {
namespace {

constexpr uint64_t kWindowPage = ORACLE_WINDOW & ~0xfffu;
constexpr uint64_t kSecondPage = kWindowPage + 0x1000;

// Two pages of memory, each RAM or a device.
class Memory final : public Device, public CpuView {
 public:
  Memory() {
    regs = &general;
    v = vectors;
    monitor = &exclusive;
    tbi_lower = true;
  }
  MmioResult read(uint64_t offset, unsigned size, unsigned) override {
    uint64_t value = 0;
    std::memcpy(&value, bytes + offset, size);
    return {value, false};
  }
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned) override {
    std::memcpy(bytes + offset, &value, size);
    return {};
  }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return "memory"; }

  Translation translate(uint64_t va, unsigned, Direction, bool) override {
    Translation t{};
    t.ipa = va << 8 >> 8;
    if (t.ipa >> 13 != kWindowPage >> 13) t.status = Translation::Status::kFault;
    return t;
  }
  uint8_t* ram(uint64_t ipa, Direction) override {
    return is_ram[ipa >> 12 & 1] ? bytes + (ipa - kWindowPage) : nullptr;
  }
  void ram_written(uint64_t, unsigned) override {}

  bool is_ram[2] = {};
  alignas(16) uint8_t bytes[0x2000] = {};
  GeneralRegisters general{};
  Vreg vectors[32] = {};
  ExclusiveMonitor exclusive{};
};
static_assert(kWindowPage % 0x2000 == 0 && kSecondPage == kWindowPage + 0x1000);

std::string number(uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(value));
  return text;
}

// Emulates the case; the state after, or an error.
std::string emulate_case(const OracleCase& c, unsigned index, unsigned zero_block_log2,
                         OracleState& after) {
  static Memory memory;
  static DeviceGate gate;
  static Bus bus;
  if (bus.regions().empty()) bus.add(kWindowPage, 0x2000, &memory);
  EmulateContext context;
  context.gate = &gate;
  memory.exclusive = {};
  memory.zero_block_log2 = zero_block_log2;
  memory.is_ram[0] = index % 4 == 1 || index % 4 == 3;
  memory.is_ram[1] = index % 4 >= 2;
  memory.pc = ORACLE_CODE + sizeof(OracleCode) * uint64_t{index};
  memory.known_va_page = memory.known_ipa_page =
      index % 3 == 0 && !memory.is_ram[0] ? kWindowPage : ~uint64_t{0};
  std::memcpy(memory.general.x, c.before.x, sizeof c.before.x);
  memory.general.x[kSlotXzr] = 0;
  memory.general.x[kSlotSp] = c.before.sp;
  std::memcpy(memory.vectors, c.before.v, sizeof c.before.v);
  std::memcpy(memory.bytes + (ORACLE_WINDOW - kWindowPage), c.before.memory, ORACLE_WINDOW_BYTES);
  const int signed_register = c.signed_register;
  constexpr uint64_t kSomePac = uint64_t{0x2a} << 48;
  if (signed_register >= 0) memory.general.x[signed_register] ^= kSomePac;

  for (unsigned i = 0; i < c.emulated_count; ++i) {
    Access access;
    if (decode(c.emulated[i], access) != DecodeStatus::kAccess) return "not decoded";
    const uint64_t va = effective_address(access, memory);
    const Outcome outcome = emulate(access, va, memory, &bus, context);
    if (outcome.status != Outcome::Status::kDone) {
      return "outcome " + std::to_string(static_cast<int>(outcome.status)) + ", fsc " +
             number(outcome.fault.fsc);
    }
    if (signed_register >= 0 && !access.writes_back()) {
      memory.general.x[signed_register] ^= kSomePac;  // the guest strips it
    }
  }
  after = OracleState{};
  std::memcpy(after.x, memory.general.x, sizeof after.x);
  after.sp = memory.general.x[kSlotSp];
  std::memcpy(after.v, memory.vectors, sizeof after.v);
  std::memcpy(after.memory, memory.bytes + (ORACLE_WINDOW - kWindowPage), ORACLE_WINDOW_BYTES);
  return {};
}

std::string difference(const OracleState& qemu, const OracleState& ours) {
  std::string text;
  for (unsigned i = 0; i < 30; ++i) {
    if (qemu.x[i] != ours.x[i]) {
      text +=
          " x" + std::to_string(i) + " qemu " + number(qemu.x[i]) + " ours " + number(ours.x[i]);
    }
  }
  if (qemu.sp != ours.sp) text += " sp qemu " + number(qemu.sp) + " ours " + number(ours.sp);
  for (unsigned i = 0; i < 64; ++i) {
    if (qemu.v[i] != ours.v[i]) {
      text += " v" + std::to_string(i / 2) + (i % 2 ? ".hi" : ".lo") + " qemu " +
              number(qemu.v[i]) + " ours " + number(ours.v[i]);
    }
  }
  for (unsigned i = 0; i < ORACLE_WINDOW_BYTES; ++i) {
    if (qemu.memory[i] != ours.memory[i]) {
      text += " memory from " + number(ORACLE_WINDOW + i) + " qemu " + number(qemu.memory[i]) +
              " ours " + number(ours.memory[i]);
      break;
    }
  }
  return text;
}

unsigned long setting(const char* name, unsigned long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoul(text, nullptr, 0);
}

// The states after, as the guest program leaves them; false if it could not be run.
bool run_guest(const std::vector<OracleCase>& cases, OracleHeader& header,
               std::vector<OracleState>& after) {
  const std::string in_name =
      ::testing::TempDir() + "/oracle-" + std::to_string(::getpid()) + ".in";
  const std::string out_name =
      ::testing::TempDir() + "/oracle-" + std::to_string(::getpid()) + ".out";
  {
    std::ofstream in(in_name, std::ios::binary);
    header = {cases.size(), 0};
    in.write(reinterpret_cast<const char*>(&header), sizeof header);
    for (const OracleCase& c : cases) {
      in.write(reinterpret_cast<const char*>(&c.code), sizeof c.code);
    }
    for (const OracleCase& c : cases) {
      in.write(reinterpret_cast<const char*>(&c.before), sizeof c.before);
    }
    if (!in) return false;
  }
  const std::string command = std::string(TRAPLINE_QEMU_AARCH64) + " -cpu max " +
                              TRAPLINE_ORACLE_GUEST + " < " + in_name + " > " + out_name;
  const int status = std::system(command.c_str());
  bool ok = status == 0;
  if (ok) {
    std::ifstream out(out_name, std::ios::binary);
    out.read(reinterpret_cast<char*>(&header), sizeof header);
    after.resize(cases.size());
    out.read(reinterpret_cast<char*>(after.data()),
             static_cast<std::streamsize>(after.size() * sizeof after[0]));
    ok = !out.fail();
  }
  std::remove(in_name.c_str());
  std::remove(out_name.c_str());
  return ok;
}

TEST(Oracle, SameAsQemu) {
  if (std::strlen(TRAPLINE_QEMU_AARCH64) == 0 || std::strlen(TRAPLINE_ORACLE_GUEST) == 0) {
    GTEST_SKIP() << "needs qemu-aarch64, clang and lld at configure time";
  }
  unsigned long wanted = setting("TRAPLINE_ORACLE_CASES", 1000);
  std::mt19937_64 random(setting("TRAPLINE_ORACLE_SEED", 1));
  struct Count {
    unsigned long cases = 0, failures = 0;
    unsigned long effective = 0;  // changed a register or memory, under qemu
  };
  std::map<const OracleClass*, Count> counts;

  while (wanted != 0) {
    const unsigned long a_class =
        std::min<unsigned long>(wanted, ORACLE_MAX_CASES / kOracleClassCount);
    wanted -= a_class;
    std::vector<OracleCase> cases;
    cases.reserve(a_class * kOracleClassCount);
    for (unsigned long i = 0; i < a_class; ++i) {
      for (unsigned k = 0; k < kOracleClassCount; ++k) {
        cases.push_back(make_case(kOracleClasses[k], static_cast<unsigned>(cases.size()), random));
      }
    }
    OracleHeader header;
    std::vector<OracleState> after;
    ASSERT_TRUE(run_guest(cases, header, after)) << "the guest program failed";
    const unsigned zero_block_log2 = static_cast<unsigned>(header.dczid & 15) + 2;

    for (unsigned i = 0; i < cases.size(); ++i) {
      const OracleCase& c = cases[i];
      Count& count = counts[c.oracle_class];
      ++count.cases;
      if (!difference(after[i], c.before).empty()) ++count.effective;
      OracleState ours;
      std::string text = emulate_case(c, i, zero_block_log2, ours);
      if (after[i].signal != 0) {
        text += " qemu raised signal " + std::to_string(after[i].signal);
      } else if (text.empty()) {
        text = difference(after[i], ours);
      }
      if (text.empty()) continue;
      if (++count.failures <= 5) {
        char words[64];
        std::snprintf(words, sizeof words, "%08x %08x %08x", c.code.word[0], c.code.word[1],
                      c.code.word[2]);
        ADD_FAILURE() << c.oracle_class->name << ": case " << i << ", " << words << ":" << text;
      }
    }
  }
  for (unsigned k = 0; k < kOracleClassCount; ++k) {
    const Count& count = counts[&kOracleClasses[k]];
    std::printf("%-45s %8lu cases, %8lu with an effect, %lu failures\n", kOracleClasses[k].name,
                count.cases, count.effective, count.failures);
    // The comparison has something to compare. (A prefetch has no effect; a tag store none that is
    // seen here, and a STXR without its LDXR or a LDR of XZR little.)
    if (std::strcmp(kOracleClasses[k].name, "prefetch") != 0) {
      EXPECT_GT(count.effective, count.cases / 2) << kOracleClasses[k].name;
    }
  }
}

}  // namespace
}  // namespace trapline::test
