// From a trapped PC to its Access: the decoded-instruction cache in front of walk, fetch and
// decode.
#ifndef TRAPLINE_VMM_EXIT_INSTRUCTION_SOURCE_H_
#define TRAPLINE_VMM_EXIT_INSTRUCTION_SOURCE_H_

#include <cstdint>
#include <memory>

#include "decode/a64_decoder.h"
#include "decode/access.h"
#include "icache/icache.h"
#include "icache/owned.h"
#include "vmm/config/options.h"
#include "vmm/exit/counters.h"
#include "vmm/exit/stage_clock.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

class CapstoneDecoder;

class InstructionSource final {
 public:
  struct Choice {
    DecoderChoice decoder = DecoderChoice::kNative;
    CachePolicy policy = CachePolicy::kRewalk;
    bool check = false;          // beside every hit: a fresh walk, fetch and decode (rule 4)
    Backend* backend = nullptr;  // for watch(), policy `protect`
    bool nested = false;         // guests may be hypervisors: room for what their guests' PCs need
  };
  enum class Status : uint8_t {
    kOk,
    kRetry,        // the PC does not lead to a memory instruction now: rule 1
    kUnsupported,  // a memory instruction that is not emulated
  };

  InstructionSource(Vcpu& vcpu, const Choice& choice);
  ~InstructionSource();

  // The access of the instruction at `pc`, as the vCPU would fetch it in its present context. On
  // kOk `access` points to it: good until the next find(), also after drop().
  template <typename Clock>
  [[gnu::always_inline]] Status find(uint64_t pc, const Access*& access, VcpuCounters& counters,
                                     Clock& clock) {
    const icache::Entry* entry = nullptr;
    if (by_pc_) [[likely]] {
      set_context();
      entry = cache_->lookup(pc);
      clock.lap(Stage::kLookup);
    }
    if (entry == nullptr) {
      access = &decoded_;
      return find_slowly(pc, decoded_, counters, clock);
    }
    access = &entry->access;
    if (choice_.check) [[unlikely]] {
      check_hit(pc, *access);
    }
    return Status::kOk;
  }
  // Forgets what is cached for `pc`.
  void drop(uint64_t pc);
  // Any thread: guest memory in the range was written, or stage 2 was changed (every policy: an
  // entry may hold a host address, and stage 2 may refuse what it once granted).
  void memory_written(uint64_t ipa, uint64_t size);
  void memory_map_changed() { cache_->invalidate_all(); }

  uint32_t last_word() const { return last_word_; }
  CacheCounters cache_counters() const;

 private:
  // On the way of every exit: one comparison while nothing changed.
  void set_context() {
    const TranslationRegs& now = vcpu_.translation_regs();
    if (now.serial != seen_serial_) [[unlikely]] {
      change_context(now);
    }
  }
  void change_context(const TranslationRegs& now);
  template <typename Clock>
  Status find_slowly(uint64_t pc, Access& access, VcpuCounters& counters, Clock& clock);
  bool watch_source(uint64_t pc, Fetched& fetched);
  Status decode_word(uint32_t word, Access& access, VcpuCounters& counters);
  DecodeStatus decode_with_choice(uint32_t word, Access& access);
  void check_hit(uint64_t pc, const Access& hit);

  Vcpu& vcpu_;
  Choice choice_;
  bool by_pc_;  // the policies whose key is the PC
  icache::OwnedICache cache_;
  std::unique_ptr<CapstoneDecoder> capstone_;
  // Of the registers that the context was made from; not 0 either, which a backend says that cannot
  // tell.
  uint64_t seen_serial_ = ~uint64_t{0};
  Access decoded_{};  // on a miss
  uint32_t last_word_ = 0;
  uint64_t overtaken_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_EXIT_INSTRUCTION_SOURCE_H_
