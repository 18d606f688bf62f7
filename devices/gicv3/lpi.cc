#include "devices/gicv3/lpi.h"

#include <algorithm>
#include <bit>

namespace trapline::gicv3 {
namespace {

// GICR_PROPBASER (12.11.33) and GICR_PENDBASER (12.11.31): cacheability and shareability are kept
// and mean nothing here.
constexpr uint64_t kPropbaserWritable = 0x070f'ffff'ffff'ff9f;
constexpr uint64_t kPropbaserAddress = 0x000f'ffff'ffff'f000;
constexpr uint64_t kPropbaserIdBits = 0x1f;
constexpr uint64_t kPendbaserWritable = 0x070f'ffff'ffff'0f80;
constexpr uint64_t kPendbaserAddress = 0x000f'ffff'ffff'0000;
constexpr uint64_t kPendbaserPtz = uint64_t{1} << 62;

// A byte of the configuration table (5.1.1): Priority 7:2, Enable 0.
constexpr uint8_t kEnable = 1;

constexpr uint32_t kStateVersion = 1;

unsigned lowest(uint64_t word) { return static_cast<unsigned>(std::countr_zero(word)); }

uint64_t pending_table_ipa(uint64_t pendbaser) {
  return (pendbaser & kPendbaserAddress) + kFirstLpi / 8;
}

uint8_t level_of(uint8_t configuration) { return configuration >> (8 - kPriorityBits); }

}  // namespace

// --- LpiSet --------------------------------------------------------------------------------------

bool LpiSet::insert(unsigned n) {
  uint64_t& leaf = leaves_[n / 64];
  const uint64_t bit = uint64_t{1} << (n % 64);
  if ((leaf & bit) != 0) return false;
  leaf |= bit;
  middle_[n / 4096] |= uint64_t{1} << (n / 64 % 64);
  top_ |= uint64_t{1} << (n / 4096);
  return true;
}

bool LpiSet::erase(unsigned n) {
  uint64_t& leaf = leaves_[n / 64];
  const uint64_t bit = uint64_t{1} << (n % 64);
  if ((leaf & bit) == 0) return false;
  leaf &= ~bit;
  if (leaf != 0) return true;
  uint64_t& middle = middle_[n / 4096];
  middle &= ~(uint64_t{1} << (n / 64 % 64));
  if (middle == 0) top_ &= ~(uint64_t{1} << (n / 4096));
  return true;
}

unsigned LpiSet::first() const {
  const unsigned middle = lowest(top_);
  const unsigned leaf = middle * 64 + lowest(middle_[middle]);
  return leaf * 64 + lowest(leaves_[leaf]);
}

unsigned LpiSet::next(unsigned n) const {
  if (n >= kLpis) return kLpis;
  unsigned leaf = n / 64;
  if (const uint64_t rest = leaves_[leaf] >> (n % 64); rest != 0) return n + lowest(rest);
  // The next leaf that is not empty.
  for (++leaf; leaf < kLeaves; leaf = (leaf / 64 + 1) * 64) {
    const uint64_t rest = middle_[leaf / 64] >> (leaf % 64);
    if (rest == 0) continue;
    leaf += lowest(rest);
    return leaf * 64 + lowest(leaves_[leaf]);
  }
  return kLpis;
}

// --- registers -----------------------------------------------------------------------------------

void Lpis::set_propbaser(uint64_t value) {
  if (!enabled_) propbaser_ = value & kPropbaserWritable;
}

void Lpis::set_pendbaser(uint64_t value) {
  if (enabled_) return;
  pendbaser_ = value & kPendbaserWritable;
  pending_table_zero_ = (value & kPendbaserPtz) != 0;  // write-only
}

void Lpis::enable(bool on) {
  if (on == enabled_) return;
  if (on) {
    enabled_ = true;
    find_tables();
    if (!pending_table_zero_) read_pending_table();
    return;
  }
  write_pending_table();
  for (unsigned n = pending_.next(0); n < kLpis; n = pending_.next(n + 1)) erase(n);
  enabled_ = false;
  pending_table_zero_ = false;  // it holds what was pending
}

void Lpis::reset() {
  for (unsigned n = pending_.next(0); n < kLpis; n = pending_.next(n + 1)) erase(n);
  enabled_ = pending_table_zero_ = false;
  propbaser_ = pendbaser_ = 0;
}

// --- tables in the guest's memory ----------------------------------------------------------------

void Lpis::find_tables() {
  const unsigned bits = static_cast<unsigned>(propbaser_ & kPropbaserIdBits) + 1;
  end_ = uint32_t{1} << std::min(bits, kLpiIdBits);
  configurations_ =
      end_ > kFirstLpi ? dma_.host(propbaser_ & kPropbaserAddress, end_ - kFirstLpi) : nullptr;
}

uint8_t Lpis::configuration(unsigned n) const {
  return configurations_ != nullptr ? __atomic_load_n(configurations_ + n, __ATOMIC_RELAXED) : 0;
}

// The part of the pending table (5.1.2) that is for LPIs; empty if it is not in RAM. Bit n of the
// table is INTID n.
std::span<uint64_t> Lpis::pending_table() const {
  if (end_ <= kFirstLpi) return {};
  const uint64_t bytes = (end_ - kFirstLpi) / 8;
  uint8_t* table = dma_.host(pending_table_ipa(pendbaser_), bytes);
  if (table == nullptr) return {};
  return {reinterpret_cast<uint64_t*>(table), bytes / sizeof(uint64_t)};
}

void Lpis::read_pending_table() {
  unsigned base = 0;
  for (const uint64_t& word : pending_table()) {
    for (uint64_t bits = __atomic_load_n(&word, __ATOMIC_RELAXED); bits != 0; bits &= bits - 1) {
      insert(base + lowest(bits), configuration(base + lowest(bits)));
    }
    base += 64;
  }
}

void Lpis::write_pending_table() {
  const std::span<uint64_t> table = pending_table();
  for (size_t i = 0; i < table.size(); ++i) {
    __atomic_store_n(&table[i], pending_.word(i), __ATOMIC_RELAXED);
  }
  if (!table.empty()) dma_.done(pending_table_ipa(pendbaser_), table.size_bytes());
}

// --- states --------------------------------------------------------------------------------------

void Lpis::file(unsigned n, uint8_t configuration) {
  cached_[n] = configuration;
  if ((configuration & kEnable) == 0) return;
  const uint8_t level = level_of(configuration);
  if (ready_[level] == nullptr) ready_[level] = std::make_unique<LpiSet>();
  ready_[level]->insert(n);
  levels_ |= 1u << level;
}

void Lpis::unfile(unsigned n) {
  if ((cached_[n] & kEnable) == 0) return;
  const uint8_t level = level_of(cached_[n]);
  ready_[level]->erase(n);
  if (ready_[level]->empty()) levels_ &= ~(1u << level);
}

void Lpis::insert(unsigned n, uint8_t configuration) {
  if (!pending_.insert(n)) return;
  ++pending_count_;
  file(n, configuration);
}

void Lpis::erase(unsigned n) {
  if (!pending_.erase(n)) return;
  --pending_count_;
  unfile(n);
}

void Lpis::set_pending(uint32_t intid) {
  if (takes(intid)) insert(intid - kFirstLpi, configuration(intid - kFirstLpi));
}

void Lpis::clear_pending(uint32_t intid) {
  if (takes(intid)) erase(intid - kFirstLpi);
}

void Lpis::configuration_changed(uint32_t intid) {
  const unsigned n = intid - kFirstLpi;
  if (!takes(intid) || !pending_.contains(n)) return;
  unfile(n);
  file(n, configuration(n));
}

void Lpis::configurations_changed() {
  if (!enabled_) return;
  for (unsigned n = pending_.next(0); n < kLpis; n = pending_.next(n + 1)) {
    unfile(n);
    file(n, configuration(n));
  }
}

void Lpis::move_to(Lpis& other, uint32_t intid) {
  if (!takes(intid) || !other.takes(intid) || !pending(intid)) return;
  erase(intid - kFirstLpi);
  other.set_pending(intid);
}

void Lpis::move_all_to(Lpis& other) {
  if (!enabled_ || !other.enabled_) return;
  for (unsigned n = pending_.next(0); n < kLpis; n = pending_.next(n + 1)) {
    move_to(other, kFirstLpi + n);
  }
}

Key Lpis::best() const {
  if (levels_ == 0) return kNone;
  const unsigned level = static_cast<unsigned>(std::countr_zero(levels_));
  return make_key(static_cast<uint8_t>(level << (8 - kPriorityBits)),
                  kFirstLpi + ready_[level]->first(), 1);
}

// --- state ---------------------------------------------------------------------------------------

void Lpis::save(StateWriter& out) const {
  out.put(kStateVersion);
  out.put(uint8_t{enabled_});
  out.put(uint8_t{pending_table_zero_});
  out.put(propbaser_);
  out.put(pendbaser_);
  out.put<uint32_t>(pending_count_);
  for (unsigned n = pending_.next(0); n < kLpis; n = pending_.next(n + 1)) {
    out.put(static_cast<uint16_t>(n));
    out.put(cached_[n]);
  }
}

bool Lpis::load(StateReader& in) {
  reset();
  if (in.get<uint32_t>() != kStateVersion) return false;
  const bool on = in.get<uint8_t>() != 0;
  pending_table_zero_ = in.get<uint8_t>() != 0;
  propbaser_ = in.get<uint64_t>() & kPropbaserWritable;
  pendbaser_ = in.get<uint64_t>() & kPendbaserWritable;
  const uint32_t count = in.get<uint32_t>();
  if (count > kLpis || (count != 0 && !on)) return false;
  enabled_ = on;
  if (on) find_tables();
  for (uint32_t i = 0; i < count; ++i) {
    const unsigned n = in.get<uint16_t>();
    const uint8_t cached = in.get<uint8_t>();
    if (!takes(kFirstLpi + n) || pending_.contains(n)) return false;
    insert(n, cached);
  }
  return in.ok();
}

}  // namespace trapline::gicv3
