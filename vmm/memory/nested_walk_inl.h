// The definitions of walk_guest_stage2() and walk_nested(). Not implemented, and not shown in the
// ID registers: LPA2, TTST, HAFDBS, XNX, FWB; so SL2, DS, HA, HD of VTCR_EL2 do nothing, and bit 53
// of a descriptor is ignored.
#ifndef TRAPLINE_VMM_MEMORY_NESTED_WALK_INL_H_
#define TRAPLINE_VMM_MEMORY_NESTED_WALK_INL_H_

#include <algorithm>
#include <cstdint>

#include "vmm/memory/nested_walk.h"
#include "vmm/memory/walk_inl.h"

namespace trapline {

// VTCR_EL2 (D17.2.159) as a shape of tables.
struct GuestStage2Shape {
  bool valid = false;  // else every address is a translation fault at level 0
  uint8_t input_bits = 0;
  uint8_t granule_log2 = 12;
  uint8_t start_level = 0;
  uint8_t output_bits = 0;
};

constexpr GuestStage2Shape guest_stage2_shape(uint64_t vtcr) {
  GuestStage2Shape shape;
  const unsigned t0sz = vtcr & 63, sl0 = vtcr >> 6 & 3, tg0 = vtcr >> 14 & 3;
  const unsigned granule = tg0 == 1 ? 16 : tg0 == 2 ? 14 : 12;
  const unsigned stride = granule - 3, bits = 64 - t0sz;
  const unsigned highest = granule == 12 ? 2 : 3;  // the level that SL0 == 0 names
  shape.granule_log2 = static_cast<uint8_t>(granule);
  shape.input_bits = static_cast<uint8_t>(bits);
  shape.output_bits = static_cast<uint8_t>(output_address_bits(vtcr << 16));  // PS is 18:16
  if (sl0 == 3) return shape;
  const unsigned level = highest - sl0;
  shape.start_level = static_cast<uint8_t>(level);
  // AArch64.S2InvalidSL: level 0 with 4 KiB needs 44-bit addresses, level 1 with 16 KiB 42, with
  // 64 KiB 44.
  static_assert(kIpaBits < 42);
  if (level == (granule == 12 ? 0 : 1)) return shape;
  // AArch64.S2TxSZFaults: from PARange down to 25 bits.
  if (bits > kIpaBits || bits < 25) return shape;
  // AArch64.S2InconsistentSL: the first table has at least two entries, and at most 16 tables are
  // concatenated.
  const unsigned below = granule + (3 - level) * stride;  // bits that an entry of it covers
  shape.valid = bits >= below + 1 && bits <= below + stride + 4;
  return shape;
}

template <typename ReadDescriptor>
GuestStage2Walk walk_guest_stage2(const TranslationRegs& regs, uint64_t ipa,
                                  ReadDescriptor&& read) {
  GuestStage2Walk out;
  auto fault = [&out](unsigned fsc, unsigned level) {
    out.status = GuestStage2Walk::Status::kFault;
    out.fsc = static_cast<uint8_t>(fsc | level);
    out.level = static_cast<uint8_t>(level);
    return out;
  };
  const GuestStage2Shape shape = guest_stage2_shape(regs.vtcr);
  if (!shape.valid || ipa >> shape.input_bits != 0) return fault(kFscTranslation, 0);
  const unsigned granule = shape.granule_log2, stride = granule - 3;
  const uint64_t beyond = ~uint64_t{0} << shape.output_bits;
  constexpr uint64_t kAddressMask = 0x0000'ffff'ffff'ffff;

  // VTTBR_EL2: the base is aligned to the concatenated tables' size; bit 0 is CnP, 63:48 the VMID.
  unsigned level = shape.start_level;
  unsigned index_bits = shape.input_bits - (granule + (3 - level) * stride);
  const uint64_t base = regs.vttbr & kAddressMask & ~uint64_t{1};
  if ((base & beyond) != 0) return fault(kFscAddressSize, 0);
  uint64_t table = base & (~uint64_t{0} << (index_bits + 3));

  for (;; ++level, index_bits = stride) {
    const unsigned shift = granule + (3 - level) * stride;
    const uint64_t entry = table + (ipa >> shift & ((uint64_t{1} << index_bits) - 1)) * 8;
    uint64_t descriptor = 0;
    out.level = static_cast<uint8_t>(level);
    if (!read(entry, descriptor)) {
      out.status = GuestStage2Walk::Status::kTableFault;
      out.table_ipa = entry;
      return out;
    }
    if ((regs.guest_stage2 & kGuestStage2BigEndian) != 0) {
      descriptor = __builtin_bswap64(descriptor);
    }
    if ((descriptor & 1) == 0) return fault(kFscTranslation, level);
    const bool table_or_page = (descriptor & 2) != 0;
    const uint64_t output = descriptor & kAddressMask & (~uint64_t{0} << granule);
    if (table_or_page && level < 3) {
      if ((output & beyond) != 0) return fault(kFscAddressSize, level);
      table = output;
      continue;
    }
    // Blocks: level 1 and 2 with 4 KiB, level 2 with 16 and 64 KiB; elsewhere reserved.
    const bool block = level == 2 || (level == 1 && granule == 12);
    if (!table_or_page && !block) return fault(kFscTranslation, level);
    const uint64_t leaf_mask = (uint64_t{1} << shift) - 1;
    if ((output & ~leaf_mask & beyond) != 0) return fault(kFscAddressSize, level);
    if ((descriptor >> 10 & 1) == 0) return fault(kFscAccessFlag, level);

    out.status = GuestStage2Walk::Status::kOk;
    out.readable = (descriptor >> 6 & 1) != 0;
    out.writable = (descriptor >> 7 & 1) != 0;
    out.executable = (descriptor >> 54 & 1) == 0;
    out.mem_attr = static_cast<uint8_t>(descriptor >> 2 & 15);
    out.shareability = static_cast<uint8_t>(descriptor >> 8 & 3);
    out.device = (out.mem_attr & 0xc) == 0;
    out.page_log2 = static_cast<uint8_t>(shift);
    out.ipa = (output & ~leaf_mask) | (ipa & leaf_mask);
    return out;
  }
}

namespace walk_internal {

// What the hypervisor's stage 2 has to say against an address: true if nothing.
inline bool accept_stage2(NestedWalk& out, uint64_t ipa, bool allowed) {
  const GuestStage2Walk& s2 = out.stage2;
  out.fault_ipa = ipa;
  out.level = static_cast<int8_t>(s2.level);
  switch (s2.status) {
    case GuestStage2Walk::Status::kFault:
      out.status = NestedWalk::Status::kStage2Fault;
      out.fsc = s2.fsc;
      return false;
    case GuestStage2Walk::Status::kTableFault:
      out.status = NestedWalk::Status::kTableFault;
      out.fsc = static_cast<uint8_t>(kFscExternalOnWalk | s2.level);
      out.of_stage2 = true;
      out.ipa = s2.table_ipa;
      return false;
    case GuestStage2Walk::Status::kOk:
      break;
  }
  if (allowed) return true;
  out.status = NestedWalk::Status::kStage2Fault;
  out.fsc = static_cast<uint8_t>(kFscPermission | s2.level);
  out.ipa_valid = out.s1ptw;
  return false;
}

}  // namespace walk_internal

inline Stage1Walk outcome(const NestedWalk& nested) {
  Stage1Walk walk = nested.stage1;
  if (nested.status == NestedWalk::Status::kOk) {
    walk.ipa = nested.ipa;
    walk.readable = nested.readable;
    walk.writable = nested.writable;
    walk.executable = nested.executable;
    walk.device = nested.device;
  } else if (walk.status == Stage1Walk::Status::kOk) {
    walk.status = Stage1Walk::Status::kFault;
    walk.fsc = nested.fsc;
  }
  return walk;
}

template <typename Features, typename ReadDescriptor>
NestedWalk walk_nested(const TranslationRegs& regs, uint64_t va, WalkFor purpose, bool el0,
                       ReadDescriptor&& read, bool check_stage2) {
  NestedWalk out;
  const bool has_stage2 = (regs.guest_stage2 & kGuestStage2On) != 0;
  auto read_noted = [&](uint64_t ipa, uint64_t& descriptor) {
    if (!read(ipa, descriptor)) return false;
    if (out.loads < NestedWalk::kMaxLoads) {
      out.descriptor_ipa[out.loads] = ipa;
      out.descriptor[out.loads++] = descriptor;
    }
    return true;
  };
  // An entry of a table of stage 1.
  auto read_stage1 = [&](uint64_t ipa, uint64_t& descriptor) {
    uint64_t entry = ipa;
    if (has_stage2) {
      out.s1ptw = true;
      out.stage2 = walk_guest_stage2(regs, ipa, read_noted);
      const GuestStage2Walk& s2 = out.stage2;
      const bool protect = s2.device && (regs.guest_stage2 & kGuestStage2Ptw) != 0;
      if (!walk_internal::accept_stage2(out, ipa, s2.readable && !protect)) return false;
      entry = s2.ipa;
    }
    if (read_noted(entry, descriptor)) {
      out.s1ptw = false;
      return true;
    }
    out.status = NestedWalk::Status::kTableFault;
    out.s1ptw = true;
    out.ipa = entry;
    return false;
  };

  out.stage1 = walk_stage1<Features>(regs, va, purpose, el0, read_stage1);
  const Stage1Walk& s1 = out.stage1;
  switch (s1.status) {
    case Stage1Walk::Status::kOk:
      break;
    case Stage1Walk::Status::kFault:
      out.status = NestedWalk::Status::kStage1Fault;
      out.fsc = s1.fsc;
      out.level = s1.level;
      return out;
    case Stage1Walk::Status::kTableFault:
      if (out.status == NestedWalk::Status::kTableFault && !out.of_stage2) {
        out.level = s1.level;
        out.fsc = fsc_at(kFscExternalOnWalk, s1.level);
      }
      return out;
  }

  out.readable = s1.readable;
  out.writable = s1.writable;
  out.executable = s1.executable;
  out.device = s1.device;
  out.page_log2 = s1.page_log2;
  out.level = s1.level;
  out.ipa = s1.ipa;
  if (has_stage2) {
    out.stage2 = walk_guest_stage2(regs, s1.ipa, read_noted);
    const GuestStage2Walk& s2 = out.stage2;
    const bool needs_read = purpose == WalkFor::kRead || purpose == WalkFor::kReadWrite;
    const bool needs_write = purpose == WalkFor::kWrite || purpose == WalkFor::kReadWrite;
    const bool refused = (needs_read && !s2.readable) || (needs_write && !s2.writable) ||
                         (purpose == WalkFor::kFetch && !s2.executable);
    if (!walk_internal::accept_stage2(out, s1.ipa, !refused || !check_stage2)) return out;
    out.readable &= s2.readable;
    out.writable &= s2.writable;
    out.executable &= s2.executable;
    out.device |= s2.device;
    out.page_log2 = std::min(out.page_log2, s2.page_log2);
    out.ipa = s2.ipa;
  }
  out.status = NestedWalk::Status::kOk;
  return out;
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_MEMORY_NESTED_WALK_INL_H_
