// An ICache with storage from the heap, for hosted programs.
#ifndef TRAPLINE_ICACHE_OWNED_H_
#define TRAPLINE_ICACHE_OWNED_H_

#include <memory>
#include <new>

#include "icache/icache.h"

namespace trapline::icache {

class OwnedICache {
 public:
  explicit OwnedICache(Policy policy, unsigned entries_log2 = ICache::kDefaultLog2,
                       unsigned max_loads = Source::kUsualLoads)
      : storage_(::operator new(ICache::storage_bytes(policy, entries_log2, max_loads), kAlign)),
        cache_(policy, entries_log2, storage_.get(), max_loads) {}

  ICache& operator*() { return cache_; }
  ICache* operator->() { return &cache_; }
  const ICache* operator->() const { return &cache_; }

 private:
  static constexpr std::align_val_t kAlign{ICache::kStorageAlign};
  struct Free {
    void operator()(void* p) const { ::operator delete(p, kAlign); }
  };
  std::unique_ptr<void, Free> storage_;
  ICache cache_;
};

}  // namespace trapline::icache

#endif  // TRAPLINE_ICACHE_OWNED_H_
