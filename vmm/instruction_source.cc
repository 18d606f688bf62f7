#include "vmm/instruction_source.h"

#include <cstring>

#include "decode/a64_decoder.h"
#include "decode/capstone_adapter.h"

namespace trapline {
namespace {

icache::Policy policy_of(CachePolicy policy) {
  switch (policy) {
    case CachePolicy::kOff:
      return icache::Policy::kOff;
    case CachePolicy::kRewalk:
      return icache::Policy::kRewalk;
    case CachePolicy::kRecheck:
      return icache::Policy::kRecheck;
    case CachePolicy::kProtect:
      return icache::Policy::kProtect;
  }
  return icache::Policy::kOff;
}

icache::Source source_of(const Fetched& fetched) {
  icache::Source source;
  source.word = fetched.word;
  source.loads = fetched.loads;
  source.ipa = fetched.ipa;
  source.word_host = fetched.word_host;
  static_assert(sizeof source.desc_host == sizeof fetched.desc_host);
  std::memcpy(source.desc_host, fetched.desc_host, sizeof source.desc_host);
  std::memcpy(source.desc, fetched.desc, sizeof source.desc);
  std::memcpy(source.desc_ipa, fetched.desc_ipa, sizeof source.desc_ipa);
  return source;
}

bool same_source(const Fetched& a, const Fetched& b) {
  return b.ok && a.word == b.word && a.ipa == b.ipa && a.loads == b.loads &&
         std::memcmp(a.desc_ipa, b.desc_ipa, sizeof a.desc_ipa) == 0 &&
         std::memcmp(a.desc, b.desc, sizeof a.desc) == 0;
}

}  // namespace

// Laps of one find(); nothing but a null test when timing is off.
class InstructionSource::Laps {
 public:
  explicit Laps(VcpuStatistics::Latency* latency) : latency_(latency) {
    if (latency_ != nullptr) last_ = host_cycles();
  }
  void lap(Stage stage) {
    if (latency_ == nullptr) return;
    uint64_t now = host_cycles();
    latency_->stages[static_cast<size_t>(stage)].record(now - last_);
    last_ = now;
  }

 private:
  VcpuStatistics::Latency* latency_;
  uint64_t last_ = 0;
};

InstructionSource::InstructionSource(Vcpu& vcpu, const Choice& choice)
    : vcpu_(vcpu), choice_(choice), cache_(policy_of(choice.policy)) {
  if (choice.decoder == DecoderChoice::kCapstone) capstone_ = std::make_unique<CapstoneDecoder>();
}

InstructionSource::~InstructionSource() = default;

void InstructionSource::set_context() {
  const TranslationRegs& regs = vcpu_.translation_regs();
  cache_->set_context({.sctlr = regs.sctlr,
                       .tcr = regs.tcr,
                       .mair = regs.mair,
                       .ttbr0 = regs.ttbr0,
                       .ttbr1 = regs.ttbr1,
                       .vmid = regs.vmid,
                       .el = regs.el});
}

InstructionSource::Status InstructionSource::decode_word(uint32_t word, Access& access,
                                                         VcpuStatistics& statistics) {
  last_word_ = word;
  DecodeStatus status;
  if (capstone_ != nullptr) {
    status = capstone_->decode(word, access);
    if (capstone_->last_was_native()) ++statistics.counters.decode_fallback;
  } else {
    status = decode(word, access);
  }
  switch (status) {
    case DecodeStatus::kAccess:
      ++statistics.counters.decode_ok;
      return Status::kOk;
    case DecodeStatus::kUnsupported:
      ++statistics.counters.decode_unsupported;
      return Status::kUnsupported;
    default:
      return Status::kRetry;  // what trapped was a memory access: this is not what trapped
  }
}

InstructionSource::Status InstructionSource::find(uint64_t pc, Access& access,
                                                  VcpuStatistics& statistics,
                                                  VcpuStatistics::Latency* latency) {
  Laps laps(latency);
  const CachePolicy policy = choice_.policy;
  const bool by_pc = policy == CachePolicy::kRecheck || policy == CachePolicy::kProtect;
  if (by_pc) {
    set_context();
    const icache::Entry* entry = cache_->lookup(pc);
    laps.lap(Stage::kLookup);
    if (entry != nullptr) {
      access = entry->access;
      if (choice_.check) [[unlikely]] {
        check_hit(pc, access);
      }
      return Status::kOk;
    }
  }

  const uint64_t token = cache_->begin();
  Fetched fetched = vcpu_.fetch(pc);
  laps.lap(Stage::kTranslate);
  if (!fetched.ok) return Status::kRetry;

  if (policy == CachePolicy::kRewalk) {
    const icache::Entry* entry = cache_->lookup_word(fetched.word);
    laps.lap(Stage::kLookup);
    if (entry != nullptr) {
      access = entry->access;
      return Status::kOk;
    }
  }

  bool cacheable = true;
  if (policy == CachePolicy::kProtect) {
    uint64_t pages[icache::Source::kMaxLoads + 1];
    unsigned n = icache::source_pages(source_of(fetched), pages);
    for (unsigned i = 0; i < n; ++i) {
      cacheable = cacheable && choice_.backend != nullptr && choice_.backend->watch(pages[i] << 12);
    }
    // What was read before the watch began may have changed since.
    Fetched again = vcpu_.fetch(pc);
    if (!same_source(fetched, again)) {
      cacheable = false;
      fetched = again;
      if (!fetched.ok) return Status::kRetry;
    }
    laps.lap(Stage::kFetch);
  }

  Status status = decode_word(fetched.word, access, statistics);
  laps.lap(Stage::kDecode);
  if (status != Status::kOk) return status;
  if (policy == CachePolicy::kRewalk) {
    cache_->insert_word(fetched.word, access);
  } else if (by_pc && cacheable) {
    cache_->insert(pc, access, source_of(fetched), token);
  }
  laps.lap(Stage::kLookup);
  return Status::kOk;
}

// Rule 4, checked: what a hit says must be what a walk, a fetch and a decode say now. With several
// threads the bytes may change between the two looks: only a source that reads the same twice
// counts.
void InstructionSource::check_hit(uint64_t pc, const Access& hit) {
  Fetched fetched = vcpu_.fetch(pc);
  Access fresh{};
  if (fetched.ok && decode(fetched.word, fresh) == DecodeStatus::kAccess && fresh == hit) return;
  if (same_source(fetched, vcpu_.fetch(pc)) && cache_->lookup(pc) != nullptr) {
    cache_->count_mismatch();
  }
}

void InstructionSource::drop(uint64_t pc) {
  if (choice_.policy == CachePolicy::kRewalk || choice_.policy == CachePolicy::kOff) return;
  set_context();
  cache_->drop(pc);
}

void InstructionSource::memory_written(uint64_t ipa, uint64_t size) {
  if (choice_.policy == CachePolicy::kProtect) cache_->invalidate_range(ipa, size);
}

CacheCounters InstructionSource::cache_counters() const {
  icache::Counters c = cache_->counters();
  return {c.hits, c.misses, c.invalidations, c.mismatches};
}

}  // namespace trapline
