// The cache's C interface, and how an abort uses it.
#include <new>

#include "decode/a64_decoder.h"
#include "vmm/embed/cpu.h"

using trapline::icache::ICache;
using trapline::icache::Policy;

struct alignas(64) tl_cache {
  tl_cache(Policy policy, unsigned entries_log2, void* storage)
      : icache(policy, entries_log2, storage) {}
  ICache icache;
};

namespace trapline::embed {
namespace {

static_assert(static_cast<int>(Policy::kRewalk) == TL_CACHE_REWALK);
static_assert(static_cast<int>(Policy::kRecheck) == TL_CACHE_RECHECK);
static_assert(static_cast<int>(Policy::kProtect) == TL_CACHE_PROTECT);
static_assert(ICache::kStorageAlign == 64 && alignof(tl_vcpu) == 64, "as trapline.h says");

bool known(tl_cache_policy policy) {
  return policy >= TL_CACHE_REWALK && policy <= TL_CACHE_PROTECT;
}

[[gnu::noinline]] tl_result decode_word(uint32_t word, Access& access) {
  switch (decode(word, access)) {
    case DecodeStatus::kAccess:
      return TL_DONE;
    case DecodeStatus::kUnsupported:
      return TL_NOT_EMULATED;
    default:
      return TL_RETRY;  // what trapped was a memory access: this is not what trapped
  }
}

// Of what fetch() found: from here on writes to its pages are heard of. What was read before may
// have changed since, so the word and the tables are read again. False: nothing may be kept.
[[gnu::noinline]] bool watch_source(tl_vcpu& vcpu, uint64_t pc) {
  if (vcpu.ops.watch == nullptr || vcpu.ops.translate != nullptr) return false;
  vcpu.pages = icache::source_pages(vcpu.source, vcpu.page);
  for (unsigned i = 0; i < vcpu.pages; ++i) {
    if (vcpu.ops.watch(vcpu.arg, vcpu.page[i] << 12) != 0) return false;
  }
  const uint32_t word_before = vcpu.source.word;
  const uint64_t ipa_before = vcpu.source.ipa;
  uint32_t word;
  if (fetch(vcpu, pc, word) != TL_DONE || word != word_before || vcpu.source.ipa != ipa_before) {
    return false;
  }
  // The same pages, though the descriptors may have been exchanged between them.
  if (icache::source_pages(vcpu.source, vcpu.page_again) != vcpu.pages) return false;
  for (unsigned i = 0; i < vcpu.pages; ++i) {
    if (vcpu.page[i] != vcpu.page_again[i]) return false;
  }
  return true;
}

// Whether all that a hit must compare can be read again.
bool can_recheck(const tl_vcpu& vcpu) {
  const icache::Source& source = vcpu.source;
  if (vcpu.ops.translate != nullptr || source.word_host == nullptr) return false;
  for (unsigned i = 0; i < source.loads; ++i) {
    if (source.desc_host[i] == nullptr) return false;
  }
  return true;
}

[[gnu::noinline]] void set_context(tl_vcpu& vcpu, ICache& icache) {
  const TranslationRegs& regs = vcpu.translation;
  icache.set_context(
      {.sctlr = regs.sctlr,
       .tcr = regs.tcr,
       .mair = regs.mair,
       .ttbr0 = regs.ttbr0,
       .ttbr1 = regs.ttbr1,
       .vmid = regs.vmid,
       .el = static_cast<uint8_t>(regs.el | static_cast<unsigned>(regs.regime) << 4)});
}

bool by_pc(const ICache& icache) { return icache.policy() != Policy::kRewalk; }

}  // namespace

tl_result find_access(tl_vcpu& vcpu, uint64_t pc) {
  ICache* icache = vcpu.cache == nullptr ? nullptr : &vcpu.cache->icache;
  uint64_t token = 0;
  if (icache != nullptr && by_pc(*icache)) {
    set_context(vcpu, *icache);
    if (const icache::Entry* entry = icache->lookup(pc)) {
      vcpu.access = entry->access;
      return TL_DONE;
    }
    token = icache->begin();
  }
  uint32_t word;
  if (const tl_result fetched = fetch(vcpu, pc, word); fetched != TL_DONE) return fetched;
  if (icache == nullptr) return decode_word(word, vcpu.access);
  if (!by_pc(*icache)) {
    if (const icache::Entry* entry = icache->lookup_word(word)) {
      vcpu.access = entry->access;
      return TL_DONE;
    }
    const tl_result decoded = decode_word(word, vcpu.access);
    if (decoded == TL_DONE) icache->insert_word(word, vcpu.access);
    return decoded;
  }
  const bool keep =
      icache->policy() == Policy::kProtect ? watch_source(vcpu, pc) : can_recheck(vcpu);
  const tl_result decoded = decode_word(word, vcpu.access);
  if (decoded == TL_DONE && keep) icache->insert(pc, vcpu.access, vcpu.source, token);
  return decoded;
}

void drop_cached(tl_vcpu& vcpu, uint64_t pc) {
  if (vcpu.cache == nullptr || !by_pc(vcpu.cache->icache)) return;
  set_context(vcpu, vcpu.cache->icache);
  vcpu.cache->icache.drop(pc);
}

}  // namespace trapline::embed

extern "C" size_t tl_cache_size(tl_cache_policy policy, unsigned entries_log2) {
  if (!trapline::embed::known(policy)) return 0;
  return sizeof(tl_cache) + ICache::storage_bytes(static_cast<Policy>(policy), entries_log2);
}

extern "C" tl_cache* tl_cache_init(void* memory, size_t size, tl_cache_policy policy,
                                   unsigned entries_log2) {
  if (memory == nullptr || (reinterpret_cast<uintptr_t>(memory) & 63) != 0 ||
      !trapline::embed::known(policy) || size < tl_cache_size(policy, entries_log2)) {
    return nullptr;
  }
  return new (memory) tl_cache(static_cast<Policy>(policy), entries_log2,
                               static_cast<char*>(memory) + sizeof(tl_cache));
}

extern "C" unsigned tl_cache_invalidate(tl_cache* cache, uint64_t ipa, uint64_t size) {
  return cache == nullptr ? 0 : cache->icache.invalidate_range(ipa, size);
}

extern "C" void tl_cache_invalidate_all(tl_cache* cache) {
  if (cache != nullptr) cache->icache.invalidate_all();
}

extern "C" void tl_cache_count(const tl_cache* cache, tl_cache_counters* out) {
  if (cache == nullptr || out == nullptr) return;
  const trapline::icache::Counters c = cache->icache.counters();
  *out = {};
  out->hits = c.hits;
  out->misses = c.misses;
  out->stale = c.stale;
  out->inserts = c.inserts;
  out->evictions = c.evictions;
  out->refused = c.refused;
  out->invalidations = c.invalidations;
}
