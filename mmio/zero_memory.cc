#include "mmio/zero_memory.h"

#include <new>

namespace trapline {

void* zero_memory(size_t count, size_t size) {
  void* memory = std::calloc(count, size);  // which does not clear what is new from the host
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace trapline
