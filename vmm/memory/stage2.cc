#include "vmm/memory/stage2.h"

#include <atomic>
#include <new>

namespace trapline {
namespace {

// 40-bit IPAs with the 4 KiB granule start at level 1 in two concatenated tables (D8.2.2): the root
// has 1,024 entries of 1 GiB.
constexpr unsigned kStartLevel = 1;
constexpr unsigned kRootTables = 2;
constexpr unsigned kVmid = 1;

// Stage-2 descriptor fields, D8.3.
constexpr uint64_t kValid = 1;
constexpr uint64_t kTableOrPage = 2;
constexpr uint64_t kMemAttrShift = 2;
constexpr uint64_t kMemAttrNormalWb = 0xf;
constexpr uint64_t kS2apRead = uint64_t{1} << 6;
constexpr uint64_t kS2apWrite = uint64_t{1} << 7;
constexpr uint64_t kInnerShareable = uint64_t{3} << 8;
constexpr uint64_t kAccessFlag = uint64_t{1} << 10;
constexpr uint64_t kXn = uint64_t{1} << 54;
constexpr uint64_t kSoftwareWalk = uint64_t{1} << 55;  // 58:55 are for software
constexpr uint64_t kAddress = 0x0000'ffff'ffff'f000;

// Fault status codes, D17.2.37; the level is added.
constexpr uint8_t kTranslationFault = 0x04, kAccessFlagFault = 0x08, kPermissionFault = 0x0c;

constexpr unsigned leaf_log2(unsigned level) { return 12 + 9 * (3 - level); }
constexpr uint64_t leaf_size(unsigned level) { return uint64_t{1} << leaf_log2(level); }
static_assert(leaf_size(1) == uint64_t{1} << 30 && leaf_size(2) == uint64_t{2} << 20);
static_assert(leaf_size(kStartLevel) * 512 * kRootTables == uint64_t{1} << Stage2::kIpaBits,
              "the root covers the IPA space exactly");

constexpr uint64_t index_at(uint64_t ipa, unsigned level) {
  const uint64_t mask = level == kStartLevel ? 512 * kRootTables - 1 : 511;
  return ipa >> leaf_log2(level) & mask;
}

constexpr bool is_table(uint64_t descriptor, unsigned level) {
  return level < 3 && (descriptor & (kValid | kTableOrPage)) == (kValid | kTableOrPage);
}

uint64_t attributes(uint8_t perms) {
  uint64_t d = kValid | kMemAttrNormalWb << kMemAttrShift | kInnerShareable | kAccessFlag;
  if ((perms & kS2Read) != 0) d |= kS2apRead;
  if ((perms & kS2Write) != 0) d |= kS2apWrite;
  if ((perms & kS2Exec) == 0) d |= kXn;
  if ((perms & kS2Walk) != 0) d |= kSoftwareWalk;
  return d;
}

std::atomic_ref<uint64_t> entry_ref(uint64_t* entry) { return std::atomic_ref<uint64_t>(*entry); }

// A walker may read the entry at any time. A change of the output address goes through invalid
// (break-before-make, D8.14.1); a split of a block into equal pages and a change of rights do not
// need it, since our walker reads an entry whole and callers invalidate TLBs afterwards.
void store(uint64_t* entry, uint64_t value) {
  const uint64_t old = *entry;
  if (old == value) return;
  if ((old & value & kValid) != 0 && ((old ^ value) & kAddress) != 0 &&
      ((old ^ value) & kTableOrPage) == 0) {
    entry_ref(entry).store(0, std::memory_order_release);
  }
  entry_ref(entry).store(value, std::memory_order_release);
}

}  // namespace

struct alignas(4096) Stage2::Table {
  uint64_t entry[512];
};

Stage2::Stage2() {
  void* raw =
      ::operator new (sizeof(Table) * kRootTables, std::align_val_t{sizeof(Table) * kRootTables});
  root_ = new (raw) Table[kRootTables]{};
}

Stage2::~Stage2() { ::operator delete (root_, std::align_val_t{sizeof(Table) * kRootTables}); }

// Tables are never freed and never replaced by blocks while the machine lives, so that walkers need
// no lock; at most one exists for each place in the tree, however often a guest makes a flash
// device change its mapping.
Stage2::Table* Stage2::new_table() {
  tables_.push_back(std::make_unique<Table>());
  return tables_.back().get();
}

// The entry of `ipa` at `level`, splitting blocks on the way if `create`; null if there is no table
// at that level and none is wanted.
uint64_t* Stage2::descriptor(uint64_t ipa, unsigned level, bool create) {
  uint64_t* entry = &root_->entry[0] + index_at(ipa, kStartLevel);
  for (unsigned l = kStartLevel; l < level; ++l) {
    const uint64_t d = *entry;
    Table* next;
    if (is_table(d, l)) {
      next = reinterpret_cast<Table*>(d & kAddress);
    } else {
      if (!create) return nullptr;
      next = new_table();
      if ((d & kValid) != 0) {
        // The same mapping in smaller pieces.
        const uint64_t piece = leaf_size(l + 1);
        for (unsigned i = 0; i < 512; ++i) {
          next->entry[i] = (d + i * piece) | (l + 1 == 3 ? kTableOrPage : 0);
        }
      }
      entry_ref(entry).store(reinterpret_cast<uint64_t>(next) | kValid | kTableOrPage,
                             std::memory_order_release);
    }
    entry = &next->entry[index_at(ipa, l + 1)];
  }
  return entry;
}

void Stage2::map(uint64_t ipa, uint64_t size, uint8_t* host, uint8_t perms) {
  std::lock_guard lock(mutex_);
  const uint64_t attrs = attributes(perms);
  const uint64_t limit = uint64_t{1} << kIpaBits;
  if (ipa >= limit) return;
  const uint64_t end = size > limit - ipa ? limit : ipa + size;
  auto oa = reinterpret_cast<uint64_t>(host);
  while (ipa < end) {
    unsigned level = kStartLevel;
    for (; level < 3; ++level) {
      const uint64_t piece = leaf_size(level);
      if (((ipa | oa) & (piece - 1)) != 0 || piece > end - ipa) continue;
      const uint64_t* existing = descriptor(ipa, level, false);
      if (existing == nullptr || !is_table(*existing, level)) break;
    }
    store(descriptor(ipa, level, true), oa | attrs | (level == 3 ? kTableOrPage : 0));
    ipa += leaf_size(level);
    oa += leaf_size(level);
  }
}

void Stage2::unmap(uint64_t ipa, uint64_t size) {
  std::lock_guard lock(mutex_);
  const uint64_t limit = uint64_t{1} << kIpaBits;
  if (ipa >= limit) return;
  const uint64_t end = size > limit - ipa ? limit : ipa + size;
  while (ipa < end) {
    // The deepest entry there is; a block that is only partly covered is split first.
    unsigned level = kStartLevel;
    uint64_t* entry = descriptor(ipa, level, false);
    while (is_table(*entry, level)) entry = descriptor(ipa, ++level, false);
    uint64_t piece = leaf_size(level);
    while ((*entry & kValid) != 0 && level < 3 && ((ipa & (piece - 1)) != 0 || piece > end - ipa)) {
      entry = descriptor(ipa, ++level, true);
      piece = leaf_size(level);
    }
    store(entry, 0);
    const uint64_t next = (ipa & ~(piece - 1)) + piece;
    ipa = next;
  }
}

// The leaf descriptor, valid or not, and its level.
inline uint64_t Stage2::leaf(uint64_t ipa, unsigned& level) const {
  const uint64_t* entry = &root_->entry[0] + index_at(ipa, kStartLevel);
  for (level = kStartLevel;; ++level) {
    const uint64_t d = entry_ref(const_cast<uint64_t*>(entry)).load(std::memory_order_acquire);
    if (!is_table(d, level)) return d;
    entry = &reinterpret_cast<const Table*>(d & kAddress)->entry[index_at(ipa, level + 1)];
  }
}

Stage2Walk Stage2::walk(uint64_t ipa) const {
  Stage2Walk out;
  if (ipa >> kIpaBits != 0) {
    out.fsc = kTranslationFault;  // level 0: the input is out of range
    return out;
  }
  unsigned level;
  const uint64_t d = leaf(ipa, level);
  out.level = static_cast<uint8_t>(level);
  if ((d & (kValid | kAccessFlag)) != (kValid | kAccessFlag)) {
    const unsigned fault = (d & kValid) == 0 ? kTranslationFault : kAccessFlagFault;
    out.fsc = static_cast<uint8_t>(fault | level);
    return out;
  }
  out.ok = true;
  out.readable = (d & kS2apRead) != 0;
  out.writable = (d & kS2apWrite) != 0;
  out.executable = (d & kXn) == 0;
  out.walkable = out.readable || (d & kSoftwareWalk) != 0;
  out.device = (d >> kMemAttrShift & 0xc) == 0;  // MemAttr[3:2] == 0b00
  out.page_log2 = static_cast<uint8_t>(leaf_log2(level));
  out.host = reinterpret_cast<uint8_t*>((d & kAddress) + (ipa & (leaf_size(level) - 1)));
  return out;
}

const uint8_t* Stage2::walk_for_table(uint64_t ipa, uint8_t& fsc) const {
  if (ipa >> kIpaBits == 0) {
    unsigned level;
    const uint64_t d = leaf(ipa, level);
    constexpr uint64_t kMapped = kValid | kAccessFlag;
    if ((d & kMapped) == kMapped && (d & (kS2apRead | kSoftwareWalk)) != 0) {
      return reinterpret_cast<const uint8_t*>((d & kAddress) + (ipa & (leaf_size(level) - 1)));
    }
  }
  const Stage2Walk slow = walk(ipa);
  fsc = slow.ok ? static_cast<uint8_t>(kPermissionFault | slow.level) : slow.fsc;
  return nullptr;
}

uint64_t Stage2::vttbr() const { return reinterpret_cast<uint64_t>(root_) | uint64_t{kVmid} << 48; }

// VTCR_EL2, D17.2.159.
uint64_t Stage2::vtcr() const {
  constexpr uint64_t kT0sz = 64 - kIpaBits;
  constexpr uint64_t kSl0Level1 = uint64_t{1} << 6;
  constexpr uint64_t kIrgn0Wb = uint64_t{1} << 8, kOrgn0Wb = uint64_t{1} << 10;
  constexpr uint64_t kSh0Inner = uint64_t{3} << 12;
  constexpr uint64_t kTg0FourKb = 0;
  constexpr uint64_t kPs48Bits = uint64_t{5} << 16;
  constexpr uint64_t kRes1 = uint64_t{1} << 31;
  return kT0sz | kSl0Level1 | kIrgn0Wb | kOrgn0Wb | kSh0Inner | kTg0FourKb | kPs48Bits | kRes1;
}

}  // namespace trapline
