// Every encoding class against qemu-aarch64 (user mode): random operands, FPCR and FPSR, the whole
// register state compared. TRAPLINE_FP_CASES sets the number of cases, TRAPLINE_FP_SEED the seed,
// TRAPLINE_FP_ONLY a glob of encodings (bit 31 first, fields as letters).
#include <fmt/format.h>
#include <fnmatch.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/vmm/soft/fp/cases.h"
#include "vmm/soft/fp/fp_arith.h"

namespace trapline::soft::fp {
namespace {

namespace fs = std::filesystem;

bool have(const char* program) {
  return std::system(fmt::format("command -v {} > /dev/null 2>&1", program).c_str()) == 0;
}
struct Case {
  uint32_t word;
  Record before, expected;
};

class QemuBatch {
 public:
  QemuBatch() {
    std::string name = (fs::temp_directory_path() / "trapline-fp-XXXXXX").string();
    directory_ = mkdtemp(name.data());
  }
  ~QemuBatch() {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  // Fills in `expected`. Says what went wrong, or nothing.
  std::string run(std::vector<Case>& cases) {
    std::ofstream list(directory_ / "cases.inc"), in(directory_ / "in", std::ios::binary);
    for (const Case& c : cases) {
      list << fmt::format("CASE {:#x}\n", c.word);
      in.write(reinterpret_cast<const char*>(&c.before), sizeof(Record));
    }
    list.close();
    in.close();
    const std::string d = directory_.string();
    const std::string build = fmt::format(
        "clang --target=aarch64-linux-gnu -nostdlib -static -fuse-ld=lld -I{0} "
        "-Wa,-defsym,RECORDS={1} {2} -o {0}/fp.elf",
        d, cases.size(), TRAPLINE_FP_HARNESS);
    if (std::system(build.c_str()) != 0) return "cannot build: " + build;
    const std::string run = fmt::format("qemu-aarch64 -cpu max {0}/fp.elf < {0}/in > {0}/out", d);
    if (std::system(run.c_str()) != 0) return "cannot run: " + run;
    std::ifstream out(directory_ / "out", std::ios::binary);
    for (Case& c : cases) {
      if (!out.read(reinterpret_cast<char*>(&c.expected), sizeof(Record))) return "short output";
    }
    return {};
  }

 private:
  fs::path directory_;
};

// QEMU 7.2 takes FJCVTZS of a denormal that FPCR.FZ flushes for exact; FPToFixedJS does not.
void correct(Case& c) {
  const uint64_t a = c.before.v[c.word >> 5 & 31].lo;
  const bool denormal = (a & kInf<u64>) == 0 && (a & kFracMask<u64>) != 0;
  if ((c.word & 0xfffffc00) == 0x1e7e0000 && denormal && (c.before.fpcr & kFz) != 0) {
    c.expected.nzcv = 0;
  }
}

TEST(FpQemu, EveryEncodingClassAgrees) {
  for (const char* tool : {"qemu-aarch64", "clang", "ld.lld"}) {
    if (!have(tool)) GTEST_SKIP() << tool << " is not installed";
  }
  const unsigned long total = from_environment("TRAPLINE_FP_CASES", 60000);
  Random random(from_environment("TRAPLINE_FP_SEED", 1));
  auto patterns = encoding_patterns(CpuModel::kBase);
  const auto more = encoding_patterns(CpuModel::kMax);
  patterns.insert(patterns.end(), more.begin(), more.end());
  if (const char* only = std::getenv("TRAPLINE_FP_ONLY")) {
    std::erase_if(patterns, [&](const std::string& p) { return fnmatch(only, p.c_str(), 0) != 0; });
    ASSERT_FALSE(patterns.empty()) << only;
  }
  QemuBatch batch;
  unsigned long done = 0, differing = 0;
  size_t next_pattern = 0;
  while (done < total) {
    std::vector<Case> cases;
    while (cases.size() < 16384 && done + cases.size() < total) {
      const std::string& pattern = patterns[next_pattern++ % patterns.size()];
      uint32_t word = 0;
      for (unsigned tries = 0; tries < 100000 && fp_lookup(word, CpuModel::kMax) == 0; ++tries) {
        word = random_word(pattern, random);
      }
      ASSERT_NE(fp_lookup(word, CpuModel::kMax), 0) << pattern << " is never accepted";
      cases.push_back({word, random_record(random), {}});
    }
    ASSERT_EQ(batch.run(cases), "");
    for (Case& c : cases) {
      correct(c);
      Record actual = c.before;
      execute(c.word, actual);
      const std::string what = difference(c.expected, actual);
      if (what.empty()) continue;
      if (++differing > 40) continue;
      const unsigned n = c.word >> 5 & 31, m = c.word >> 16 & 31, d = c.word & 31;
      ADD_FAILURE() << fmt::format(
          "{:08x} fpcr {:08x} fpsr {:08x} n {:016x}:{:016x} m {:016x}:{:016x} d "
          "{:016x}:{:016x}:{}",
          c.word, c.before.fpcr, c.before.fpsr, c.before.v[n].hi, c.before.v[n].lo,
          c.before.v[m].hi, c.before.v[m].lo, c.before.v[d].hi, c.before.v[d].lo, what);
    }
    done += cases.size();
  }
  EXPECT_EQ(differing, 0u) << "of " << done;
}

}  // namespace
}  // namespace trapline::soft::fp
