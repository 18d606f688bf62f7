#include "vmm/machine/peripherals.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <tuple>
#include <utility>

#include "devices/nic/e1000.h"
#include "devices/nic/ne2000.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/disk_options.h"
#include "devices/virtio/image.h"
#include "devices/virtio/net.h"
#include "devices/virtio/net_backend.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/scsi.h"
#include "devices/virtio/transport_registers.h"
#include "vmm/boot/boot_file.h"
#include "vmm/host/sound_process.h"
#include "vmm/host/wav_file.h"
#include "vmm/memory/stage2.h"

namespace trapline {
namespace {

// Under icount nothing that a guest could tell two runs apart by comes from the host.
constexpr uint64_t kFixedEpoch = 1'767'225'600;  // 2026-01-01 00:00:00 UTC
constexpr uint8_t kErasedFlash = 0xff;
constexpr uint64_t kFixedSeed = 0x7261'706c'696e'6521;

constexpr std::string_view kCardNames[] = {"", "e1000", "ne2000"};  // by NetOptions::Model

VmGenId::Id generation(bool fixed) {
  VmGenId::Id id{};
  if (!fixed && getrandom(id.data(), id.size(), 0) == static_cast<ssize_t>(id.size())) return id;
  for (size_t i = 0; i < id.size(); ++i) id[i] = static_cast<uint8_t>(kFixedSeed >> i % 8 * 8);
  return id;
}

// A card that is not virtio's is on PCI, and need not be told so.
std::vector<std::string> with_buses(std::vector<std::string> nets) {
  for (std::string& net : nets) {
    const auto has = [&net](std::string_view word) { return net.find(word) != std::string::npos; };
    const bool card = has(",model=") && !has(",model=virtio");
    if (card && !has(",bus=")) net += ",bus=pci";
  }
  return nets;
}

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

  generation_ = std::make_unique<VmGenId>(&s_.irqchip.spi(platform::kVmGenIdSpi),
                                          generation(s_.options.icount));

  std::string error = add(platform::kUart, *uart_);
  if (error.empty()) error = add(platform::kRtc, *rtc_);
  if (error.empty()) error = add(platform::kTimerCtl, timer_frames_->control());
  if (error.empty()) error = add(platform::kTimerFrame0, timer_frames_->frame());
  if (error.empty()) error = add(platform::kVmGenId, *generation_);
  if (error.empty()) error = add_fw_cfg();
  if (error.empty() && has_flash()) error = add_flash();
  if (error.empty()) error = add_virtio();
  if (error.empty() && ramfb_ != nullptr) {
    screen_ =
        std::make_unique<Screen>(Screen::Parts{*ramfb_, s_.memory, s_.backend, keyboard_, tablet_});
  }
  return error;
}

// --- flash and firmware ---

std::string Peripherals::add_flash_memory() {
  if (s_.options.firmware.empty()) return {};
  const bool arrives = !s_.options.restore.empty() || !s_.options.incoming.empty();
  std::optional<BootFile> firmware;
  if (!arrives) {
    auto file = open_limited(s_.options.firmware, platform::kFlash[0].size, "the flash");
    if (!file) return file.error();
    firmware = std::move(*file);
  }
  for (const platform::Window& bank : platform::kFlash) {
    if (std::string error = s_.memory.add(bank.base, bank.size, false); !error.empty()) {
      return error;
    }
    if (!arrives) s_.memory.fill(bank.base, bank.size, kErasedFlash);
  }
  if (firmware.has_value()) {
    const uint64_t base = platform::kFlash[0].base, size = firmware->size();
    std::string error = firmware->read(0, s_.memory.host(base, size), size);
    if (!error.empty()) return error;
    s_.memory.dma_done(base, size);
  }
  if (s_.options.vars.empty()) return {};
  flash_[1].file = std::make_unique<FlashFile>();
  std::string error = flash_[1].file->open(s_.options.vars, platform::kFlash[1].size);
  if (error.empty() && !arrives) {
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
  if (!s_.options.display.empty()) {
    ramfb_ = std::make_unique<Ramfb>(&dma_);
    if (std::string error = ramfb_->connect(*fw_cfg_); !error.empty()) return error;
  }
  return add(platform::kFwCfg, *fw_cfg_);
}

// --- virtio ---

std::string Peripherals::add_virtio() {
  auto disks = slots_.read("--disk", s_.options.disks);
  if (!disks) return disks.error();
  auto nets = slots_.read("--net", with_buses(s_.options.nets));
  if (!nets) return nets.error();
  const auto on_pci = [](const VirtioSlots::Device& d) { return needs_pcie(d.place.bus); };
  std::string error;
  if (std::any_of(disks->begin(), disks->end(), on_pci) ||
      std::any_of(nets->begin(), nets->end(), on_pci) || s_.options.rng_pci ||
      s_.options.virtio_console_pci || s_.options.input_pci || s_.options.balloon_pci ||
      !s_.options.audio.empty()) {
    error = add_bridge();
  }
  std::vector<VirtioBus> controllers;
  for (const VirtioSlots::Device& disk : *disks) {
    if (!error.empty()) break;
    const VirtioBus bus = disk.place.bus;
    if (!has_disks_only(bus)) {
      error = add_disk(disk);
    } else if (std::find(controllers.begin(), controllers.end(), bus) == controllers.end()) {
      controllers.push_back(bus);
      error = add_controller(bus, *disks);
    }
  }
  for (const VirtioSlots::Device& net : *nets) {
    if (error.empty()) error = add_net(net.text, net.place);
  }
  const auto bus = [](bool pci) {
    return VirtioPlace{pci ? VirtioBus::kPci : VirtioBus::kMmio, {}};
  };
  if (error.empty() && s_.options.rng) {
    auto seed = s_.options.icount ? std::optional<uint64_t>(kFixedSeed) : std::nullopt;
    error = add_transport("virtio-rng0", std::make_unique<virtio::Rng>(seed), false,
                          bus(s_.options.rng_pci));
  }
  if (error.empty() && s_.options.virtio_console) {
    auto console = std::make_unique<virtio::Console>(s_.console);
    console->on_input_space([this] { s_.console.input_wanted(); });
    virtio_console_ = console.get();
    error = add_transport("virtio-console0", std::move(console), false,
                          bus(s_.options.virtio_console_pci));
  }
  if (s_.options.input) {
    for (const auto& [kind, name, made] :
         {std::tuple{virtio::Input::Kind::kKeyboard, "virtio-keyboard0", &keyboard_},
          {virtio::Input::Kind::kTablet, "virtio-tablet0", &tablet_}}) {
      auto input = std::make_unique<virtio::Input>(kind);
      *made = input.get();
      // Live: whatever the clock is, what is typed is not of it.
      if (error.empty())
        error = add_transport(name, std::move(input), true, bus(s_.options.input_pci));
    }
  }
  if (error.empty() && s_.options.balloon) {
    auto balloon = std::make_unique<virtio::Balloon>(
        [this](uint64_t ipa, uint64_t size) { s_.memory.give_back(ipa, size); });
    balloon_ = balloon.get();
    error =
        add_transport("virtio-balloon0", std::move(balloon), false, bus(s_.options.balloon_pci));
  }
  if (error.empty() && !s_.options.audio.empty()) error = add_audio();
  empty_slot_ = std::make_unique<virtio::EmptySlot>(s_.options.virtio_legacy);
  for (unsigned slot = 0; slot < platform::kVirtioSlots && error.empty(); ++slot) {
    const std::vector<unsigned>& taken = slots_.taken();
    if (std::find(taken.begin(), taken.end(), slot) != taken.end()) continue;
    const platform::Window window = platform::virtio_slot(slot);
    error = s_.bus.add(window.base, window.size, empty_slot_.get());
  }
  if (error.empty() && bridge_ != nullptr) error = add_bridge_windows();
  return error;
}

std::string Peripherals::add_bridge() {
  const Irqchip::MessageUnit its = s_.irqchip.add_message_unit(dma_, s_.clock);
  its_ = its.device != nullptr;
  pci::HostBridge::Layout layout;
  const auto range = [](platform::Window w) { return pci::HostBridge::Range{w.base, w.size}; };
  layout.memory32 = range(platform::kPcieMemory32);
  if (s_.options.highmem) layout.memory64 = range(platform::kPcieMemory64);
  layout.io = range(platform::kPcieIo);
  layout.messages = its.target;
  for (unsigned i = 0; i < platform::kPcieLines; ++i) {
    layout.lines[i] = &s_.irqchip.spi(platform::kPcieSpi + i);
  }
  bridge_ = std::make_unique<pci::HostBridge>(layout);
  std::string error;
  if (its_) error = add(platform::kIts, *its.device);
  return error.empty() ? add(platform::pcie_ecam(s_.options.highmem), *bridge_) : error;
}

// With all functions attached.
std::string Peripherals::add_bridge_windows() {
  const std::pair<pci::Space, platform::Window> windows[] = {
      {pci::Space::kMemory32, platform::kPcieMemory32},
      {pci::Space::kMemory64, platform::kPcieMemory64},
      {pci::Space::kIo, platform::kPcieIo}};
  for (const auto& [space, window] : windows) {
    if (space == pci::Space::kMemory64 && !s_.options.highmem) continue;
    std::string error = s_.bus.add(window.base, window.size, &bridge_->window(space));
    if (!error.empty()) return error;
  }
  bool room = true;
  bridge_->name_parts([&](uint64_t size, Device& device) {
    const std::optional<uint16_t> part = s_.bus.add_part(size, &device);
    room = room && part.has_value();
    return part.value_or(0);
  });
  return room ? std::string() : "too many PCI functions";
}

std::string Peripherals::add_transport(const std::string& name,
                                       std::unique_ptr<virtio::Function> function, bool live,
                                       const VirtioPlace& wanted) {
  const std::optional<unsigned> slot = slots_.take(wanted);
  if (!slot.has_value()) {
    return fmt::format("{}: no slot is free, bus={}", name,
                       wanted.bus == VirtioBus::kPci ? "pci" : "mmio");
  }
  const IoMode io =
      s_.options.icount && !live ? IoMode::deterministic(s_.clock) : IoMode::threaded();
  if (wanted.bus == VirtioBus::kPci) {
    auto transport = std::make_unique<virtio::PciTransport>(
        virtio::PciTransport::Options{.name = name, .dma = &dma_, .io = io}, std::move(function));
    bridge_->attach(*slot, transport->endpoint());
    virtio_.push_back(std::move(transport));
    devices_.push_back(virtio_.back().get());
    return {};
  }
  virtio::MmioTransport::Options options;
  options.name = name;
  options.dma = &dma_;
  options.irq = &s_.irqchip.spi(platform::kVirtioSpi + *slot);
  options.io = io;
  options.legacy = s_.options.virtio_legacy;
  auto transport = std::make_unique<virtio::MmioTransport>(std::move(options), std::move(function));
  const platform::Window window = platform::virtio_slot(*slot);
  const int event = transport->notify_event();
  if (event >= 0 && s_.backend.signal_on_store(window.base + virtio::kQueueNotify, event)) {
    transport->hear_events();
  }
  virtio_.push_back(std::move(transport));
  return add(window, *virtio_.back());
}

std::string Peripherals::open_disk(const VirtioSlots::Device& device, virtio::DiskOptions& disk,
                                   std::unique_ptr<virtio::Image>& image) {
  if (std::string error = virtio::parse_disk(device.text, disk); !error.empty()) return error;
  if (disk.cd && !has_disks_only(device.place.bus)) {
    return fmt::format("--disk {}: `cd` needs a controller: add bus=scsi", disk.path);
  }
  virtio::ImageResult opened = virtio::open_image(disk.path, disk.image);
  if (opened.image == nullptr) return opened.error;
  if (!opened.warning.empty()) std::fprintf(stderr, "trapline: %s\n", opened.warning.c_str());
  if (disk.cd && opened.image->bytes() < scsi::LogicalUnit::kCdBlock) {
    return fmt::format("--disk {}: too small for a CD, whose blocks have {} bytes", disk.path,
                       scsi::LogicalUnit::kCdBlock);
  }
  images_.push_back(opened.image.get());
  image = std::move(opened.image);
  return {};
}

std::string Peripherals::add_disk(const VirtioSlots::Device& device) {
  virtio::DiskOptions disk;
  std::unique_ptr<virtio::Image> image;
  if (std::string error = open_disk(device, disk, image); !error.empty()) return error;
  std::string name = fmt::format("virtio-blk{}", virtio_.size());
  virtio::BlkOptions options;
  options.serial = name;
  options.queues = s_.options.cpus;
  return add_transport(name, virtio::make_blk(std::move(image), options), false, device.place);
}

// The controller, with all of its disks.
std::string Peripherals::add_controller(VirtioBus bus,
                                        const std::vector<VirtioSlots::Device>& disks) {
  std::vector<scsi::Drive> drives;
  for (const VirtioSlots::Device& device : disks) {
    if (device.place.bus != bus) continue;
    virtio::DiskOptions disk;
    std::unique_ptr<virtio::Image> image;
    if (std::string error = open_disk(device, disk, image); !error.empty()) return error;
    const std::optional<unsigned> slot = slots_.take(device.place);
    if (!slot.has_value()) {
      return fmt::format("--disk {}: no place is free, bus={}", disk.path, word_of(bus));
    }
    drives.push_back({*slot, std::move(image), disk.cd ? scsi::Type::kCd : scsi::Type::kDisk});
  }
  if (bus == VirtioBus::kAhci) return add_ahci(std::move(drives));
  const std::string name = fmt::format("virtio-scsi{}", virtio_.size());
  const VirtioPlace place{needs_pcie(bus) ? VirtioBus::kPci : VirtioBus::kMmio, {}};
  return add_transport(name, virtio::make_scsi(std::move(drives), name, s_.options.cpus), false,
                       place);
}

bool Peripherals::plug(pci::Endpoint& endpoint, Device& device, const VirtioPlace& wanted) {
  const std::optional<unsigned> slot = slots_.take(wanted);
  if (!slot.has_value()) return false;
  bridge_->attach(*slot, endpoint);
  devices_.push_back(&device);
  return true;
}

std::string Peripherals::add_ahci(std::vector<scsi::Drive> drives) {
  const IoMode io = s_.options.icount ? IoMode::deterministic(s_.clock) : IoMode::threaded();
  ahci_ = std::make_unique<ahci::Ahci>(ahci::Ahci::Options{.name = "ahci", .dma = &dma_, .io = io},
                                       std::move(drives));
  const bool plugged = plug(ahci_->endpoint(), *ahci_, {VirtioBus::kPci, {}});
  return plugged ? std::string() : "ahci: no slot is free, bus=pci";
}

std::string Peripherals::add_net(const std::string& text, const VirtioPlace& place) {
  virtio::NetOptions options;
  if (std::string error = virtio::parse_net(text, options); !error.empty()) return error;
  const bool card = options.model != virtio::NetOptions::Model::kVirtio;
  if (card && place.bus != VirtioBus::kPci) {
    return fmt::format("--net {}: that model is a PCI card: leave out `bus=`", text);
  }
  options.name =
      card ? fmt::format("{}-{}", kCardNames[static_cast<unsigned>(options.model)], cards_.size())
           : fmt::format("virtio-net{}", virtio_.size());
  virtio::NetBackendResult made = virtio::make_net_backend(options);
  if (made.backend == nullptr) return made.error;
  if (card) return add_card(options, std::move(made.backend), place);
  return add_transport(options.name, virtio::make_net(std::move(made.backend), options.mac), true,
                       place);
}

std::string Peripherals::add_card(const virtio::NetOptions& options,
                                  std::unique_ptr<virtio::NetBackend> backend,
                                  const VirtioPlace& place) {
  bool plugged = false;
  const auto put = [&](auto card) {
    plugged = plug(card->endpoint(), *card, place);
    cards_.push_back(std::move(card));
  };
  if (options.model == virtio::NetOptions::Model::kE1000) {
    put(std::make_unique<E1000>(
        E1000::Options{.name = options.name, .dma = &dma_, .clock = &s_.clock, .mac = options.mac},
        std::move(backend)));
  } else {
    put(std::make_unique<Ne2000>(Ne2000::Options{.name = options.name, .mac = options.mac},
                                 std::move(backend)));
  }
  return plugged ? std::string() : fmt::format("{}: no slot is free, bus=pci", options.name);
}

std::string Peripherals::add_audio() {
  struct Nowhere final : AudioSink {
    void put(const uint8_t*, size_t) override {}
  };
  constexpr std::string_view kWav = "wav:";
  if (s_.options.audio.starts_with(kWav)) {
    auto file = std::make_unique<WavFile>();
    std::string error = file->open(s_.options.audio.substr(kWav.size()));
    if (!error.empty()) return "--audio " + error;
    audio_ = std::move(file);
  } else if (const std::string device = alsa_device(s_.options.audio); !device.empty()) {
    auto sound = std::make_unique<SoundProcess>();
    std::string error = sound->start(device, sound_jail());
    if (!error.empty()) return "--audio " + s_.options.audio + ": " + error;
    audio_ = std::move(sound);
  } else {
    audio_ = std::make_unique<Nowhere>();
  }
  hda_ = std::make_unique<hda::Controller>("hda0", &dma_, s_.clock, *audio_);
  const bool plugged = plug(hda_->endpoint(), *hda_, {VirtioBus::kPci, {}});
  return plugged ? std::string() : "--audio: no PCI slot is free";
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
  for (Device* device : devices_) device->resume();
}

void Peripherals::reset() {
  for (Device* device : devices_) device->reset();
}

// --- state ---

std::vector<StateFile> Peripherals::state_files() const {
  std::vector<StateFile> files;
  for (const virtio::Image* image : images_) {
    files.push_back({"--disk", image->path(), image->read_only(), image->fd(),
                     image->is_remote() ? image->bytes() : 0, image->address()});
  }
  if (flash_[1].file != nullptr)
    files.push_back({"--vars", flash_[1].file->path(), false, flash_[1].file->fd(), 0, {}});
  return files;
}

std::string Peripherals::unlock_files() {
  std::string error;
  const auto note = [&error](std::string text) {
    if (error.empty()) error = std::move(text);
  };
  for (virtio::Image* image : images_) {
    if (const int failed = image->flush(); failed != 0) {
      note(fmt::format("{}: {}", image->path(), std::strerror(-failed)));
    }
  }
  if (flash_[1].file != nullptr) flash_[1].file->sync();
  if (!error.empty()) return error;
  for (virtio::Image* image : images_) note(image->unlock());
  if (flash_[1].file != nullptr) note(flash_[1].file->unlock());
  return error;
}

std::string Peripherals::lock_files() {
  std::string error;
  for (virtio::Image* image : images_) {
    if (error.empty()) error = image->lock();
  }
  if (error.empty() && flash_[1].file != nullptr) error = flash_[1].file->lock();
  return error;
}

void Peripherals::set_time() {
  if (s_.options.icount) return;
  rtc_->set_epoch(static_cast<uint64_t>(std::time(nullptr)) - s_.clock.now() / Clock::kFrequency);
}

std::string Peripherals::store_flash() {
  if (flash_[1].device == nullptr || flash_[1].file == nullptr) return {};
  const int failed = flash_[1].device->store_all();
  return failed == 0 ? std::string()
                     : fmt::format("{}: {}", flash_[1].file->path(), std::strerror(-failed));
}

void Peripherals::new_generation() { generation_->change(generation(false)); }

}  // namespace trapline
