// The definition of walk_stage1(). VMSAv8-64, D8.2 to D8.5: 4, 16 and 64 KiB granules, 48-bit input
// and output addresses, hierarchical permissions, PAN, WXN; HAFDBS, HPDS, TTST, and 52-bit
// addresses by LVA, LPA and LPA2 where `Features` says so. Not implemented: E0PD, BTI, XNX,
// permission indirection and overlays, 128-bit descriptors.
#ifndef TRAPLINE_VMM_MEMORY_WALK_INL_H_
#define TRAPLINE_VMM_MEMORY_WALK_INL_H_

#include <cstdint>

#include "vmm/memory/walk.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline {

// SCTLR_EL1, D17.2.118.
enum Sctlr : uint64_t {
  kSctlrM = 1 << 0,
  kSctlrA = 1 << 1,
  kSctlrC = 1 << 2,
  kSctlrSa = 1 << 3,
  kSctlrSa0 = 1 << 4,
  kSctlrUma = 1 << 9,
  kSctlrI = 1 << 12,
  kSctlrDze = 1 << 14,
  kSctlrUct = 1 << 15,
  kSctlrNtwi = 1 << 16,
  kSctlrNtwe = 1 << 18,
  kSctlrWxn = 1 << 19,
  kSctlrSpan = 1 << 23,
  kSctlrE0e = 1 << 24,
  kSctlrEe = 1 << 25,
  kSctlrUci = 1 << 26,
};

// The output-address bits of TCR_EL1.IPS (ID_AA64MMFR0_EL1.PARange has the same encoding), capped
// at what is implemented: the reserved values act as the largest (D17.2.131). `large`: the
// descriptors have room for 52.
template <typename Features = SoftWalkFeatures>
constexpr unsigned output_address_bits(uint64_t tcr, bool large = false) {
  constexpr unsigned kBits[8] = {32, 36, 40, 42, 44, 48, 52, 52};
  const unsigned encoded = kBits[tcr >> 32 & 7];
  const unsigned bits = encoded > 48 && !large ? 48 : encoded;
  return bits < Features::kAddressBits ? bits : Features::kAddressBits;
}

inline constexpr uint64_t kTcrDs = uint64_t{1} << 59;  // D17.2.131

// One half of the address space as TCR_EL1 configures it.
struct TranslationRegion {
  uint64_t ttbr = 0;
  uint8_t input_bits = 48;  // 64 - TnSZ
  uint8_t granule_log2 = 12;
  bool top_byte_ignore = false;
  bool disabled = false;   // EPDn
  bool large = false;      // descriptors hold 52-bit addresses: 64 KiB (LPA), or by TCR.DS (LPA2)
  bool valid_size = true;  // TnSZ is in range for the granule
};

// Bit 55 of the address chooses (D8.2.4).
constexpr bool upper_region(uint64_t va) { return (va >> 55 & 1) != 0; }

template <typename Features = SoftWalkFeatures>
constexpr TranslationRegion translation_region(const TranslationRegs& regs, bool upper) {
  TranslationRegion region;
  const uint64_t tcr = regs.tcr;
  unsigned tsz, tg;
  if (upper) {
    region.ttbr = regs.ttbr1;
    tsz = tcr >> 16 & 63;
    // TG1: 01 16 KiB, 10 4 KiB, 11 64 KiB; the reserved value acts as 4 KiB.
    const unsigned tg1 = tcr >> 30 & 3;
    tg = tg1 == 1 ? 14 : tg1 == 3 ? 16 : 12;
    region.top_byte_ignore = (tcr >> 38 & 1) != 0;
    region.disabled = (tcr >> 23 & 1) != 0;
  } else {
    region.ttbr = regs.ttbr0;
    tsz = tcr & 63;
    // TG0: 00 4 KiB, 01 64 KiB, 10 16 KiB; the reserved value acts as 4 KiB.
    const unsigned tg0 = tcr >> 14 & 3;
    tg = tg0 == 1 ? 16 : tg0 == 2 ? 14 : 12;
    region.top_byte_ignore = (tcr >> 37 & 1) != 0;
    region.disabled = (tcr >> 7 & 1) != 0;
  }
  region.granule_log2 = static_cast<uint8_t>(tg);
  if constexpr (Features::kLarge) region.large = tg == 16 || (tcr & kTcrDs) != 0;
  // Without FEAT_LVA and FEAT_TTST 16..39 is legal. Outside it is CONSTRAINED UNPREDICTABLE whether
  // the value is clamped or every address faults (D8.2.3): we fault.
  constexpr unsigned kMost = Features::kMaxTnsz, kMost64K = kMost < 47 ? kMost : 47;
  region.valid_size = tsz >= (region.large ? 12 : 16) && tsz <= (tg == 16 ? kMost64K : kMost);
  region.input_bits = static_cast<uint8_t>(region.valid_size ? 64 - tsz : 48);
  return region;
}

// TCR_EL2 without E2H (D17.2.132) in the layout of TCR_EL1: its one range is the lower half, and an
// address with bit 55 set is beyond it, which EPD1 says, too.
constexpr uint64_t tcr_of_el2(uint64_t tcr_el2) {
  constexpr uint64_t kT0szToTg0 = 0xff3f;
  constexpr uint64_t kNoUpperHalf = 1 << 23 | 16 << 16;  // EPD1, and a legal T1SZ
  const uint64_t ps = tcr_el2 >> 16 & 7;
  const uint64_t tbi = tcr_el2 >> 20 & 1;
  const uint64_t ha_hd = tcr_el2 >> 21 & 3;
  const uint64_t hpd = tcr_el2 >> 24 & 1;
  const uint64_t ds = tcr_el2 >> 32 & 1;
  return (tcr_el2 & kT0szToTg0) | kNoUpperHalf | ps << 32 | tbi << 37 | tbi << 38 | ha_hd << 39 |
         hpd << 41 | ds << 59;
}

constexpr bool top_byte_ignored(const TranslationRegs& regs, uint64_t va) {
  return (regs.tcr >> (upper_region(va) ? 38 : 37) & 1) != 0;
}

// The address without its tag: bits 63:56 copy bit 55, or are zero in a regime of one range
// (AArch64.BranchAddr and friends).
constexpr uint64_t strip_tag(const TranslationRegs& regs, uint64_t va) {
  if (!top_byte_ignored(regs, va)) return va;
  if (regs.regime == Regime::kEl2) return va & ((uint64_t{1} << 56) - 1);
  return static_cast<uint64_t>(static_cast<int64_t>(va << 8) >> 8);
}

namespace walk_internal {

// MAIR attribute: 0b0000xxxx is Device; so are the UNPREDICTABLE encodings, for safety.
constexpr bool attribute_is_device(uint64_t mair, unsigned index) {
  return (mair >> (index * 8) & 0xf0) == 0;
}

// The access permissions at the EL asked for, D8.4.1: AP[2:1], XN bits, WXN, PAN.
struct Rights {
  bool read, write, execute;
};
constexpr Rights stage1_rights(const TranslationRegs& regs, unsigned ap, bool uxn, bool pxn,
                               bool el0) {
  const bool user = (ap & 1) != 0;       // AP[1]: EL0 may access
  const bool read_only = (ap & 2) != 0;  // AP[2]
  const bool wxn = (regs.sctlr & kSctlrWxn) != 0;
  Rights rights{};
  if (el0) {
    rights.read = user;
    rights.write = user && !read_only;
    rights.execute = !uxn && !(wxn && rights.write);
  } else {
    rights.read = true;
    rights.write = !read_only;
    // What EL0 may write, EL1 never executes (D8.4.1.2.3), whatever PXN says.
    rights.execute = !pxn && !(user && !read_only) && !(wxn && rights.write);
    if (user && regs.pan) rights.read = rights.write = false;
  }
  return rights;
}

// The address in a descriptor, down to the granule's size, D8.3.1: with 52 bits the highest ones
// stand below it.
constexpr uint64_t output_address(const TranslationRegion& region, uint64_t descriptor) {
  constexpr uint64_t kTo47 = 0x0000'ffff'ffff'ffff, kTo49 = 0x0003'ffff'ffff'ffff;
  const uint64_t above = ~uint64_t{0} << region.granule_log2;
  if (!region.large) return descriptor & kTo47 & above;
  return region.granule_log2 == 16 ? (descriptor & kTo47 & above) | (descriptor >> 12 & 15) << 48
                                   : (descriptor & kTo49 & above) | (descriptor >> 8 & 3) << 50;
}

// Blocks: level 1 and 2 with 4 KiB, level 2 with 16 and 64 KiB, and with 52-bit addresses one level
// up each; elsewhere reserved.
constexpr bool block_at(const TranslationRegion& region, int level) {
  const int highest = (region.granule_log2 == 12 ? 1 : 2) - (region.large ? 1 : 0);
  return level >= highest && level < 3;
}

// A descriptor as it would stand in a little-endian table of EL1&0. In EL2's own regime AP[1] is
// RES1 and means nothing (so no PAN), and XN and XNTable stand where EL1&0 has those of EL0 (D8.4);
// a table's bits 6 and 53 and a leaf's bit 59 are ignored.
constexpr uint64_t as_el1(const TranslationRegs& regs, uint64_t descriptor) {
  if ((regs.sctlr & kSctlrEe) != 0) descriptor = __builtin_bswap64(descriptor);
  if (regs.regime != Regime::kEl2) return descriptor;
  constexpr uint64_t kUser = 1 << 6, kPxn = uint64_t{1} << 53, kPxnTable = uint64_t{1} << 59;
  return (descriptor & ~(kUser | kPxn | kPxnTable)) | (descriptor >> 1 & (kPxn | kPxnTable));
}

}  // namespace walk_internal

template <typename Features, typename ReadDescriptor>
void walk_stage1_into(Stage1Walk& out, const TranslationRegs& regs, uint64_t va, WalkFor purpose,
                      bool el0, ReadDescriptor&& read) {
  auto fault = [&out](Fsc fsc, int level) {
    out.status = Stage1Walk::Status::kFault;
    out.fsc = fsc_at(fsc, level);
    out.level = static_cast<int8_t>(level);
  };
  const uint64_t address = strip_tag(regs, va);

  if ((regs.sctlr & kSctlrM) == 0) {
    // D8.2.10: the output is the input; anything above the implemented size is an address size
    // fault at level 0. Data is Device-nGnRnE, fetches are Normal. Bits 63:56 are ignored by TBI.
    const uint64_t flat =
        top_byte_ignored(regs, va) ? address & ((uint64_t{1} << 56) - 1) : address;
    if (flat >> Features::kAddressBits != 0) return fault(kFscAddressSize, 0);
    out.status = Stage1Walk::Status::kOk;
    out.device = purpose != WalkFor::kFetch && (regs.guest_stage2 & kGuestStage2Dc) == 0;
    out.readable = out.writable = out.executable = true;
    out.ipa = flat;
    return;
  }

  const bool upper = upper_region(va);
  const TranslationRegion region = translation_region<Features>(regs, upper);
  const unsigned bits = region.input_bits;
  const unsigned granule = region.granule_log2;
  const unsigned stride = granule - 3;  // bits an entry index resolves
  // All bits above the region's size must equal bit 55 (those of a stripped tag do).
  const bool in_range = upper ? (~address >> bits) == 0 : (address >> bits) == 0;
  if (!region.valid_size || !in_range || region.disabled) return fault(kFscTranslation, 0);

  // The first level is the highest one whose index is not empty (D8.2.7): -1 with 4 KiB and more
  // than 48 bits.
  const unsigned levels = (bits - granule + stride - 1) / stride;
  int level = 4 - static_cast<int>(levels);
  const unsigned output_bits = output_address_bits<Features>(regs.tcr, region.large);
  const uint64_t output_mask = ~uint64_t{0} << output_bits;
  constexpr uint64_t kAddressMask = 0x0000'ffff'ffff'ffff;

  // TTBR: the base is aligned to the table's size; bit 0 is CnP, 63:48 the ASID. A base of 52 bits
  // has its highest ones in 5:2, and is aligned to 64 bytes at least.
  const unsigned first_bits = bits - (granule + (levels - 1) * stride);
  uint64_t base = region.ttbr & kAddressMask;
  if (output_bits > 48) base = (base & ~uint64_t{63}) | (region.ttbr >> 2 & 15) << 48;
  uint64_t table = base & (~uint64_t{0} << (first_bits + 3));
  if ((base & output_mask) != 0) return fault(kFscAddressSize, 0);

  unsigned index_bits = first_bits;
  const bool uncommon = (regs.sctlr & kSctlrEe) != 0 || regs.regime == Regime::kEl2;
  bool table_no_user = false, table_read_only = false, table_uxn = false, table_pxn = false;
  for (;; ++level, index_bits = stride) {
    const unsigned shift = granule + static_cast<unsigned>(3 - level) * stride;
    const uint64_t index = address >> shift & ((uint64_t{1} << index_bits) - 1);
    const uint64_t entry = table + index * 8;
    uint64_t descriptor = 0;
    out.level = static_cast<int8_t>(level);
    if (!read(entry, descriptor)) {
      out.status = Stage1Walk::Status::kTableFault;
      out.table_ipa = entry;
      return;
    }
    out.descriptor_ipa[out.table_loads] = entry;
    out.descriptor[out.table_loads++] = descriptor;
    if (uncommon) [[unlikely]] {
      descriptor = walk_internal::as_el1(regs, descriptor);
    }

    if ((descriptor & 1) == 0) return fault(kFscTranslation, level);
    const bool table_or_page = (descriptor & 2) != 0;
    const uint64_t output = walk_internal::output_address(region, descriptor);
    if (table_or_page && level < 3) {
      if ((output & output_mask) != 0) return fault(kFscAddressSize, level);
      // Hierarchical permissions only ever take rights away (D8.4.3).
      table_no_user |= (descriptor >> 61 & 1) != 0;
      table_read_only |= (descriptor >> 62 & 1) != 0;
      table_uxn |= (descriptor >> 60 & 1) != 0;
      table_pxn |= (descriptor >> 59 & 1) != 0;
      table = output;
      continue;
    }
    if (!table_or_page && !walk_internal::block_at(region, level)) {
      return fault(kFscTranslation, level);
    }
    const uint64_t leaf_mask = (uint64_t{1} << shift) - 1;
    const uint64_t page = output & ~leaf_mask;
    if ((page & output_mask) != 0) return fault(kFscAddressSize, level);
    // TCR.HA: the hardware sets the flag (D8.5.1).
    const bool sets_access_flag = Features::kHafdbs && (regs.tcr >> 39 & 1) != 0;
    if ((descriptor >> 10 & 1) == 0 && !sets_access_flag) return fault(kFscAccessFlag, level);

    out.attr_index = static_cast<uint8_t>(descriptor >> 2 & 7);
    out.device = walk_internal::attribute_is_device(regs.mair, out.attr_index);
    out.global = (descriptor >> 11 & 1) == 0;
    out.page_log2 = static_cast<uint8_t>(shift);
    out.ipa = page | (address & leaf_mask);
    unsigned ap = descriptor >> 6 & 3;
    if constexpr (Features::kHafdbs) {
      // TCR.HD and DBM: the hardware makes the page writable at the first write (D8.5.2).
      if ((regs.tcr >> 40 & 1) != 0 && (descriptor >> 51 & 1) != 0) ap &= ~2u;
    }
    if constexpr (Features::kHpds) {
      if ((regs.tcr >> (upper ? 42 : 41) & 1) != 0) {
        table_no_user = table_read_only = table_uxn = table_pxn = false;
      }
    }
    if (table_no_user) ap &= ~1u;
    if (table_read_only) ap |= 2;
    const bool uxn = table_uxn || (descriptor >> 54 & 1) != 0;
    const bool pxn = table_pxn || (descriptor >> 53 & 1) != 0;
    const auto rights = walk_internal::stage1_rights(regs, ap, uxn, pxn, el0);
    out.readable = rights.read;
    out.writable = rights.write;
    out.executable = rights.execute;
    break;
  }

  const bool needs_read = purpose == WalkFor::kRead || purpose == WalkFor::kReadWrite;
  const bool needs_write = purpose == WalkFor::kWrite || purpose == WalkFor::kReadWrite;
  if ((needs_read && !out.readable) || (needs_write && !out.writable) ||
      (purpose == WalkFor::kFetch && !out.executable)) {
    return fault(kFscPermission, level);
  }
  out.status = Stage1Walk::Status::kOk;
}

template <typename Features, typename ReadDescriptor>
Stage1Walk walk_stage1(const TranslationRegs& regs, uint64_t va, WalkFor purpose, bool el0,
                       ReadDescriptor&& read) {
  Stage1Walk out;
  walk_stage1_into<Features>(out, regs, va, purpose, el0, read);
  return out;
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_WALK_INL_H_
