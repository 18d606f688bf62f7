// emulate() for the access that devices mostly see: one aligned integer element of up to 8 bytes at
// a base register, in the page that the hardware has translated, on one device. Inline, so that the
// exit loop does it without a call; whatever is not so plain is kNot, and emulate() does it.
#ifndef TRAPLINE_MMIO_SINGLE_ACCESS_H_
#define TRAPLINE_MMIO_SINGLE_ACCESS_H_

#include <cstddef>
#include <cstdint>

#include "mmio/emulate.h"
#include "mmio/gate.h"

namespace trapline::emulation {

enum class Single : uint8_t {
  kNot,    // nothing was done
  kDone,   // registers are updated
  kAbort,  // the device refused: an external abort for the guest
};

// The first eight bytes of an Access, op to rm, for the tests below.
inline uint64_t first_half(const Access& access) {
  uint64_t half;
  __builtin_memcpy(&half, &access, sizeof half);
  return half;
}
inline constexpr uint64_t kAboveRegisters = 0xe0e0'e0e0'e000'0000;  // register numbers >= 32
static_assert(offsetof(Access, count) == 2 && offsetof(Access, rt) == 3 &&
              offsetof(Access, rm) == 7);

inline constexpr uint8_t kFscExternal = 0x10;  // DFSC, D17.2.37

// What the guest gets for kAbort.
inline GuestFault refused(const Access& access, uint64_t va) {
  return {.far = va, .fsc = kFscExternal, .write = access.op == Op::kStore};
}

struct MaybeObserved {
  AccessObserver* observer;
  void device_access(const BusMap::Region& region, uint64_t offset, unsigned size, bool write,
                     uint64_t value, bool abort) const {
    if (observer != nullptr) observer->device_access(region, offset, size, write, value, abort);
  }
};

// What goes to the register of a value that was loaded, whose bits above the element are zero or
// noise.
[[gnu::always_inline]] inline uint64_t extend_loaded(const Access& access, uint64_t value) {
  if (access.size_log2 > 3) return value;
  const unsigned unused = 64 - 8 * access.element_bytes();
  value <<= unused;
  if (access.sign == SignExtend::kNone) [[likely]] {
    return value >> unused;
  }
  const auto wide = static_cast<uint64_t>(static_cast<int64_t>(value) >> unused);
  return access.sign == SignExtend::kTo32 ? static_cast<uint32_t>(wide) : wide;
}

// What single_access() can do, as far as the instruction says.
inline bool is_single(const Access& access) {
  constexpr uint64_t kCountByte = 0x00ff'0000, kCountOne = 0x0001'0000;
  return (first_half(access) & (kAboveRegisters | kCountByte)) == kCountOne &&
         (access.op == Op::kStore || access.op == Op::kLoad) && access.size_log2 <= 3 &&
         !access.vector && !access.acquire && !access.acquire_pc && !access.release &&
         access.mode != AddressMode::kPostRegister;
}

// Access::spare, to the exit loop alone, of an access that is_single() and whose address is a
// general register, perhaps with an immediate: found out once, when it is decoded.
inline constexpr uint8_t kPlain = 1;

// Of an access that is_single() and was translated; `kWritesBack`: it may. `Observer`:
// MaybeObserved, or the caller's own, whose call can be inlined.
template <bool kWritesBack, typename Observer>
[[gnu::always_inline]] inline Single access_at(const Access& access, uint64_t ipa, CpuView& view,
                                               const BusMap& bus, EmulateContext& context,
                                               Observer& observer) {
  const bool store = access.op == Op::kStore;
  const unsigned size = access.element_bytes();
  if ((ipa & (size - 1)) != 0 || view.big_endian || context.armed_slot != 0) return Single::kNot;
  const BusMap::Region* region = bus.find(ipa, size, context.hint);
  if (region == nullptr) return Single::kNot;
  BusTarget& device = *region->device;
  const uint64_t offset = ipa - region->base + region->device_offset;
  if (!device.accepts(offset, size, store)) return Single::kNot;

  uint64_t* const x = view.regs->x;
  uint64_t& base = x[access.rn == kRegZr ? kSlotSp : access.rn];
  // Taken before the result is stored, which may go to the same register: the base wins
  // (CONSTRAINED UNPREDICTABLE, K1.2.3).
  const bool indexed = kWritesBack && (access.mode == AddressMode::kPreIndex ||
                                       access.mode == AddressMode::kPostIndex);
  const uint64_t next_base = base + static_cast<uint64_t>(int64_t{access.imm});
  if (store) {
    const unsigned unused = 64 - 8 * size;
    const uint64_t value = x[access.rt] << unused >> unused;
    const MmioResult result = as_plain_store(context.gate, *region, view.vcpu, [&] {
      return device.write(offset, size, value, view.vcpu);
    });
    observer.device_access(*region, offset, size, true, value, result.abort);
    if (result.abort) [[unlikely]] {
      return Single::kAbort;
    }
  } else {
    const MmioResult result = device.read(offset, size, view.vcpu);
    observer.device_access(*region, offset, size, false, result.value, result.abort);
    if (result.abort) [[unlikely]] {
      return Single::kAbort;
    }
    const uint64_t value = extend_loaded(access, result.value);
    x[access.rt == kRegZr ? kSlotDiscard : access.rt] = value;
  }
  if (indexed) base = next_base;
  return Single::kDone;
}

// `known_plain`: whoever decoded this very access found that it is kPlain.
template <typename Observer>
[[gnu::always_inline]] inline Single single_access(const Access& access, uint64_t va, CpuView& view,
                                                   const BusMap& bus, EmulateContext& context,
                                                   Observer& observer, bool known_plain = false) {
  constexpr uint64_t kPageMask = 0xfff;
  if (!known_plain && (!is_single(access) || (access.rn == kRegZr && view.sp_alignment_check))) {
    return Single::kNot;
  }
  if ((va & ~kPageMask) != view.known_va_page) return Single::kNot;
  return access_at<true>(access, view.known_ipa_page + (va & kPageMask), view, bus, context,
                         observer);
}

}  // namespace trapline::emulation

#endif  // TRAPLINE_MMIO_SINGLE_ACCESS_H_
