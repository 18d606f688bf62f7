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

#include "devices/ahci/ahci.h"
#include "devices/fw_cfg.h"
#include "devices/hda/controller.h"
#include "devices/pci/host_bridge.h"
#include "devices/pflash.h"
#include "devices/pl011.h"
#include "devices/pl031.h"
#include "devices/ramfb.h"
#include "devices/timer.h"
#include "devices/virtio/balloon.h"
#include "devices/virtio/console.h"
#include "devices/virtio/disk_options.h"
#include "devices/virtio/image.h"
#include "devices/virtio/input.h"
#include "devices/virtio/net_backend.h"
#include "devices/virtio/transport_mmio.h"
#include "devices/virtio/transport_pci.h"
#include "devices/vmgenid.h"
#include "mmio/bus.h"
#include "vmm/config/options.h"
#include "vmm/config/platform.h"
#include "vmm/display/screen.h"
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

// A file of the host's, or what a server has, that holds a part of the guest's state.
struct StateFile {
  std::string option;  // "--disk", "--vars"
  std::string path;
  bool read_only = false;
  int fd = -1;         // none: what a server has
  uint64_t bytes = 0;  // of that
  std::string server;  // its address, if it may have to be connected to again
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
  // Each device's name and itself, in the order of assembly.
  virtio::Balloon* balloon() { return balloon_; }  // null without --balloon
  const std::vector<Device*>& devices() const { return devices_; }
  std::vector<StateFile> state_files() const;
  // Releases the locks of these files, after all is on the disk; takes them again. One line if that
  // cannot be.
  std::string unlock_files();
  std::string lock_files();
  // Before the devices are loaded: the RTC shows the host's time.
  void set_time();
  // The flash banks' memory is another, and goes into the file that keeps it.
  std::string store_flash();
  // The guest is a copy: it is told.
  void new_generation();
  bool has_flash() const { return !s_.options.firmware.empty(); }
  const Ramfb* ramfb() const { return ramfb_.get(); }  // null without --display
  Screen* screen() { return screen_.get(); }           // likewise
  // The virtio-mmio slots with a device, in the order of the command line.
  const std::vector<unsigned>& virtio_slots() const { return slots_.taken(); }
  // Something is on PCIe; its messages have somewhere to go.
  bool has_pcie() const { return bridge_ != nullptr; }
  bool has_its() const { return its_; }

 private:
  struct Bank {
    std::unique_ptr<FlashFile> file;
    std::unique_ptr<Pflash> device;
  };

  std::string add(platform::Window window, Device& device);
  std::string add_flash();
  std::string add_fw_cfg();
  std::string add_virtio();
  std::string add_audio();
  // Puts the function on PCIe; false: there is no slot.
  bool plug(pci::Endpoint& endpoint, Device& device, const VirtioPlace& wanted);
  std::string add_bridge();
  std::string add_bridge_windows();
  std::string add_disk(const VirtioSlots::Device& device);
  std::string add_controller(VirtioBus bus, const std::vector<VirtioSlots::Device>& disks);
  std::string add_ahci(std::vector<scsi::Drive> drives);
  // One line if the option, or what it names, does not do.
  std::string open_disk(const VirtioSlots::Device& device, virtio::DiskOptions& disk,
                        std::unique_ptr<virtio::Image>& image);
  std::string add_net(const std::string& text, const VirtioPlace& place);
  std::string add_card(const virtio::NetOptions& options,
                       std::unique_ptr<virtio::NetBackend> backend, const VirtioPlace& place);
  // `wanted`: what the user chose.
  std::string add_transport(const std::string& name, std::unique_ptr<virtio::Function> function,
                            bool live, const VirtioPlace& wanted);
  void map_flash(unsigned bank, bool array_mode);

  const Services s_;
  MemoryDma dma_;
  std::unique_ptr<Pl011> uart_;
  std::unique_ptr<Pl031> rtc_;
  std::unique_ptr<MemoryMappedTimer> timer_frames_;
  std::unique_ptr<Ramfb> ramfb_;
  std::unique_ptr<FwCfg> fw_cfg_;
  Bank flash_[2];
  VirtioSlots slots_;
  std::unique_ptr<pci::HostBridge> bridge_;  // outlives the transports, whose work drives its lines
  bool its_ = false;
  std::vector<std::unique_ptr<virtio::Transport>> virtio_;
  std::unique_ptr<ahci::Ahci> ahci_;
  std::vector<std::unique_ptr<Device>> cards_;  // network cards that are not virtio's
  std::unique_ptr<AudioSink> audio_;
  std::unique_ptr<hda::Controller> hda_;
  std::unique_ptr<virtio::EmptySlot> empty_slot_;
  virtio::Console* virtio_console_ = nullptr;
  virtio::Input *keyboard_ = nullptr, *tablet_ = nullptr;
  virtio::Balloon* balloon_ = nullptr;
  std::unique_ptr<Screen> screen_;
  std::vector<virtio::Image*> images_;  // the transports own them
  std::unique_ptr<VmGenId> generation_;
  std::vector<Device*> devices_;  // all, once each
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_MACHINE_PERIPHERALS_H_
