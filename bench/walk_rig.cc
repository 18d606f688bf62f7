#include "bench/walk_rig.h"

#include <cstdio>
#include <cstdlib>

#include "vmm/memory/walk_inl.h"

namespace trapline::bench {
namespace {

constexpr uint64_t kBase = 0x4000'0000, kSize = 16 << 20;  // L1 IPA
constexpr uint64_t kL2Offset = 0x20'0000'0000;             // L2 IPA = L1 IPA + kL2Offset
// A page each, far apart, so that no two share a cache line by accident of the layout.
constexpr uint64_t kTables = kBase, kCode = kBase + 0xf00'000;
constexpr uint64_t kTableStride = 0x11'000;
constexpr unsigned kL0Levels = 3;

constexpr uint64_t kPage = 3 | 1 << 10 | 3 << 8, kTable = 3;

TranslationRegs regs_with(uint64_t root) {
  TranslationRegs regs;
  regs.sctlr = kSctlrM;
  regs.tcr = uint64_t{16} | uint64_t{16} << 16 | uint64_t{2} << 30 | uint64_t{5} << 32;
  regs.mair = 0xff;
  regs.ttbr0 = regs.ttbr1 = root;
  return regs;
}

uint64_t table_at(unsigned n) { return kTables + n * kTableStride; }

}  // namespace

WalkRig::WalkRig() {
  if (!memory_.add(kBase, kSize, true).empty()) std::abort();
  host_ = memory_.host(kBase, kSize);
  for (uint64_t at = 0; at < kSize; at += kPageSize) {
    l0_.map(kBase + at, kPageSize, host_ + at, kS2Read | kS2Write | kS2Exec | kS2Walk);
  }
  if (l0_.walk(kCode).level != kL0Levels) std::abort();  // what counts_ assumes
  memory_.write(kCode, &kWord, sizeof kWord);

  unsigned next = 0;
  const unsigned plain = next++;
  map_page(table_at(plain), kCodeVa, kCode, 0, next);
  regs_ = regs_with(table_at(plain));
  const unsigned l2_first = next, l2 = next++;
  map_page(table_at(l2), kCodeVa, kCode + kL2Offset, kL2Offset, next);
  l2_regs_ = regs_with(table_at(l2) + kL2Offset);
  const unsigned l2_last = next;
  // What L1 maps for L2: L2's tables and its code.
  const unsigned stage2 = next++;
  for (unsigned n = l2_first; n < l2_last; ++n) {
    map_page(table_at(stage2), table_at(n) + kL2Offset, table_at(n), 0, next);
  }
  map_page(table_at(stage2), kCode + kL2Offset, kCode, 0, next);
  stage2_regs_ = regs_with(table_at(stage2));
}

void WalkRig::store(uint64_t l1_ipa, uint64_t value) { memory_.write(l1_ipa, &value, 8); }

// Four levels; table addresses in descriptors are L1 IPA + offset.
void WalkRig::map_page(uint64_t root, uint64_t va, uint64_t out, uint64_t offset,
                       unsigned& next_table) {
  uint64_t table = root;
  for (unsigned level = 0; level < 3; ++level) {
    const uint64_t entry = table + 8 * (va >> (39 - 9 * level) & 511);
    uint64_t descriptor = 0;
    memory_.read(entry, &descriptor, 8);
    if (descriptor == 0) {
      descriptor = (table_at(next_table++) + offset) | kTable;
      store(entry, descriptor);
    }
    table = (descriptor & 0x0000'ffff'ffff'f000) - offset;
  }
  store(table + 8 * (va >> 12 & 511), out | kPage);
}

const uint8_t* WalkRig::direct(uint64_t l1_ipa) const {
  return l1_ipa - kBase < kSize ? host_ + (l1_ipa - kBase) : nullptr;
}

const uint8_t* WalkRig::through_l0(uint64_t l1_ipa) {
  counts_.l0_stage2 += kL0Levels;
  uint8_t fsc;
  return l0_.walk_for_table(l1_ipa, fsc);
}

bool WalkRig::read_descriptor(uint64_t l1_ipa, uint64_t& descriptor) const {
  const uint8_t* host = direct(l1_ipa);
  if (host == nullptr) return false;
  descriptor = __atomic_load_n(reinterpret_cast<const uint64_t*>(host), __ATOMIC_ACQUIRE);
  return true;
}

namespace {

uint32_t word_at(const uint8_t* host) {
  return host == nullptr
             ? 0
             : __atomic_load_n(reinterpret_cast<const uint32_t*>(host), __ATOMIC_RELAXED);
}

// walk_stage1() with what turns a table entry's address into a host address.
template <typename Reach>
bool walk(const TranslationRegs& regs, uint64_t va, WalkFor purpose, uint32_t& loads, Reach&& reach,
          uint64_t& out) {
  const Stage1Walk w = walk_stage1(regs, va, purpose, false, [&](uint64_t at, uint64_t& d) {
    const uint8_t* host = reach(at);
    if (host == nullptr) return false;
    d = __atomic_load_n(reinterpret_cast<const uint64_t*>(host), __ATOMIC_ACQUIRE);
    ++loads;
    return true;
  });
  out = w.ipa;
  return w.status == Stage1Walk::Status::kOk;
}

}  // namespace

uint32_t WalkRig::stage1() {
  counts_ = {};
  uint64_t ipa;
  const auto reach = [this](uint64_t at) { return direct(at); };
  if (!walk(regs_, kCodeVa, WalkFor::kFetch, counts_.stage1, reach, ipa)) return 0;
  return word_at(direct(ipa));
}

uint32_t WalkRig::two_dim() {
  counts_ = {};
  uint64_t ipa;
  const auto reach = [this](uint64_t at) { return through_l0(at); };
  if (!walk(regs_, kCodeVa, WalkFor::kFetch, counts_.stage1, reach, ipa)) return 0;
  return word_at(through_l0(ipa));
}

template <typename Reach>
bool WalkRig::l1_stage2(uint64_t l2_ipa, uint64_t& l1_ipa, Reach& reach) {
  return walk(stage2_regs_, l2_ipa, WalkFor::kRead, counts_.l1_stage2, reach, l1_ipa);
}

template <typename Reach>
uint32_t WalkRig::fetch_l2(Reach&& reach) {
  counts_ = {};
  const auto reach_l2 = [&](uint64_t l2_ipa) -> const uint8_t* {
    uint64_t l1_ipa;
    return l1_stage2(l2_ipa, l1_ipa, reach) ? reach(l1_ipa) : nullptr;
  };
  uint64_t l2_ipa;
  if (!walk(l2_regs_, kCodeVa, WalkFor::kFetch, counts_.stage1, reach_l2, l2_ipa)) return 0;
  return word_at(reach_l2(l2_ipa));
}

uint32_t WalkRig::nested() {
  return fetch_l2([this](uint64_t at) { return through_l0(at); });
}

uint32_t WalkRig::by_l1() {
  return fetch_l2([this](uint64_t at) { return direct(at); });
}

}  // namespace trapline::bench
