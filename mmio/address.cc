#include "decode/mops.h"
#include "mmio/emulate.h"
#include "mmio/transaction.h"

namespace trapline {
namespace emulation {

uint64_t strip_pac(uint64_t pointer, const CpuView& view) {
  // The PAC fills the bits between the VA size and the tag; bit 55 says which half, and its copies
  // are what stood there before signing (AArch64.Auth, J1.1.3).
  const bool upper = pointer >> 55 & 1;
  const unsigned bottom = upper ? view.va_bits_upper : view.va_bits_lower;
  if (bottom > 55) return pointer;
  const bool tagged = upper ? view.tbi_upper : view.tbi_lower;
  uint64_t field = ~uint64_t{0} << bottom;
  if (tagged) field &= 0x00ff'ffff'ffff'ffff;
  return upper ? pointer | field : pointer & ~field;
}

uint64_t strip_tag(uint64_t va, const CpuView& view) {
  const bool upper = va >> 55 & 1;
  if (!(upper ? view.tbi_upper : view.tbi_lower)) return va;
  return upper ? va | 0xff00'0000'0000'0000 : va & 0x00ff'ffff'ffff'ffff;
}

namespace {

uint64_t extended_offset(const Access& access, const CpuView& view) {
  uint64_t offset = view.regs->x[access.rm & 31];
  if (access.extend == Extend::kUxtw) offset = static_cast<uint32_t>(offset);
  if (access.extend == Extend::kSxtw) {
    offset = static_cast<uint64_t>(int64_t{static_cast<int32_t>(static_cast<uint32_t>(offset))});
  }
  return offset << access.shift;
}

uint64_t unaligned_address(const Access& access, const CpuView& view) {
  const unsigned rn = access.rn & 31;
  const uint64_t imm = static_cast<uint64_t>(int64_t{access.imm});
  uint64_t base = view.regs->x[rn == 31 ? kSlotSp : rn];
  switch (access.mode) {
    case AddressMode::kBase:
    case AddressMode::kPostIndex:
    case AddressMode::kPostRegister:
      return base;
    case AddressMode::kOffset:
    case AddressMode::kPreIndex:
      if (access.op == Op::kLoadAuthenticated) base = strip_pac(base, view);
      return base + imm;
    case AddressMode::kRegister:
      return base + extended_offset(access, view);
    case AddressMode::kLiteral:
      return view.pc + imm;
    case AddressMode::kRegisterVa:
      return view.regs->x[access.rt & 31];
  }
  return base;
}

}  // namespace

uint64_t zero_block_bytes(const CpuView& view) {
  // DCZID_EL0.BS: 4 words to 2 KiB. A block never crosses a page.
  unsigned log2 = view.zero_block_log2;
  if (log2 < 4) log2 = 4;
  if (log2 > 11) log2 = 11;
  return uint64_t{1} << log2;
}

}  // namespace emulation

uint64_t effective_address(const Access& access, const CpuView& view) {
  if (is_mops(access.op)) {
    return emulation::mops_next_address(access, view, false);
  }
  const uint64_t address = emulation::unaligned_address(access, view);
  switch (access.op) {
    case Op::kZeroBlock:
    case Op::kZeroBlockTags:
    case Op::kZeroBlockBoth:
    case Op::kStoreTagZeroMultiple:
      return address & ~(emulation::zero_block_bytes(view) - 1);
    case Op::kLoadTag:
      return address & ~uint64_t{15};
    case Op::kLoadTagMultiple:
    case Op::kStoreTagMultiple:
      return address & ~uint64_t{emulation::kTagBlockBytes - 1};
    default:
      return address;
  }
}

}  // namespace trapline
