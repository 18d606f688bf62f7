// Guest memory as the host touches it: atomics of the access's size, so that each aligned element
// is single-copy atomic for the other vCPUs (B2.2.1). Values are memory images: the lowest address
// is in the lowest byte, whatever the guest's endianness. Internal to mmio/.
#ifndef TRAPLINE_MMIO_HOST_MEMORY_H_
#define TRAPLINE_MMIO_HOST_MEMORY_H_

#include <bit>
#include <cstdint>

#include "mmio/host_barrier.h"

namespace trapline::emulation {

static_assert(std::endian::native == std::endian::little, "memory images are host integers");

inline bool aligned(const uint8_t* p, unsigned size) {
  return (reinterpret_cast<uintptr_t>(p) & (size - 1)) == 0;
}

inline uint64_t load_image(const uint8_t* from, unsigned size) {
  uint64_t value = 0;
  switch (size) {
    case 1:
      return *from;
    case 2:
      __builtin_memcpy(&value, from, 2);
      return value;
    case 4:
      __builtin_memcpy(&value, from, 4);
      return value;
    default:
      __builtin_memcpy(&value, from, 8);
      return value;
  }
}

inline void store_image(uint8_t* to, uint64_t value, unsigned size) {
  switch (size) {
    case 1:
      *to = static_cast<uint8_t>(value);
      return;
    case 2:
      __builtin_memcpy(to, &value, 2);
      return;
    case 4:
      __builtin_memcpy(to, &value, 4);
      return;
    default:
      __builtin_memcpy(to, &value, 8);
      return;
  }
}

template <typename T>
inline T* as(uint8_t* p) {
  return reinterpret_cast<T*>(p);
}

// 1, 2, 4 or 8 bytes of guest RAM. Unaligned ones carry no atomicity.
inline uint64_t ram_load(uint8_t* p, unsigned size) {
  if (!aligned(p, size)) return load_image(p, size);
  switch (size) {
    case 1:
      return __atomic_load_n(p, kRamLoad);
    case 2:
      return __atomic_load_n(as<uint16_t>(p), kRamLoad);
    case 4:
      return __atomic_load_n(as<uint32_t>(p), kRamLoad);
    default:
      return __atomic_load_n(as<uint64_t>(p), kRamLoad);
  }
}

inline void ram_store(uint8_t* p, uint64_t value, unsigned size) {
  if (!aligned(p, size)) return store_image(p, value, size);
  switch (size) {
    case 1:
      return __atomic_store_n(p, static_cast<uint8_t>(value), kRamStore);
    case 2:
      return __atomic_store_n(as<uint16_t>(p), static_cast<uint16_t>(value), kRamStore);
    case 4:
      return __atomic_store_n(as<uint32_t>(p), static_cast<uint32_t>(value), kRamStore);
    default:
      return __atomic_store_n(as<uint64_t>(p), value, kRamStore);
  }
}

template <typename T>
inline bool ram_cas_of(uint8_t* p, uint64_t& expected, uint64_t desired) {
  T was = static_cast<T>(expected);
  const bool done = __atomic_compare_exchange_n(as<T>(p), &was, static_cast<T>(desired), false,
                                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  barrier_after_rmw();
  expected = was;
  return done;
}

// Compare and swap of 1, 2, 4 or 8 bytes, aligned; on failure `expected` is what was there.
inline bool ram_cas(uint8_t* p, uint64_t& expected, uint64_t desired, unsigned size) {
  switch (size) {
    case 1:
      return ram_cas_of<uint8_t>(p, expected, desired);
    case 2:
      return ram_cas_of<uint16_t>(p, expected, desired);
    case 4:
      return ram_cas_of<uint32_t>(p, expected, desired);
    default:
      return ram_cas_of<uint64_t>(p, expected, desired);
  }
}

// The same for 16 bytes, aligned to 16.
inline bool ram_cas16(uint8_t* p, uint64_t expected[2], const uint64_t desired[2]) {
#if defined(__x86_64__)
  bool done;
  __asm__ __volatile__("lock cmpxchg16b %1"
                       : "=@ccz"(done), "+m"(*reinterpret_cast<unsigned __int128*>(p)),
                         "+a"(expected[0]), "+d"(expected[1])
                       : "b"(desired[0]), "c"(desired[1])
                       : "memory");
  return done;
#elif defined(__aarch64__)
  // In one piece: between the two the compiler may not touch memory. A store of what was read back
  // makes the pair of loads single-copy atomic (B2.2.1).
  uint64_t lo, hi, new_lo, new_hi;
  uint32_t failed, equal;
  __asm__ __volatile__(
      "1: ldaxp %[lo], %[hi], %[at]\n"
      "cmp %[lo], %[expected_lo]\n"
      "ccmp %[hi], %[expected_hi], #0, eq\n"
      "csel %[new_lo], %[desired_lo], %[lo], eq\n"
      "csel %[new_hi], %[desired_hi], %[hi], eq\n"
      "cset %w[equal], eq\n"
      "stlxp %w[failed], %[new_lo], %[new_hi], %[at]\n"
      "cbnz %w[failed], 1b"
      : [lo] "=&r"(lo), [hi] "=&r"(hi), [new_lo] "=&r"(new_lo), [new_hi] "=&r"(new_hi),
        [equal] "=&r"(equal), [failed] "=&r"(failed), [at] "+Q"(*as<unsigned __int128>(p))
      : [expected_lo] "r"(expected[0]), [expected_hi] "r"(expected[1]),
        [desired_lo] "r"(desired[0]), [desired_hi] "r"(desired[1])
      : "cc", "memory");
  barrier_after_rmw();
  expected[0] = lo;
  expected[1] = hi;
  return equal != 0;
#else
#error "a host with a 16-byte compare-and-swap is needed"
#endif
}

}  // namespace trapline::emulation

#endif  // TRAPLINE_MMIO_HOST_MEMORY_H_
