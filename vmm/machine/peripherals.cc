#include "vmm/machine/peripherals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

#include "devices/virtio/blk.h"
#include "devices/virtio/disk_options.h"
#include "devices/virtio/image.h"
#include "devices/virtio/net.h"
#include "devices/virtio/net_backend.h"
#include "devices/virtio/rng.h"
#include "vmm/boot/boot_file.h"
#include "vmm/memory/stage2.h"

namespace trapline {
namespace {

// Under icount nothing that a guest could tell two runs apart by comes from the host.
constexpr uint64_t kFixedEpoch = 1'767'225'600;  // 2026-01-01 00:00:00 UTC
constexpr uint64_t kFixedSeed = 0x7261'706c'696e'6521;

}  // namespace

uint8_t* MemoryDma::host(uint64_t ipa, uint64_t size) {
  const GuestMemory::Slot* slot = memory_.slot(ipa);
  return slot != nullptr && slot->writable ? memory_.host(ipa, size) : nullptr;
}

Peripherals::Peripherals(const Services& services) : s_(services), dma_(services.memory) {}

std::string Peripherals::add(platform::Window window, Device& device) {
  devices_.push_back(&device);
  return s_.bus.add(window.base, window.size, &device);
}

std::string Peripherals::add_devices() {
  uart_ = std::make_unique<Pl011>(s_.console, &s_.irqchip.spi(platform::kUartSpi));
  uart_->on_rx_space([this] { s_.console.input_wanted(); });
  uint64_t epoch = s_.options.icount ? kFixedEpoch : static_cast<uint64_t>(std::time(nullptr));
  rtc_ = std::make_unique<Pl031>(s_.clock, epoch, &s_.irqchip.spi(platform::kRtcSpi));
  timer_frames_ = std::make_unique<MemoryMappedTimer>(s_.clock);
  timer_frames_->connect(&s_.irqchip.spi(platform::kTimerFrameSpi));

  std::string error = add(platform::kUart, *uart_);
  if (error.empty()) error = add(platform::kRtc, *rtc_);
  if (error.empty()) error = add(platform::kTimerCtl, timer_frames_->control());
  if (error.empty()) error = add(platform::kTimerFrame0, timer_frames_->frame());
  if (error.empty()) error = add_fw_cfg();
  if (error.empty() && has_flash()) error = add_flash();
  if (error.empty()) error = add_virtio();
  return error;
}

// --- flash and firmware ---

std::string Peripherals::add_flash_memory() {
  if (s_.options.firmware.empty()) return {};
  auto firmware = read_file(s_.options.firmware, platform::kFlash[0].size, "the flash");
  if (!firmware) return firmware.error();
  flash_[0].bytes = std::move(*firmware);
  for (const platform::Window& bank : platform::kFlash) {
    if (std::string error = s_.memory.add(bank.base, bank.size, false); !error.empty()) {
      return error;
    }
    std::memset(s_.memory.host(bank.base, bank.size), 0xff, bank.size);
  }
  s_.memory.write(platform::kFlash[0].base, flash_[0].bytes.data(), flash_[0].bytes.size());
  if (s_.options.vars.empty()) return {};
  flash_[1].file = std::make_unique<FlashFile>();
  std::string error = flash_[1].file->open(s_.options.vars, platform::kFlash[1].size);
  if (error.empty()) {
    error =
        flash_[1].file->load(s_.memory.host(platform::kFlash[1].base, platform::kFlash[1].size));
  }
  return error;
}

// Array mode: read-only memory, or, trapped, memory for fetches and table walks only. Any other
// mode: every access traps.
void Peripherals::map_flash(unsigned bank, bool array_mode) {
  const platform::Window& window = platform::kFlash[bank];
  if (!array_mode) {
    s_.backend.unmap(window.base, window.size);
    return;
  }
  uint8_t perms = kS2Exec | kS2Walk;
  if (!s_.options.flash_trapped) perms |= kS2Read;
  s_.backend.map(window.base, window.size, s_.memory.host(window.base, window.size), perms);
}

std::string Peripherals::add_flash() {
  for (unsigned bank = 0; bank < 2; ++bank) {
    const platform::Window& window = platform::kFlash[bank];
    Pflash::Options options;
    options.name = fmt::format("pflash{}", bank);
    options.array = s_.memory.host(window.base, window.size);
    options.size = window.size;
    options.read_only = bank == 0;
    options.file = flash_[bank].file.get();
    options.on_mode = [this, bank](bool array_mode) { map_flash(bank, array_mode); };
    options.on_write = [this, window](uint64_t offset, uint64_t size) {
      s_.memory.dma_done(window.base + offset, size);
    };
    flash_[bank].device = std::make_unique<Pflash>(std::move(options));
    if (std::string error = add(window, *flash_[bank].device); !error.empty()) return error;
    map_flash(bank, true);
  }
  return {};
}

std::string Peripherals::add_fw_cfg() {
  fw_cfg_ = std::make_unique<FwCfg>("fw_cfg", &dma_);
  fw_cfg_->add_item32(FwCfgKey::kCpus, s_.options.cpus);
  return add(platform::kFwCfg, *fw_cfg_);
}

// --- virtio ---

std::string Peripherals::add_virtio() {
  auto disks = slots_.read("--disk", s_.options.disks);
  if (!disks) return disks.error();
  auto nets = slots_.read("--net", s_.options.nets);
  if (!nets) return nets.error();
  std::string error;
  for (const VirtioSlots::Device& disk : *disks) {
    if (error.empty()) error = add_disk(disk.text, disk.slot);
  }
  for (const VirtioSlots::Device& net : *nets) {
    if (error.empty()) error = add_net(net.text, net.slot);
  }
  if (error.empty() && s_.options.rng) {
    auto seed = s_.options.icount ? std::optional<uint64_t>(kFixedSeed) : std::nullopt;
    error = add_transport("virtio-rng0", std::make_unique<virtio::Rng>(seed), false);
  }
  if (error.empty() && s_.options.virtio_console) {
    auto console = std::make_unique<virtio::Console>(s_.console);
    console->on_input_space([this] { s_.console.input_wanted(); });
    virtio_console_ = console.get();
    error = add_transport("virtio-console0", std::move(console), false);
  }
  empty_slot_ = std::make_unique<virtio::EmptySlot>(s_.options.virtio_legacy);
  for (unsigned slot = 0; slot < platform::kVirtioSlots && error.empty(); ++slot) {
    const std::vector<unsigned>& taken = slots_.taken();
    if (std::find(taken.begin(), taken.end(), slot) != taken.end()) continue;
    const platform::Window window = platform::virtio_slot(slot);
    error = s_.bus.add(window.base, window.size, empty_slot_.get());
  }
  return error;
}

std::string Peripherals::add_transport(const std::string& name,
                                       std::unique_ptr<virtio::Function> function, bool live,
                                       std::optional<unsigned> wanted) {
  const std::optional<unsigned> slot = slots_.take(wanted);
  if (!slot.has_value()) {
    return fmt::format("{}: more than {} virtio devices", name, platform::kVirtioSlots);
  }
  virtio::Transport::Options options;
  options.name = name;
  options.dma = &dma_;
  options.irq = &s_.irqchip.spi(platform::kVirtioSpi + *slot);
  options.io = s_.options.icount && !live ? IoMode::deterministic(s_.clock) : IoMode::threaded();
  options.legacy = s_.options.virtio_legacy;
  virtio_.push_back(std::make_unique<virtio::Transport>(std::move(options), std::move(function)));
  return add(platform::virtio_slot(*slot), *virtio_.back());
}

std::string Peripherals::add_disk(const std::string& text, std::optional<unsigned> slot) {
  virtio::DiskOptions disk;
  if (std::string error = virtio::parse_disk(text, disk); !error.empty()) return error;
  virtio::ImageResult opened = virtio::open_image(disk.path, disk.image);
  if (opened.image == nullptr) return opened.error;
  if (!opened.warning.empty()) std::fprintf(stderr, "trapline: %s\n", opened.warning.c_str());
  std::string name = fmt::format("virtio-blk{}", virtio_.size());
  virtio::BlkOptions options;
  options.serial = name;
  options.queues = s_.options.cpus;
  return add_transport(name, virtio::make_blk(std::move(opened.image), options), false, slot);
}

std::string Peripherals::add_net(const std::string& text, std::optional<unsigned> slot) {
  virtio::NetOptions options;
  if (std::string error = virtio::parse_net(text, options); !error.empty()) return error;
  options.name = fmt::format("virtio-net{}", virtio_.size());
  virtio::NetBackendResult made = virtio::make_net_backend(options);
  if (made.backend == nullptr) return made.error;
  return add_transport(options.name, virtio::make_net(std::move(made.backend), options.mac), true,
                       slot);
}

// --- as a whole ---

Console::Hooks Peripherals::console_hooks() {
  Console::Hooks hooks;
  if (virtio_console_ != nullptr) {
    hooks.input_space = [this] { return virtio_console_->input_space(); };
    hooks.input = [this](const uint8_t* p, size_t n) { virtio_console_->receive(p, n); };
  } else {
    hooks.input_space = [this] { return uart_->rx_space(); };
    hooks.input = [this](const uint8_t* p, size_t n) { uart_->receive({p, n}); };
  }
  hooks.output_room = [this] {
    // Under icount put() never takes less than all: nobody waits for room.
    if (s_.options.icount) return;
    uart_->tx_room();
    if (virtio_console_ != nullptr) virtio_console_->output_room();
  };
  return hooks;
}

void Peripherals::quiesce() {
  for (Device* device : devices_) device->quiesce();
}

void Peripherals::resume() {
  for (auto& transport : virtio_) transport->resume();
}

void Peripherals::reset() {
  for (Device* device : devices_) device->reset();
}

}  // namespace trapline
