// QEMU's firmware configuration device, MMIO form (QEMU docs/specs/fw_cfg.rst): named blobs for
// EDK2, U-Boot, GRUB and Linux, by a byte port or by DMA.
#ifndef TRAPLINE_DEVICES_FW_CFG_H_
#define TRAPLINE_DEVICES_FW_CFG_H_

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "devices/virtio/dma.h"
#include "devices/virtio/report.h"
#include "mmio/device.h"

namespace trapline {

// Well-known selectors.
enum class FwCfgKey : uint16_t {
  kSignature = 0x00,
  kId = 0x01,
  kCpus = 0x05,
  kKernelSize = 0x08,
  kInitrdSize = 0x0b,
  kKernelData = 0x11,
  kInitrdData = 0x12,
  kCommandLineSize = 0x14,
  kCommandLineData = 0x15,
  kFileDirectory = 0x19,
  kFirstFile = 0x20,
};

class FwCfg final : public Device {
 public:
  static constexpr uint64_t kWindowBytes = 0x18;
  static constexpr uint16_t kMaxFiles = 0x1000;
  static constexpr size_t kMaxName = 55;

  FwCfg(std::string name, Dma* dma);

  // Assembly time. Returns an error text (name too long or taken, too many); empty on success.
  std::string add_file(const std::string& name, std::vector<uint8_t> bytes) {
    return add_named(name, {std::move(bytes), false, {}});
  }
  // All zeroes, until the guest's DMA writes change them; `changed` hears of that, of a reset and
  // of a load, with the device's lock held.
  using Changed = std::function<void(std::span<const uint8_t>)>;
  std::string add_writable_file(const std::string& name, size_t bytes, Changed changed) {
    return add_named(name, {std::vector<uint8_t>(bytes), true, std::move(changed)});
  }
  void add_item(FwCfgKey key, std::vector<uint8_t> bytes);
  void add_item32(FwCfgKey key, uint32_t value);  // little-endian
  // The file's bytes as the guest left them, or null.
  const std::vector<uint8_t>* file(const std::string& name) const;

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view name() const override { return name_; }
  std::string_view register_name(uint64_t offset) const override;

  uint64_t errors() const { return report_.count(); }

 private:
  struct Item {
    std::vector<uint8_t> bytes;
    bool writable = false;
    Changed changed;
  };

  std::string add_named(const std::string& name, Item item);
  void select(uint16_t key);
  void build_directory();
  uint8_t next_byte();
  void run_dma();
  // Performs the transfer; false: the guest asked for what cannot be done.
  bool transfer(uint32_t control, uint32_t length, uint64_t address);

  const std::string name_;
  Dma* const dma_;
  Report report_;
  mutable std::mutex mutex_;
  std::map<uint16_t, Item> items_;
  std::map<std::string, uint16_t> files_;
  uint16_t selector_ = 0;
  Item* item_ = nullptr;  // selected; null: an item that does not exist, all zeroes
  uint32_t offset_ = 0;
  uint64_t dma_address_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_FW_CFG_H_
