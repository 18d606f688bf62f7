#include "devices/pci/host_bridge.h"

#include <utility>

namespace trapline::pci {
namespace {

constexpr uint32_t kStateVersion = 1;
constexpr unsigned kDeviceShift = 15, kFunctionShift = 12;  // of an ECAM offset; above: the bus

}  // namespace

// Which BAR answers where, for statistics: looked up after the access, by whoever counts.
struct HostBridge::BarPart {
  uint64_t size;  // bytes
  uint16_t region;
  std::atomic<uint64_t> address{~uint64_t{0}};  // ~0: nowhere
};

class HostBridge::Place final : public Slot {
 public:
  Place(HostBridge& bridge, unsigned number, Endpoint& endpoint)
      : bridge_(bridge), number_(number), endpoint_(endpoint) {}
  std::mutex& config_mutex() override { return bridge_.config_mutex_; }
  void remap() override { bridge_.remap(); }
  void set_line(bool level) override { bridge_.set_line(number_, level); }
  Endpoint& endpoint() { return endpoint_; }

 private:
  HostBridge& bridge_;
  const unsigned number_;
  Endpoint& endpoint_;
};

// What the CPU sees of one space. Nobody there: ones, as on a bus where a read ends in a master
// abort.
class HostBridge::Window final : public Device {
 public:
  Window(const HostBridge& bridge, Space space, std::string_view name, Range range)
      : bridge_(bridge), space_(space), name_(name), range_(range) {}

  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override {
    MmioResult result{.value = ~uint64_t{0} >> (64 - 8 * size)};
    routes_.enter(vcpu, address(offset), size,
                  [&](Device& device, uint64_t at) { result = device.read(at, size, vcpu); });
    return result;
  }
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override {
    MmioResult result;
    routes_.enter(vcpu, address(offset), size, [&](Device& device, uint64_t at) {
      result = device.write(at, size, value, vcpu);
    });
    return result;
  }
  bool has_parts() const override { return true; }
  bool part_at(uint64_t offset, Part& part) const override {
    // No I/O address is one of memory.
    for (const auto& bar : bridge_.parts_) {
      const uint64_t within = address(offset) - bar->address.load(std::memory_order_relaxed);
      if (within >= bar->size) continue;
      part = {bar->region, bar->size, within};
      return true;
    }
    return false;
  }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return name_; }

  // A range of the space's addresses that is not all inside goes nowhere.
  bool holds(uint64_t address, uint64_t size) const {
    const uint64_t base = space_ == Space::kIo ? 0 : range_.base;
    return address >= base && address - base < range_.size &&
           size <= range_.size - (address - base);
  }
  Routes& routes() { return routes_; }

 private:
  uint64_t address(uint64_t offset) const {
    return space_ == Space::kIo ? offset : range_.base + offset;
  }

  const HostBridge& bridge_;
  const Space space_;
  const std::string_view name_;
  const Range range_;
  Routes routes_;
};

HostBridge::HostBridge(const Layout& layout)
    : layout_(layout), client_(std::make_unique<Endpoint::Client>()) {
  const auto window = [this](Space space, std::string_view name, Range range) {
    windows_[static_cast<unsigned>(space)] = std::make_unique<Window>(*this, space, name, range);
  };
  window(Space::kIo, "pci-io", layout.io);
  window(Space::kMemory32, "pci-memory32", layout.memory32);
  window(Space::kMemory64, "pci-memory64", layout.memory64);
  // As QEMU's gpex: a bridge that drivers leave alone.
  Endpoint::Spec spec;
  spec.name = "pci-host";
  spec.vendor = 0x1b36;
  spec.device = 0x0008;
  spec.subsystem_vendor = 0x1af4;
  spec.subsystem = 0x1100;
  spec.class_code = 0x060000;
  own_ = std::make_unique<Endpoint>(std::move(spec), client_.get());
  attach(0, *own_);
}

HostBridge::~HostBridge() = default;

Device& HostBridge::window(Space space) { return *windows_[static_cast<unsigned>(space)]; }

void HostBridge::attach(unsigned number, Endpoint& endpoint) {
  places_[number] = std::make_unique<Place>(*this, number, endpoint);
  endpoint.connect(places_[number].get(), layout_.messages, number << 3);
}

void HostBridge::name_parts(const std::function<uint16_t(uint64_t, Device&)>& add) {
  config_part_ = add(kEcamBytes, *this);
  parts_named_ = true;
  for (const auto& place : places_) {
    if (place == nullptr) continue;
    for (unsigned i = 0; i < kBars; ++i) {
      const Endpoint::Bar& bar = place->endpoint().spec().bars[i];
      if (bar.size == 0) continue;
      parts_.push_back(std::make_unique<BarPart>());
      BarPart& part = *parts_.back();
      part.size = bar.size;
      part.region = add(bar.size, *bar.device);
    }
  }
}

// --- configuration -------------------------------------------------------------------------------

Endpoint* HostBridge::function_at(uint64_t offset) const {
  if (offset >> kDeviceShift >= kDevices || (offset >> kFunctionShift & 7) != 0) return nullptr;
  Place* place = places_[offset >> kDeviceShift].get();
  return place == nullptr ? nullptr : &place->endpoint();
}

uint32_t HostBridge::read_word_part(uint64_t offset, unsigned size) {
  Endpoint* function = function_at(offset);
  if (function == nullptr) return ~uint32_t{0} >> (32 - 8 * size);
  return function->config_read(static_cast<unsigned>(offset % kEcamBytes), size);
}

void HostBridge::write_word_part(uint64_t offset, unsigned size, uint32_t value) {
  Endpoint* function = function_at(offset);
  if (function == nullptr) return;
  function->config_write(static_cast<unsigned>(offset % kEcamBytes), size, value);
}

// An access that crosses words is one to each.
MmioResult HostBridge::read(uint64_t offset, unsigned size, unsigned) {
  std::lock_guard lock(config_mutex_);
  uint64_t value = 0;
  for (unsigned done = 0; done < size;) {
    const uint64_t at = offset + done;
    const auto part = std::min<unsigned>(size - done, 4 - at % 4);
    value |= uint64_t{read_word_part(at, part)} << 8 * done;
    done += part;
  }
  return {.value = value};
}

MmioResult HostBridge::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  std::lock_guard lock(config_mutex_);
  for (unsigned done = 0; done < size;) {
    const uint64_t at = offset + done;
    const auto part = std::min<unsigned>(size - done, 4 - at % 4);
    write_word_part(at, part, static_cast<uint32_t>(value >> 8 * done));
    done += part;
  }
  return {};
}

bool HostBridge::part_at(uint64_t offset, Part& part) const {
  if (!parts_named_) return false;
  part = {config_part_, kEcamBytes, offset % kEcamBytes};
  return true;
}

// Where two BARs claim an address the lower device number has it, then the lower BAR.
void HostBridge::remap() {
  std::array<std::vector<Route>, 3> claims;
  size_t next_part = 0;
  for (const auto& place : places_) {
    if (place == nullptr) continue;
    const Endpoint& endpoint = place->endpoint();
    for (unsigned i = 0; i < kBars; ++i) {
      const Endpoint::Bar& bar = endpoint.spec().bars[i];
      if (bar.size == 0) continue;
      uint64_t address = 0;
      // A 64-bit BAR may as well be below 4 GiB.
      Space space = bar.space;
      if (!endpoint.placed(i, address)) address = ~uint64_t{0};
      if (space == Space::kMemory64 && address < uint64_t{1} << 32) space = Space::kMemory32;
      const auto index = static_cast<unsigned>(space);
      const bool mapped = address != ~uint64_t{0} && windows_[index]->holds(address, bar.size);
      if (mapped) {
        claims[index].push_back({address, address + (bar.size - 1), bar.device, 0});
      }
      if (next_part < parts_.size()) {
        parts_[next_part++]->address.store(mapped ? address : ~uint64_t{0},
                                           std::memory_order_relaxed);
      }
    }
  }
  for (unsigned i = 0; i < claims.size(); ++i) {
    windows_[i]->routes().replace(without_overlaps(claims[i]));
  }
}

// --- interrupts ----------------------------------------------------------------------------------

// INTA only; the device numbers take turns at the lines, as the device tree says it.
void HostBridge::set_line(unsigned number, bool level) {
  const unsigned line = number % kLines;
  if (layout_.lines[line] == nullptr) return;
  std::lock_guard lock(line_mutex_);
  const uint32_t before = asserted_[line], bit = uint32_t{1} << number;
  asserted_[line] = level ? before | bit : before & ~bit;
  if ((before != 0) != (asserted_[line] != 0)) layout_.lines[line]->set(asserted_[line] != 0);
}

// --- life ----------------------------------------------------------------------------------------

void HostBridge::reset() { own_->reset(); }

void HostBridge::save(StateWriter& out) const {
  out.put(kStateVersion);
  own_->save(out);
}

bool HostBridge::load(StateReader& in) {
  return in.get<uint32_t>() == kStateVersion && own_->load(in);
}

}  // namespace trapline::pci
