// A generic PCIe host bridge with an ECAM (PCI Express Base 5.0, 7.2.2), as on QEMU's `virt`: bus
// 0, a device number each for its functions, windows of memory and I/O space, four interrupt lines.
#ifndef TRAPLINE_DEVICES_PCI_HOST_BRIDGE_H_
#define TRAPLINE_DEVICES_PCI_HOST_BRIDGE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "devices/pci/endpoint.h"
#include "devices/pci/routes.h"
#include "mmio/device.h"
#include "mmio/irq_line.h"
#include "mmio/msi.h"

namespace trapline::pci {

// The bridge itself is what stands at the ECAM: accesses of each width; what no function has reads
// as ones.
class HostBridge final : public Device {
 public:
  static constexpr unsigned kDevices = 32;  // 0 is the bridge's own function
  static constexpr unsigned kLines = 4;
  // A window of the CPU's; memory has the same addresses behind it, I/O space begins at 0.
  struct Range {
    uint64_t base = 0, size = 0;  // size 0: there is none
  };
  struct Layout {
    Range memory32, memory64, io;
    std::array<IrqLine*, kLines> lines{};
    MsiTarget* messages = nullptr;  // null: messages go nowhere
  };

  explicit HostBridge(const Layout& layout);
  ~HostBridge() override;

  // --- at assembly ---
  // Puts the function there, in place of nobody. `number`: 1 to kDevices - 1.
  void attach(unsigned number, Endpoint& endpoint);
  Device& window(Space space);
  // Each register file whose accesses are counted apart: the configuration spaces, and each BAR.
  // `add` says its index in the bus.
  void name_parts(const std::function<uint16_t(uint64_t size, Device& device)>& add);

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  bool has_parts() const override { return true; }
  bool part_at(uint64_t offset, Part& part) const override;
  void reset() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return "pci-config"; }
  std::string_view register_name(uint64_t offset) const override {
    return pci::register_name(offset);
  }

 private:
  class Window;
  class Place;  // of a function
  struct BarPart;

  uint32_t read_word_part(uint64_t offset, unsigned size);
  void write_word_part(uint64_t offset, unsigned size, uint32_t value);
  Endpoint* function_at(uint64_t offset) const;
  void remap();
  void set_line(unsigned number, bool level);

  const Layout layout_;
  std::mutex config_mutex_;
  std::unique_ptr<Endpoint::Client> client_;  // of the bridge's own function
  std::unique_ptr<Endpoint> own_;
  std::array<std::unique_ptr<Place>, kDevices> places_;
  std::array<std::unique_ptr<Window>, 3> windows_;  // by Space
  std::vector<std::unique_ptr<BarPart>> parts_;
  uint16_t config_part_ = 0;
  bool parts_named_ = false;

  std::mutex line_mutex_;                    // a line's functions and itself together
  std::array<uint32_t, kLines> asserted_{};  // a bit a device number
};

}  // namespace trapline::pci

#endif  // TRAPLINE_DEVICES_PCI_HOST_BRIDGE_H_
