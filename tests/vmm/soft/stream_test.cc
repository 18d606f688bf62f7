// Streams of random instructions over every encoding class, here at EL0 and under qemu-aarch64:
// general and SIMD&FP registers, SP, NZCV, FPCR, FPSR and the block's memory compared after each
// block. TRAPLINE_STREAM_INSTRUCTIONS sets how many at least, TRAPLINE_STREAM_SEED the first seed;
// each program of 1,000 blocks has the next one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "decode/capstone_adapter.h"
#include "tests/vmm/soft/stream_image.h"

namespace trapline::soft::stream {
namespace {

constexpr unsigned kBlocks = 1000, kPasses = 4;

// By seed.
constexpr Way kWays[] = {
    {},
    {.budget = 1},
    {.slow_data = true},
    {.translate_after = 0},
    {.translate_after = 2},
    {.budget = 37, .slow_data = true},
    {.budget = 93},
    {.slow_data = true, .translate_after = 0},
    {.baseline_host = true},
    {},
    {.budget = 1, .baseline_host = true},
};

struct Stream {
  std::vector<Block> blocks;
  std::vector<uint32_t> sequence;
  std::vector<Record> records;
};

Stream make_stream(uint64_t seed, CpuModel model, std::vector<uint64_t>& drawn) {
  Random random(seed);
  Generator generator(random, kImageBase, model);
  Stream s;
  uint64_t at = kBlocksBase;
  for (unsigned i = 0; i < kBlocks; ++i) {
    s.blocks.push_back(generator.block(at, 16 + random.below(49)));
    at += 4 * (s.blocks.back().words.size() + kBlockTail);
  }
  for (unsigned i = 0; i < kBlocks * kPasses; ++i) {
    s.sequence.push_back(i % kBlocks);
    s.records.push_back(random_stream_record(random));
  }
  for (size_t i = 0; i < drawn.size(); ++i) drawn[i] += generator.drawn[i];
  return s;
}

// Runs every prefix of the block from the record, on both sides, and says which instruction is the
// first to leave another state.
std::string first_difference(const Block& block, const Record& record, const Way& way,
                             CpuModel model) {
  const size_t n = block.words.size();
  std::vector<Block> prefixes;
  std::vector<uint32_t> sequence;
  uint64_t at = kBlocksBase;
  for (size_t length = 0; length <= n; ++length) {
    Block b{at, block.words};
    for (size_t i = length; i < n; ++i) {
      b.words[i] = 0x14000000 | static_cast<uint32_t>(n - i);  // to the end
    }
    at += 4 * (n + kBlockTail);
    sequence.push_back(static_cast<uint32_t>(prefixes.size()));
    prefixes.push_back(std::move(b));
  }
  const Program program =
      make_program(prefixes, sequence, std::vector<Record>(sequence.size(), record));
  Reference reference(program, model);
  const Result here = run_here(program, way, model);
  const std::vector<Record> there = reference.records();
  if (!here.error.empty()) return here.error;
  if (there.empty()) return "the reference did not run to the end";
  CapstoneDecoder capstone;
  for (size_t length = 1; length <= n; ++length) {
    const std::string what = difference(there[length], here.records[length]);
    if (what.empty()) continue;
    const uint32_t word = block.words[length - 1];
    const Record& before = there[length - 1];
    std::string operands;
    for (const unsigned at : {0u, 5u, 16u, 10u}) {
      const unsigned i = word >> at & 31;
      if (i < 30) operands += fmt::format(" x{} {:016x}", i, before.r.x[i]);
      operands += fmt::format(" v{} {:016x}:{:016x}", i, before.r.v[i].hi, before.r.v[i].lo);
    }
    return fmt::format("{:08x} {}{}\n  before: FPCR {:08x} FPSR {:08x} NZCV {:08x}{}\n  after:{}",
                       word, capstone.text(word, 0),
                       length < 2 ? "" : fmt::format(", behind {:08x}", block.words[length - 2]),
                       before.r.fpcr, before.r.fpsr, before.r.nzcv, operands, what);
  }
  return "no prefix of the block differs by itself";
}

void agrees_with_qemu(CpuModel model) {
  if (std::system("qemu-aarch64 --version > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "qemu-aarch64 is not installed";
  }
  const unsigned long wanted = fp::from_environment("TRAPLINE_STREAM_INSTRUCTIONS", 200'000);
  uint64_t seed = fp::from_environment("TRAPLINE_STREAM_SEED", 1);
  std::vector<uint64_t> drawn(classes().size());
  uint64_t instructions = 0, blocks = 0;
  unsigned differing = 0;
  for (; instructions < wanted && differing < 10; ++seed) {
    const Stream s = make_stream(seed, model, drawn);
    const Program program = make_program(s.blocks, s.sequence, s.records);
    Reference reference(program, model);
    const Result here = run_here(program, kWays[seed % std::size(kWays)], model);
    ASSERT_EQ(here.error, "") << "seed " << seed;
    const std::vector<Record> there = reference.records();
    ASSERT_FALSE(there.empty()) << "the reference did not run to the end; seed " << seed;
    for (size_t i = 0; i < there.size() && differing < 10; ++i) {
      if (memcmp(&there[i], &here.records[i], sizeof(Record)) == 0) continue;
      ++differing;
      const Block& block = s.blocks[s.sequence[i]];
      ADD_FAILURE() << "seed " << seed << " record " << i << ": "
                    << first_difference(block, s.records[i], kWays[seed % std::size(kWays)], model)
                    << "\n  whole block:" << difference(there[i], here.records[i]);
    }
    instructions += here.instructions;
    blocks += there.size();
  }
  EXPECT_EQ(differing, 0u);
  size_t of_model = 0;
  for (size_t i = 0; i < drawn.size(); ++i) {
    const Class& c = classes()[i];
    if (c.model > model || (c.name == "DC ZVA" && model != CpuModel::kBase)) continue;
    ++of_model;
    EXPECT_NE(drawn[i], 0u) << c.name << " was never drawn";
  }
  fmt::print("{} instructions in {} blocks of {} encoding classes\n", instructions, blocks,
             of_model);
}

TEST(Stream, EveryEncodingClassAgreesWithQemu) { agrees_with_qemu(CpuModel::kBase); }
TEST(Stream, EveryEncodingClassOfMaxAgreesWithQemu) { agrees_with_qemu(CpuModel::kMax); }

}  // namespace
}  // namespace trapline::soft::stream
