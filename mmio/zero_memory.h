// Arrays of zero that are the host's memory only where they were touched: tables of which a guest
// uses a part. What is not zero when it is new does not belong here.
#ifndef TRAPLINE_MMIO_ZERO_MEMORY_H_
#define TRAPLINE_MMIO_ZERO_MEMORY_H_

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <type_traits>

namespace trapline {

struct FreeMemory {
  void operator()(void* p) const { std::free(p); }
};
template <typename T>
using ZeroArray = std::unique_ptr<T[], FreeMemory>;

// `count` times `size` bytes, for free(). Throws std::bad_alloc.
void* zero_memory(size_t count, size_t size);

// `count` elements whose bytes are zero, which must be what a new T is. Throws std::bad_alloc.
template <typename T>
ZeroArray<T> zero_array(size_t count) {
  static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= alignof(std::max_align_t));
  return ZeroArray<T>(static_cast<T*>(zero_memory(count, sizeof(T))));
}

}  // namespace trapline

#endif  // TRAPLINE_MMIO_ZERO_MEMORY_H_
