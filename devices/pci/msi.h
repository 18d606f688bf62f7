// MSI (PCI Local Bus 3.0, 6.8.1), with a 64-bit address and a mask a vector: its capability.
#ifndef TRAPLINE_DEVICES_PCI_MSI_H_
#define TRAPLINE_DEVICES_PCI_MSI_H_

#include <atomic>
#include <cstdint>
#include <mutex>

#include "mmio/msi.h"

namespace trapline::pci {

// Any thread, but for control(): who configures the function, one at a time.
class Msi {
 public:
  static constexpr unsigned kCapabilityBytes = 24, kMaxVectors = 32;

  // What software has written.
  struct Control {
    bool enable = false;
    bool bus_master = false;
    unsigned vectors_log2 =
        0;  // Multiple Message Enable; above what there is: as many as there are
    uint64_t address = 0;
    uint16_t data = 0;
    uint32_t mask = 0;
  };

  // `vectors`: a power of two up to 32.
  explicit Msi(unsigned vectors) : vectors_(vectors) {}
  void connect(MsiTarget* target, uint32_t device_id);

  unsigned vectors() const { return vectors_; }
  bool enabled() const { return enabled_.load(std::memory_order_acquire); }
  // A message that waited for it is sent.
  void control(const Control& control);
  // Sends the vector's message, or, while it is masked, keeps it. Nothing while MSI is disabled. Of
  // more vectors than software has enabled the last one counts for all above it (6.8.3.4: the
  // function has to make do with what it gets).
  void notify(unsigned vector);
  uint32_t pending() const;
  void load_pending(uint32_t pending);

 private:
  void send(unsigned vector);

  const unsigned vectors_;
  MsiTarget* target_ = nullptr;
  uint32_t device_id_ = 0;
  std::atomic<bool> enabled_{false};  // control_.enable
  mutable std::mutex mutex_;          // inside it only the target's locks
  Control control_;
  uint32_t pending_ = 0;
};

}  // namespace trapline::pci

#endif  // TRAPLINE_DEVICES_PCI_MSI_H_
