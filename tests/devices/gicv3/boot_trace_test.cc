// What real guests do with a GICv3, recorded from qemu-system-aarch64 7.2 (-M virt,gic-version=3,
// its=off, trace events gicv3_dist_*, gicv3_redist_*, gicv3_icc_*) and replayed: every read must
// give what it gave there, and every acknowledge the same interrupt. Debian's 6.1 kernel on two
// CPUs, and EDK2. (U-Boot's qemu_arm64 leaves the GIC alone.)
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "tests/devices/gicv3/gic_fixture.h"

namespace trapline::gicv3 {
namespace {

const std::map<std::string, SysregId> kSysregNames = {
    {"ICC_PMR", kIccPmr},         {"ICC_BPR1", kIccBpr1},       {"ICC_BPR0", kIccBpr0},
    {"ICC_AP0R0", kIccAp0r0},     {"ICC_AP1R0", kIccAp1r0},     {"ICC_CTLR", kIccCtlr},
    {"ICC_IGRPEN1", kIccIgrpen1}, {"ICC_IGRPEN0", kIccIgrpen0}, {"ICC_IAR1", kIccIar1},
    {"ICC_EOIR1", kIccEoir1},
};

// Where we differ from QEMU on purpose, as bits that are not compared.
uint64_t ignored_dist_bits(uint64_t offset) {
  switch (offset) {
    case kGicdTyper:
      // IDbits, LPIS; MBIS and 1-of-N, which we have; ITLinesNumber, one too few there.
      return 0xfb'001f | 1u << 25;
    case kGicdIidr:
      return 0xff00'0000;  // the product
    default:
      return 0;
  }
}
uint64_t ignored_redist_bits(uint64_t offset) {
  switch (offset) {
    case kGicrTyper:
      return 0xff'ff00 | 0x0100'0021;  // Processor_Number, CommonLPIAff, LPIs; DPGS, which we have
    case kGicrCtlr:
      return 2;  // CES: about LPIs
    case kGicrIidr:
      return 0xff00'0000;
    default:
      return 0;
  }
}

void replay(const std::string& file, unsigned num_cpus, unsigned min_acks) {
  std::ifstream in(std::string(TRAPLINE_TRACE_DIR) + "/" + file);
  ASSERT_TRUE(in) << file;
  GicBench b(num_cpus);
  std::string line;
  unsigned number = 0;
  unsigned acks = 0;
  while (std::getline(in, line)) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    SCOPED_TRACE(file + ":" + std::to_string(number) + ": " + line);
    std::istringstream words(line);
    std::string kind, name;
    words >> kind;
    std::vector<uint64_t> n;
    for (std::string word; words >> word;) {
      if (word.starts_with("ICC_")) {
        name = word;
      } else {
        n.push_back(std::stoull(word, nullptr, 0));
      }
    }
    if (kind == "dr") {
      EXPECT_EQ((b.dist(n[0], n[1]) ^ n[2]) & ~ignored_dist_bits(n[0]), 0u);
    } else if (kind == "dw") {
      b.set_dist(n[0], n[2], n[1]);
    } else if (kind == "rr") {
      EXPECT_EQ((b.redist(n[0], n[1], n[2]) ^ n[3]) & ~ignored_redist_bits(n[1]), 0u);
    } else if (kind == "rw") {
      b.set_redist(n[0], n[1], n[3], n[2]);
    } else if (kind == "ppi") {
      b.gic.ppi(n[0], n[1]).set(n[2] != 0);
    } else if (kind == "sgi") {
      b.set_icc(n[0], kIccSgi1r, n[1] << 24 | n[2] << 40 | n[3]);
    } else if (kind == "ir") {
      if (name == "ICC_IAR1") {
        EXPECT_EQ(b.irq[n[0]].level, n[1] != 1023);
        ++acks;
      }
      const uint64_t ignored = name == "ICC_CTLR" ? 0x3800 : 0;  // IDbits
      EXPECT_EQ((b.icc(n[0], kSysregNames.at(name)) ^ n[1]) & ~ignored, 0u);
    } else if (kind == "iw") {
      b.set_icc(n[0], kSysregNames.at(name), n[1]);
    } else {
      FAIL() << "unknown event";
    }
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GE(acks, min_acks);
  EXPECT_EQ(b.dist(kGicdStatusr) & (kStatusWrd | kStatusWrod), 0u);  // nothing we do not know
  EXPECT_TRUE(b.gic.consistent());
}

TEST(GicBootTrace, Linux) { replay("linux.txt", 2, 100); }
TEST(GicBootTrace, Edk2) { replay("edk2.txt", 1, 20); }

}  // namespace
}  // namespace trapline::gicv3
