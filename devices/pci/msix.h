// MSI-X (PCI Local Bus 3.0, 6.8.2): a table of messages and the bits of those that wait, in a BAR.
#ifndef TRAPLINE_DEVICES_PCI_MSIX_H_
#define TRAPLINE_DEVICES_PCI_MSIX_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "mmio/device.h"
#include "mmio/msi.h"

namespace trapline::pci {

// Message Control's bits, the same in MSI where both have them.
struct MessageControl {
  bool enable = false;
  bool mask_all = false;    // MSI-X: Function Mask
  bool bus_master = false;  // of Command: whether the function may send anything at all
};

// Any thread, but for control(): who configures the function, one at a time.
class MsiX final : public Device {
 public:
  static constexpr unsigned kEntryBytes = 16, kMaxVectors = 128;
  static constexpr uint64_t kBarBytes = 0x1000, kPendingAt = 0x800;  // as QEMU lays it out

  // `vectors`: 1 to kMaxVectors.
  MsiX(std::string name, unsigned vectors);
  void connect(MsiTarget* target, uint32_t device_id);

  unsigned vectors() const { return static_cast<unsigned>(entries_.size()); }
  bool enabled() const { return enabled_.load(std::memory_order_acquire); }
  // A message that waited for it is sent.
  void control(const MessageControl& control);
  // Sends the vector's message, or, while it is masked, keeps it. Nothing while MSI-X is disabled,
  // or for a vector that is not there.
  void notify(unsigned vector);

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return name_; }
  std::string_view register_name(uint64_t offset) const override;

 private:
  struct Entry {
    uint32_t words[4] = {0, 0, 0, kMasked};  // address, its upper half, data, vector control
  };
  static constexpr uint32_t kMasked = 1;

  uint32_t read_word(uint64_t offset) const;
  bool masked(unsigned vector) const {
    return control_.mask_all || !control_.bus_master || (entries_[vector].words[3] & kMasked) != 0;
  }
  void send(unsigned vector);
  void send_pending(unsigned vector);
  void forget();

  const std::string name_;
  MsiTarget* target_ = nullptr;
  uint32_t device_id_ = 0;
  std::atomic<bool> enabled_{false};  // control_.enable
  mutable std::mutex mutex_;          // inside it only the target's locks
  MessageControl control_;
  std::vector<Entry> entries_;
  std::vector<uint32_t> pending_;  // a bit a vector
};

}  // namespace trapline::pci

#endif  // TRAPLINE_DEVICES_PCI_MSIX_H_
