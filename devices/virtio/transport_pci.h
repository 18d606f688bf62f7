// virtio over PCI (virtio 1.2, 4.1), modern only: a function with MSI-X (BAR 1) and the device's
// registers (BAR 4), at the offsets that QEMU's have, found by capabilities.
#ifndef TRAPLINE_DEVICES_VIRTIO_TRANSPORT_PCI_H_
#define TRAPLINE_DEVICES_VIRTIO_TRANSPORT_PCI_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "devices/pci/endpoint.h"
#include "devices/virtio/transport.h"

namespace trapline::virtio {

class PciTransport final : public Transport, public pci::Endpoint::Client {
 public:
  static constexpr uint64_t kBarBytes = 0x4000;

  struct Options {
    std::string name;  // "virtio-blk0"
    Dma* dma = nullptr;
    IoMode io;
  };

  PciTransport(Options options, std::unique_ptr<Function> function);
  ~PciTransport() override { end_work(); }

  pci::Endpoint& endpoint() { return *endpoint_; }

  // BAR 4.
  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  void reset() override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;
  std::string_view register_name(uint64_t offset) const override;

 private:
  static constexpr uint16_t kNoVector = 0xffff;

  // pci::Endpoint::Client
  void bus_master(bool on) override;
  void before_config_read(unsigned offset) override;
  void config_written(unsigned offset) override;

  // Transport
  void interrupt(uint32_t bits, unsigned queue) override;
  void interrupt_gone() override { endpoint_->set_interrupt(false); }
  void show_loaded_interrupt() override;
  void front_reset() override;
  void save_front(StateWriter& out) const override;
  bool load_front(StateReader& in) override;

  void add_capabilities();
  uint32_t read_common(uint64_t offset, unsigned size);
  void write_common(uint64_t offset, unsigned size, uint32_t value);
  uint32_t read_isr();
  uint16_t queue_vector() const;
  uint16_t usable(uint32_t vector) const;
  // What the capability for access by configuration space points at; false: nowhere.
  bool window(uint64_t& offset, unsigned& size) const;

  std::unique_ptr<pci::Endpoint> endpoint_;
  // Read with irq_mutex_ held, written with mutex_ held.
  std::atomic<uint16_t> config_vector_{kNoVector};
  std::vector<std::atomic<uint16_t>> queue_vectors_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_TRANSPORT_PCI_H_
