#include "devices/gicv3/its_tables.h"

#include <algorithm>

namespace trapline::gicv3 {
namespace {

// GITS_BASER<n> (12.19.1).
constexpr uint64_t kValid = uint64_t{1} << 63;
constexpr uint64_t kIndirect = uint64_t{1} << 62;
constexpr unsigned kTypeShift = 56;
constexpr unsigned kEntrySizeShift = 48;
constexpr uint64_t kWritable = ~(uint64_t{7} << kTypeShift | uint64_t{0x1f} << kEntrySizeShift);
constexpr uint64_t kSizeMask = 0xff;  // pages, less one

// Page_Size 9:8; the reserved 3 is taken for 64 KiB.
unsigned page_log2(uint64_t baser) {
  constexpr unsigned kLog2[] = {12, 14, 16, 16};
  return kLog2[baser >> 8 & 3];
}

uint32_t entries_in_page(unsigned log2) { return (uint32_t{1} << log2) / kItsEntryBytes; }

// With 64 KiB pages bits 15:12 are the address's 51:48; else those are zero.
uint64_t address(uint64_t baser) {
  const unsigned page = page_log2(baser);
  const uint64_t low = baser & ((uint64_t{1} << 48) - (uint64_t{1} << page));
  return page == 16 ? low | (baser >> 12 & 0xf) << 48 : low;
}

constexpr uint64_t kIttAddress = 0x000f'ffff'ffff'ff00;

}  // namespace

DeviceEntry DeviceEntry::unpack(uint64_t word) {
  return {(word & kEntryValid) != 0, static_cast<uint8_t>(word & 0x1f), word & kIttAddress};
}
uint64_t DeviceEntry::pack() const {
  return valid ? kEntryValid | (itt & kIttAddress) | (size & 0x1f) : 0;
}

CollectionEntry CollectionEntry::unpack(uint64_t word) {
  return {(word & kEntryValid) != 0, static_cast<uint16_t>(word)};
}
uint64_t CollectionEntry::pack() const { return valid ? kEntryValid | cpu : 0; }

TranslationEntry TranslationEntry::unpack(uint64_t word) {
  return {(word & kEntryValid) != 0, static_cast<uint32_t>(word),
          static_cast<uint16_t>(word >> 32)};
}
uint64_t TranslationEntry::pack() const {
  return valid ? kEntryValid | uint64_t{collection} << 32 | intid : 0;
}

bool load_word(Dma& dma, uint64_t ipa, uint64_t& word) {
  const uint8_t* host = dma.host(ipa, sizeof word);
  if (host == nullptr) return false;
  word = __atomic_load_n(reinterpret_cast<const uint64_t*>(host), __ATOMIC_RELAXED);
  return true;
}

bool store_word(Dma& dma, uint64_t ipa, uint64_t word) {
  uint8_t* host = dma.host(ipa, sizeof word);
  if (host == nullptr) return false;
  __atomic_store_n(reinterpret_cast<uint64_t*>(host), word, __ATOMIC_RELAXED);
  dma.done(ipa, sizeof word);
  return true;
}

uint64_t ItsTable::read_only() const {
  return uint64_t{type_} << kTypeShift | uint64_t{kItsEntryBytes - 1} << kEntrySizeShift;
}

void ItsTable::set_baser(uint64_t value) { baser_ = (value & kWritable) | read_only(); }

bool ItsTable::reaches(uint32_t id) const {
  constexpr uint64_t kIds = uint64_t{1} << kItsDeviceBits;
  static_assert(kItsDeviceBits == kItsCollectionBits, "one bound for both");
  if ((baser_ & kValid) == 0 || id >= kIds) return false;
  const unsigned page = page_log2(baser_);
  const uint64_t bytes = ((baser_ & kSizeMask) + 1) << page;
  // 64 KiB pages: 256 of them with 8,192 words that stand for 8,192 entries each, at most.
  const uint64_t entries = bytes / kItsEntryBytes;
  return id < ((baser_ & kIndirect) == 0 ? entries : entries * entries_in_page(page));
}

ItsTable::Place ItsTable::find(Dma& dma, uint32_t id, uint64_t& ipa) const {
  if (!reaches(id)) return Place::kBeyond;
  if ((baser_ & kIndirect) == 0) {
    ipa = address(baser_) + uint64_t{id} * kItsEntryBytes;
    return Place::kFound;
  }
  const unsigned page = page_log2(baser_);
  const uint32_t index = id / entries_in_page(page);
  uint64_t first_level = 0;
  if (!load_word(dma, address(baser_) + uint64_t{index} * kItsEntryBytes, first_level)) {
    return Place::kNoMemory;
  }
  if ((first_level & kEntryValid) == 0) return Place::kMissing;
  const uint64_t second_level = first_level & ((uint64_t{1} << 52) - (uint64_t{1} << page));
  ipa = second_level + uint64_t{id % entries_in_page(page)} * kItsEntryBytes;
  return Place::kFound;
}

}  // namespace trapline::gicv3
