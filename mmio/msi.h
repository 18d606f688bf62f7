// Where a function's message-signalled interrupts go: a 32-bit write with the requester's ID beside
// it.
#ifndef TRAPLINE_MMIO_MSI_H_
#define TRAPLINE_MMIO_MSI_H_

#include <cstdint>

namespace trapline {

class MsiTarget {
 public:
  virtual ~MsiTarget() = default;
  // `address`: what the function's MSI or MSI-X entry holds; a message to anywhere but the doorbell
  // is dropped. Any thread.
  virtual void message(uint32_t device_id, uint64_t address, uint32_t data) = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_MMIO_MSI_H_
