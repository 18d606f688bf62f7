// virtio over MMIO (virtio 1.2, 4.2): version 2, and by option the legacy interface, version 1
// (4.2.4). One 512-byte window, one interrupt line, one device type behind it.
#ifndef TRAPLINE_DEVICES_VIRTIO_TRANSPORT_MMIO_H_
#define TRAPLINE_DEVICES_VIRTIO_TRANSPORT_MMIO_H_

#include <memory>
#include <string>

#include "devices/virtio/transport.h"
#include "mmio/irq_line.h"

namespace trapline::virtio {

class MmioTransport final : public Transport {
 public:
  static constexpr uint64_t kWindowBytes = 0x200;

  struct Options {
    std::string name;  // "virtio-blk0"
    Dma* dma = nullptr;
    IrqLine* irq = nullptr;  // level: high while InterruptStatus is not zero
    IoMode io;
    bool legacy = false;
  };

  MmioTransport(Options options, std::unique_ptr<Function> function);
  ~MmioTransport() override { end_work(); }

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  std::string_view register_name(uint64_t offset) const override;

 private:
  void interrupt(uint32_t /*bits*/, unsigned /*queue*/) override { irq_->set(true); }
  void show_loaded_interrupt() override { irq_->set(true); }
  void interrupt_gone() override { irq_->set(false); }
  uint32_t read_register(uint64_t offset);
  void write_register(uint64_t offset, uint32_t value);

  IrqLine* const irq_;
};

// A slot without a device: DeviceID 0, which drivers skip (4.2.2).
class EmptySlot final : public Device {
 public:
  explicit EmptySlot(bool legacy) : legacy_(legacy) {}
  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t, unsigned, uint64_t, unsigned) override { return {}; }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return "virtio-empty"; }
  std::string_view register_name(uint64_t offset) const override;

 private:
  const bool legacy_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_TRANSPORT_MMIO_H_
