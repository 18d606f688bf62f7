#include "vmm/exit/instruction_source.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "decode/a64_decoder.h"
#include "decode/capstone_adapter.h"
#include "mmio/single_access.h"

namespace trapline {
namespace {

icache::Source source_of(const Fetched& fetched) {
  icache::Source source;
  source.word = fetched.word;
  source.loads = fetched.loads;
  source.ipa = fetched.ipa;
  source.word_host = fetched.word_host;
  static_assert(icache::Source::kMaxLoads == Fetched::kMaxLoads);
  std::copy_n(fetched.desc_host, fetched.loads, source.desc_host);
  std::copy_n(fetched.desc, fetched.loads, source.desc);
  std::copy_n(fetched.desc_ipa, fetched.loads, source.desc_ipa);
  return source;
}

constexpr unsigned kSourcePageLog2 = 12;  // of source_pages()

bool same_source(const Fetched& a, const Fetched& b) {
  return b.ok && a.word == b.word && a.ipa == b.ipa && a.loads == b.loads &&
         std::equal(a.desc_ipa, a.desc_ipa + a.loads, b.desc_ipa) &&
         std::equal(a.desc, a.desc + a.loads, b.desc);
}

}  // namespace

InstructionSource::InstructionSource(Vcpu& vcpu, const Choice& choice)
    : vcpu_(vcpu),
      choice_(choice),
      by_pc_(choice.policy == CachePolicy::kRecheck || choice.policy == CachePolicy::kProtect),
      cache_(choice.policy, icache::ICache::kDefaultLog2,
             choice.nested ? icache::Source::kMaxLoads : icache::Source::kUsualLoads) {
  if (choice.decoder == DecoderChoice::kCapstone) capstone_ = std::make_unique<CapstoneDecoder>();
}

InstructionSource::~InstructionSource() = default;

void InstructionSource::change_context(const TranslationRegs& now) {
  seen_serial_ = now.serial != 0 ? now.serial : ~uint64_t{0};
  const bool nested = (now.guest_stage2 & kGuestStage2On) != 0;
  cache_->set_context({.sctlr = now.sctlr,
                       .tcr = now.tcr,
                       .mair = now.mair,
                       .ttbr0 = now.ttbr0,
                       .ttbr1 = now.ttbr1,
                       .vttbr = nested ? now.vttbr : 0,
                       .vtcr = nested ? now.vtcr : 0,
                       .vmid = now.vmid,
                       .el = now.el,
                       .regime = static_cast<uint8_t>(now.regime),
                       .guest_stage2 = now.guest_stage2});
}

DecodeStatus InstructionSource::decode_with_choice(uint32_t word, Access& access) {
  const DecodeStatus status =
      capstone_ != nullptr ? capstone_->decode(word, access) : decode(word, access);
  if (emulation::is_single(access) && access.rn != kRegZr &&
      (access.mode == AddressMode::kBase || access.mode == AddressMode::kOffset ||
       access.mode == AddressMode::kPreIndex || access.mode == AddressMode::kPostIndex)) {
    access.spare = emulation::kPlain;
  }
  return status;
}

InstructionSource::Status InstructionSource::decode_word(uint32_t word, Access& access,
                                                         VcpuCounters& counters) {
  last_word_ = word;
  const DecodeStatus status = decode_with_choice(word, access);
  if (capstone_ != nullptr && capstone_->last_was_native()) bump(counters.counters.decode_fallback);
  switch (status) {
    case DecodeStatus::kAccess:
      bump(counters.counters.decode_ok);
      return Status::kOk;
    case DecodeStatus::kUnsupported:
      bump(counters.counters.decode_unsupported);
      return Status::kUnsupported;
    default:
      return Status::kRetry;  // what trapped was a memory access: this is not what trapped
  }
}

// No cache, or not in it.
template <typename Clock>
InstructionSource::Status InstructionSource::find_slowly(uint64_t pc, Access& access,
                                                         VcpuCounters& counters, Clock& clock) {
  const uint64_t token = cache_->begin();
  Fetched fetched;
  const bool translated = vcpu_.translate_pc(pc, fetched);
  clock.lap(Stage::kTranslate);
  if (!translated) return Status::kRetry;
  fetched.word = __atomic_load_n(fetched.word_host, __ATOMIC_RELAXED);
  if (vcpu_.fetch_overtaken()) [[unlikely]] {
    return Status::kRetry;
  }
  clock.lap(Stage::kFetch);

  if (choice_.policy == CachePolicy::kRewalk) {
    const icache::Entry* entry = cache_->lookup_word(fetched.word);
    clock.lap(Stage::kLookup);
    if (entry != nullptr) {
      access = entry->access;
      if (choice_.check) [[unlikely]] {
        // The word is the key and was fetched for this very exit: only its decoding is left.
        Access fresh{};
        if (decode_with_choice(fetched.word, fresh) != DecodeStatus::kAccess || fresh != access) {
          cache_->count_mismatch();
        }
      }
      return Status::kOk;
    }
  }

  bool cacheable = true;
  if (choice_.policy == CachePolicy::kProtect) {
    cacheable = watch_source(pc, fetched);
    clock.lap(Stage::kFetch);
    if (!fetched.ok) return Status::kRetry;
  }

  const Status status = decode_word(fetched.word, access, counters);
  clock.lap(Stage::kDecode);
  if (status != Status::kOk) return status;
  if (choice_.policy == CachePolicy::kRewalk) {
    cache_->insert_word(fetched.word, access);
  } else if (by_pc_ && cacheable) {
    cache_->insert(pc, access, source_of(fetched), token);
  }
  if (choice_.policy != CachePolicy::kOff) clock.lap(Stage::kLookup);
  return Status::kOk;
}

template InstructionSource::Status InstructionSource::find_slowly(uint64_t, Access&, VcpuCounters&,
                                                                  StageClock&);
template InstructionSource::Status InstructionSource::find_slowly(uint64_t, Access&, VcpuCounters&,
                                                                  NoStages&);
template InstructionSource::Status InstructionSource::find_slowly(uint64_t, Access&, VcpuCounters&,
                                                                  NoClock&);

// Policy `protect`: from here on writes to what `fetched` was read from are heard of. What was read
// before may have changed since, so it is read again. False: do not cache.
bool InstructionSource::watch_source(uint64_t pc, Fetched& fetched) {
  if (choice_.backend == nullptr) return false;
  uint64_t pages[icache::Source::kMaxLoads + 1];
  const unsigned n = icache::source_pages(source_of(fetched), pages);
  for (unsigned i = 0; i < n; ++i) {
    if (!choice_.backend->watch(pages[i] << kSourcePageLog2)) return false;
  }
  const Fetched again = vcpu_.fetch(pc);
  if (same_source(fetched, again)) return true;
  fetched = again;
  return false;
}

// Rule 4, checked: what a hit says must be what a walk, a fetch and a decode say. When they differ
// another thread may just be writing: under `protect` its store is done and its notice is still on
// the way (no guest can tell: the store has not returned), under `recheck` it wrote between the two
// looks. Both pass: sooner or later the entry is gone, or agrees. An entry that stays and differs
// for a whole second is wrong. With one thread nothing passes, and every difference counts.
void InstructionSource::check_hit(uint64_t pc, const Access& hit) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::seconds kPatience(1);
  Clock::time_point end{};
  for (;;) {
    const Fetched fetched = vcpu_.fetch(pc);
    Access fresh{};
    if (fetched.ok && decode_with_choice(fetched.word, fresh) == DecodeStatus::kAccess &&
        fresh == hit) {
      return;
    }
    if (end == Clock::time_point{}) {
      bump(overtaken_);
      end = Clock::now() + kPatience;
    }
    if (!cache_->holds(pc)) return;
    if (Clock::now() >= end) break;
    std::this_thread::yield();
  }
  cache_->count_mismatch();
}

void InstructionSource::drop(uint64_t pc) {
  if (!by_pc_) return;
  set_context();
  cache_->drop(pc);
}

void InstructionSource::memory_written(uint64_t ipa, uint64_t size) {
  if (choice_.policy == CachePolicy::kProtect) cache_->invalidate_range(ipa, size);
}

CacheCounters InstructionSource::cache_counters() const {
  const icache::Counters c = cache_->counters();
  return {c.hits, c.misses, c.invalidations, c.mismatches, peek(overtaken_)};
}

}  // namespace trapline
