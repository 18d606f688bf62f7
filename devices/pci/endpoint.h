// A function of type 0: its configuration space, BARs, and interrupts (INTA, MSI, MSI-X). What the
// function does stands behind it, as devices in its BARs; where it stands on the bus it does not
// know.
#ifndef TRAPLINE_DEVICES_PCI_ENDPOINT_H_
#define TRAPLINE_DEVICES_PCI_ENDPOINT_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "devices/pci/msi.h"
#include "devices/pci/msix.h"
#include "devices/pci/registers.h"
#include "mmio/device.h"

namespace trapline::pci {

enum class Space : uint8_t { kIo, kMemory32, kMemory64 };

// What the bridge does for its functions.
class Slot {
 public:
  virtual ~Slot() = default;
  // Guards the configuration space of all functions; nothing that a BAR's device or an interrupt
  // does takes it. Outermost.
  virtual std::mutex& config_mutex() = 0;
  // Some BAR is elsewhere, or nowhere. When it returns, no vCPU is inside a device by the old
  // address. config_mutex() is held.
  virtual void remap() = 0;
  // INTA of the function. Any thread, with locks of the function held.
  virtual void set_line(bool level) = 0;
};

class Endpoint final {
 public:
  struct Bar {
    Space space = Space::kMemory32;
    bool prefetchable = false;
    uint64_t size = 0;         // bytes, a power of two; 0: no such BAR
    Device* device = nullptr;  // at its offset 0
  };
  struct Spec {
    std::string name;  // "virtio-blk0"
    uint16_t vendor = 0, device = 0, subsystem_vendor = 0, subsystem = 0;
    uint8_t revision = 0;
    uint32_t class_code = 0;  // base class, sub-class, interface
    bool interrupt_pin = false;
    unsigned msi_vectors = 0;                 // 0: no MSI
    unsigned msi_capability = kHeaderBytes;   // where, in configuration space
    unsigned msix_vectors = 0, msix_bar = 1;  // 0: no MSI-X; else a BAR of its own
    unsigned msix_capability = 0;             // where, in configuration space
    std::array<Bar, kBars> bars;              // a 64-bit one takes the next one's place
  };
  // What stands behind the function, where it takes part in its configuration. config_mutex() is
  // held, or all vCPUs are stopped.
  class Client {
   public:
    virtual ~Client() = default;
    // Command.Bus Master: whether the function may touch memory.
    virtual void bus_master(bool /*on*/) {}
    // A word of configuration space that watch() named is about to be read, or was written.
    virtual void before_config_read(unsigned /*offset*/) {}
    virtual void config_written(unsigned /*offset*/) {}
  };

  Endpoint(Spec spec, Client* client);

  // --- at assembly ---
  // A capability of `bytes`, ID and next pointer not among them, at `offset`, a multiple of 4.
  // `writable`: of each byte.
  void add_capability(unsigned offset, CapabilityId id, const std::vector<uint8_t>& bytes,
                      const std::vector<uint8_t>& writable);
  void watch(unsigned offset) { watched_ = offset; }
  // Once, and last: the capabilities of MSI and MSI-X are the first in the list, as on QEMU.
  void connect(Slot* slot, MsiTarget* target, uint32_t device_id);
  const Spec& spec() const { return spec_; }
  MsiX* msix() { return msix_.get(); }

  // --- config_mutex() held; `size` 1, 2 or 4, within one word ---
  uint32_t config_read(unsigned offset, unsigned size);
  void config_write(unsigned offset, unsigned size, uint32_t value);
  uint32_t config_word(unsigned offset) const;
  void set_config_word(unsigned offset, uint32_t value);
  // Where the guest has put the BAR, if it decodes that space: an address of it. False: nowhere.
  bool placed(unsigned bar, uint64_t& address) const;

  // --- any thread ---
  // INTA's condition, which is shown in Status and, unless it is disabled or messages are used,
  // drives the line.
  void set_interrupt(bool level);
  // The function signals by messages.
  bool uses_messages() const {
    return (msix_ != nullptr && msix_->enabled()) || (msi_ != nullptr && msi_->enabled());
  }
  void message(unsigned vector);

  // --- all vCPUs stopped ---
  void reset();
  void save(StateWriter& out) const;
  bool load(StateReader& in);

 private:
  void put16(unsigned offset, uint16_t value);
  uint16_t get16(unsigned offset) const;
  void lay_out_bars();
  void add_message_capabilities();
  void power_on();
  void apply_command();
  void apply_messages();
  void update_line();

  Spec spec_;
  Client* const client_;
  Slot* slot_ = nullptr;
  std::unique_ptr<Msi> msi_;
  std::unique_ptr<MsiX> msix_;
  unsigned msi_at_ = 0, msix_at_ = 0;  // the capabilities
  unsigned watched_ = kEcamBytes;
  std::array<uint8_t, kConfigBytes> bytes_{}, writable_{}, initial_{};

  std::mutex line_mutex_;  // the two and the line together
  bool interrupt_ = false;
  bool line_off_ = false;  // Interrupt Disable, or messages
};

}  // namespace trapline::pci

#endif  // TRAPLINE_DEVICES_PCI_ENDPOINT_H_
