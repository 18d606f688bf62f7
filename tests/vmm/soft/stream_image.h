// A program of many blocks, each run from records of its own: the same bytes here and under
// qemu-aarch64. A record is the state before and, afterwards, the state behind the block.
#ifndef TRAPLINE_TESTS_VMM_SOFT_STREAM_IMAGE_H_
#define TRAPLINE_TESTS_VMM_SOFT_STREAM_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/vmm/soft/engine_fixture.h"
#include "tests/vmm/soft/stream_blocks.h"

namespace trapline::soft::stream {

struct Record {
  fp::Record r;  // X0-X29, NZCV, FPCR, FPSR, V0-V31
  uint64_t x30 = 0, sp = 0, pad[4] = {};
  uint8_t memory[kMemoryBytes];
};
static_assert(sizeof(Record) == 1536 && sizeof(Record) % 64 == 0);
static_assert(offsetof(Record, memory) == 832);

// X30 enters a block as the block's address, whatever the record says.
Record random_stream_record(Random& random);
// What differs, one line; empty if nothing.
std::string difference(const Record& expected, const Record& actual);

inline constexpr uint64_t kImageBase = kRam + 0x100'0000;
inline constexpr uint64_t kBlocksBase = kImageBase + 0x2000;

struct Program {
  std::vector<uint8_t> bytes;  // at kImageBase
  uint64_t records_at = 0;     // guest address
  size_t records = 0;
  unsigned driver_instructions = 0;  // for each record, besides the block's own
};
// `blocks` lie one behind the other from kBlocksBase, kBlockTail words after each; record i is run
// by block sequence[i].
inline constexpr unsigned kBlockTail = 2;
Program make_program(const std::vector<Block>& blocks, const std::vector<uint32_t>& sequence,
                     const std::vector<Record>& records);

// qemu-aarch64 in a child: starts it, and reads all records. An empty result: it did not end well.
class Reference {
 public:
  Reference(const Program& program, CpuModel model);
  ~Reference();
  std::vector<Record> records();

 private:
  std::string path_;
  FILE* pipe_ = nullptr;
  size_t count_;
};

struct Result {
  std::string error;
  std::vector<Record> records;
  uint64_t instructions = 0;  // of blocks
};
struct Way {
  uint64_t budget = ~uint64_t{0};  // instructions at a time
  bool slow_data = false;          // all pages watched: every access goes through mmio::emulate()
  uint16_t translate_after = 1;    // a block runs four times
  bool baseline_host = false;      // use_baseline_host()
};
// At EL0.
Result run_here(const Program& program, const Way& way, CpuModel model);

}  // namespace trapline::soft::stream

#endif  // TRAPLINE_TESTS_VMM_SOFT_STREAM_IMAGE_H_
