// An ICache with storage from the heap, for hosted programs.
#ifndef TRAPLINE_ICACHE_OWNED_H_
#define TRAPLINE_ICACHE_OWNED_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "icache/icache.h"

namespace trapline::icache {

class OwnedICache {
 public:
  explicit OwnedICache(Policy policy, unsigned entries_log2 = ICache::kDefaultLog2,
                       unsigned max_loads = Source::kUsualLoads)
      : storage_(zeroes(ICache::storage_bytes(policy, entries_log2, max_loads))),
        cache_(policy, entries_log2, aligned(storage_.get()), max_loads, ICache::Storage::kZero) {}

  ICache& operator*() { return cache_; }
  ICache* operator->() { return &cache_; }
  const ICache* operator->() const { return &cache_; }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  // calloc() clears nothing that is new from the host.
  static void* zeroes(size_t bytes) {
    void* memory = std::calloc(1, bytes + ICache::kStorageAlign);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }
  static void* aligned(void* memory) {
    constexpr uintptr_t kMask = ICache::kStorageAlign - 1;
    return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory) + kMask) & ~kMask);
  }
  std::unique_ptr<void, Free> storage_;
  ICache cache_;
};

}  // namespace trapline::icache

#endif  // TRAPLINE_ICACHE_OWNED_H_
