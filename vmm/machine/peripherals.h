// The machine's devices, made from the options and put on the bus: everything but CPUs, GIC and the
// per-CPU timers.
#ifndef TRAPLINE_VMM_MACHINE_PERIPHERALS_H_
#define TRAPLINE_VMM_MACHINE_PERIPHERALS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/fw_cfg.h"
#include "devices/pflash.h"
#include "devices/pl011.h"
#include "devices/pl031.h"
#include "devices/timer.h"
#include "devices/virtio/console.h"
#include "devices/virtio/transport.h"
#include "mmio/bus.h"
#include "vmm/config/options.h"
#include "vmm/config/platform.h"
#include "vmm/machine/console.h"
#include "vmm/machine/virtio_slots.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/vcpu/irqchip.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

// GuestMemory as devices' DMA sees it: RAM only.
class MemoryDma final : public Dma {
 public:
  explicit MemoryDma(GuestMemory& memory) : memory_(memory) {}
  uint8_t* host(uint64_t ipa, uint64_t size) override;
  void done(uint64_t ipa, uint64_t size) override { memory_.dma_done(ipa, size); }

 private:
  GuestMemory& memory_;
};

class Peripherals final {
 public:
  struct Services {
    const Options& options;
    GuestMemory& memory;
    Backend& backend;
    Bus& bus;
    Irqchip& irqchip;
    Clock& clock;
    Console& console;
  };

  explicit Peripherals(const Services& services);

  // The flash banks' memory, before stage 2 is built. One line if the firmware does not do.
  std::string add_flash_memory();
  // Makes the devices and puts them on the bus. One line if an option does not do.
  std::string add_devices();

  // What the devices have to do with the console; `hold` and `quit` are the machine's.
  Console::Hooks console_hooks();
  void reset();
  void quiesce();
  void resume();
  bool has_flash() const { return !flash_[0].bytes.empty(); }
  // The virtio-mmio slots with a device, in the order of the command line.
  const std::vector<unsigned>& virtio_slots() const { return slots_.taken(); }

 private:
  struct Bank {
    std::vector<uint8_t> bytes;  // what bank 0 holds at the start; empty: no flash at all
    std::unique_ptr<FlashFile> file;
    std::unique_ptr<Pflash> device;
  };

  std::string add(platform::Window window, Device& device);
  std::string add_flash();
  std::string add_fw_cfg();
  std::string add_virtio();
  std::string add_disk(const std::string& text, std::optional<unsigned> slot);
  std::string add_net(const std::string& text, std::optional<unsigned> slot);
  // `wanted`: the slot that the user chose.
  std::string add_transport(const std::string& name, std::unique_ptr<virtio::Function> function,
                            bool live, std::optional<unsigned> wanted = {});
  void map_flash(unsigned bank, bool array_mode);

  const Services s_;
  MemoryDma dma_;
  std::unique_ptr<Pl011> uart_;
  std::unique_ptr<Pl031> rtc_;
  std::unique_ptr<MemoryMappedTimer> timer_frames_;
  std::unique_ptr<FwCfg> fw_cfg_;
  Bank flash_[2];
  VirtioSlots slots_;
  std::vector<std::unique_ptr<virtio::Transport>> virtio_;
  std::unique_ptr<virtio::EmptySlot> empty_slot_;
  virtio::Console* virtio_console_ = nullptr;
  std::vector<Device*> devices_;  // all, once each
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_PERIPHERALS_H_
