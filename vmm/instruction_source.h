// From a trapped PC to its Access: the decoded-instruction cache in front of walk, fetch and
// decode.
#ifndef TRAPLINE_VMM_INSTRUCTION_SOURCE_H_
#define TRAPLINE_VMM_INSTRUCTION_SOURCE_H_

#include <cstdint>
#include <memory>

#include "decode/access.h"
#include "icache/icache.h"
#include "icache/owned.h"
#include "vmm/options.h"
#include "vmm/statistics.h"
#include "vmm/vcpu.h"

namespace trapline {

class CapstoneDecoder;

class InstructionSource final {
 public:
  struct Choice {
    DecoderChoice decoder = DecoderChoice::kNative;
    CachePolicy policy = CachePolicy::kRewalk;
    bool check = false;          // beside every hit: a fresh walk, fetch and decode (rule 4)
    Backend* backend = nullptr;  // for watch(), policy `protect`
  };
  enum class Status : uint8_t {
    kOk,
    kRetry,        // the PC does not lead to a memory instruction now: rule 1
    kUnsupported,  // a memory instruction that is not emulated
  };

  InstructionSource(Vcpu& vcpu, const Choice& choice);
  ~InstructionSource();

  // The access of the instruction at `pc`, as the vCPU would fetch it in its present context.
  Status find(uint64_t pc, Access& access, VcpuStatistics& statistics,
              VcpuStatistics::Latency* latency);
  // Forgets what is cached for `pc`.
  void drop(uint64_t pc);
  // Any thread: guest memory in the range was written, or the memory map changed.
  void memory_written(uint64_t ipa, uint64_t size);
  void memory_map_changed() { cache_->invalidate_all(); }

  uint32_t last_word() const { return last_word_; }
  CacheCounters cache_counters() const;

 private:
  class Laps;

  const Access* lookup(uint64_t pc);
  void set_context();
  bool fetch(uint64_t pc, Fetched& fetched);
  Status decode_word(uint32_t word, Access& access, VcpuStatistics& statistics);
  void check_hit(uint64_t pc, const Access& hit);

  Vcpu& vcpu_;
  Choice choice_;
  icache::OwnedICache cache_;
  std::unique_ptr<CapstoneDecoder> capstone_;
  uint32_t last_word_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_INSTRUCTION_SOURCE_H_
