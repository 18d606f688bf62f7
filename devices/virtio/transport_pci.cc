#include "devices/virtio/transport_pci.h"

#include <algorithm>
#include <array>
#include <utility>

#include "devices/virtio/transport_registers.h"

namespace trapline::virtio {
namespace {

// What BAR 4 holds.
constexpr unsigned kBar = 4;
constexpr uint64_t kPart = 0x1000;  // bytes of each structure's place
enum Structure : uint64_t { kCommon = 0, kIsr = 1, kDevice = 2, kNotify = 3 };
constexpr uint32_t kNotifyMultiplier = 4;

// struct virtio_pci_common_cfg, 4.1.4.3.
enum Common : uint64_t {
  kDeviceFeatureSelect = 0x00,
  kDeviceFeature = 0x04,
  kDriverFeatureSelect = 0x08,
  kDriverFeature = 0x0c,
  kConfigMsixVector = 0x10,
  kNumQueues = 0x12,
  kDeviceStatus = 0x14,
  kCfgGeneration = 0x15,
  kQueueSelect = 0x16,
  kQueueSize = 0x18,
  kQueueMsixVector = 0x1a,
  kQueueEnable = 0x1c,
  kQueueNotifyOff = 0x1e,
  kQueueDesc = 0x20,
  kQueueDriver = 0x28,
  kQueueDevice = 0x30,
  kQueueNotifData = 0x38,
  kQueueResetPci = 0x3a,
  kCommonEnd = 0x3c,
};

// 4.1.3.1: a field is accessed with its own width, one of 64 bits as two words. Its width at that
// offset; 0: none begins there.
unsigned width_at(uint64_t offset) {
  if (offset < kConfigMsixVector || (offset >= kQueueDesc && offset < kQueueNotifData)) {
    return offset % 4 == 0 ? 4 : 0;
  }
  if (offset == kDeviceStatus || offset == kCfgGeneration) return 1;
  return offset < kCommonEnd && offset % 2 == 0 ? 2 : 0;
}

// 4.1.4, struct virtio_pci_cap behind its ID and next: cfg_type.
enum CfgType : uint8_t { kCommonCfg = 1, kNotifyCfg = 2, kIsrCfg = 3, kDeviceCfg = 4, kPciCfg = 5 };
// Where the capabilities are, as on QEMU.
constexpr unsigned kCommonCap = 0x40, kIsrCap = 0x50, kDeviceCap = 0x60, kNotifyCap = 0x70,
                   kPciCfgCap = 0x84, kMsixCap = 0x98;
constexpr unsigned kPciCfgBar = kPciCfgCap + 4, kPciCfgOffset = kPciCfgCap + 8,
                   kPciCfgLength = kPciCfgCap + 12, kPciCfgData = kPciCfgCap + 16;

std::vector<uint8_t> capability(CfgType type, unsigned bytes, uint32_t offset, uint32_t length) {
  std::vector<uint8_t> out = {static_cast<uint8_t>(bytes), type, kBar, 0, 0, 0};
  for (const uint32_t word : {offset, length}) {
    for (unsigned i = 0; i < 4; ++i) out.push_back(static_cast<uint8_t>(word >> 8 * i));
  }
  out.resize(bytes - 2);
  return out;
}

pci::Endpoint::Spec spec_of(const std::string& name, const Function& function, Device* registers) {
  pci::Endpoint::Spec spec;
  spec.name = name;
  spec.vendor = spec.subsystem_vendor = 0x1af4;
  spec.device = static_cast<uint16_t>(0x1040 + function.device_id());
  spec.subsystem = 0x1100;
  spec.revision = 1;  // 4.1.2.1
  spec.class_code = function.pci_class();
  spec.interrupt_pin = true;
  spec.msix_vectors = function.queue_count() + 1;
  spec.msix_bar = 1;
  spec.msix_capability = kMsixCap;
  spec.bars[kBar] = {.space = pci::Space::kMemory64,
                     .prefetchable = true,
                     .size = PciTransport::kBarBytes,
                     .device = registers};
  return spec;
}

}  // namespace

PciTransport::PciTransport(Options options, std::unique_ptr<Function> function)
    : Transport({.name = std::move(options.name),
                 .dma = options.dma,
                 .io = options.io,
                 .preset_sizes = true},
                std::move(function)),
      endpoint_(std::make_unique<pci::Endpoint>(
          spec_of(Transport::options_.name, Transport::function(), this), this)),
      queue_vectors_(queues_.size()) {
  for (auto& vector : queue_vectors_) vector = kNoVector;
  add_capabilities();
}

void PciTransport::add_capabilities() {
  const auto add = [this](unsigned at, CfgType type, Structure structure) {
    const std::vector<uint8_t> bytes =
        capability(type, 16, static_cast<uint32_t>(structure * kPart), kPart);
    endpoint_->add_capability(at, pci::CapabilityId::kVendorSpecific, bytes,
                              std::vector<uint8_t>(bytes.size()));
  };
  add(kCommonCap, kCommonCfg, kCommon);
  add(kIsrCap, kIsrCfg, kIsr);
  add(kDeviceCap, kDeviceCfg, kDevice);
  std::vector<uint8_t> notify = capability(kNotifyCfg, 20, kNotify * kPart, kPart);
  notify[14] = kNotifyMultiplier;
  endpoint_->add_capability(kNotifyCap, pci::CapabilityId::kVendorSpecific, notify,
                            std::vector<uint8_t>(notify.size()));
  // 4.1.4.9: bar, offset, length and data are the driver's.
  std::vector<uint8_t> window = capability(kPciCfg, 20, 0, 0);
  window[2] = 0;
  std::vector<uint8_t> writable(window.size());
  writable[2] = 0xff;
  std::fill(writable.begin() + 6, writable.end(), 0xff);
  endpoint_->add_capability(kPciCfgCap, pci::CapabilityId::kVendorSpecific, window, writable);
  endpoint_->watch(kPciCfgData);
}

// --- access by configuration space, 4.1.4.9 ------------------------------------------------------

bool PciTransport::window(uint64_t& offset, unsigned& size) const {
  if ((endpoint_->config_word(kPciCfgBar) & 0xff) != kBar) return false;
  offset = endpoint_->config_word(kPciCfgOffset);
  size = endpoint_->config_word(kPciCfgLength);
  return (size == 1 || size == 2 || size == 4) && offset % size == 0 && offset < kBarBytes;
}

void PciTransport::before_config_read(unsigned) {
  uint64_t offset = 0;
  unsigned size = 0;
  if (!window(offset, size)) return;
  endpoint_->set_config_word(kPciCfgData, static_cast<uint32_t>(read(offset, size, 0).value));
}

void PciTransport::config_written(unsigned) {
  uint64_t offset = 0;
  unsigned size = 0;
  if (!window(offset, size)) return;
  const uint32_t data = endpoint_->config_word(kPciCfgData);
  write(offset, size, data & ~uint32_t{0} >> (32 - 8 * size), 0);
}

void PciTransport::bus_master(bool on) {
  std::lock_guard lock(mutex_);
  allow_work(on);
}

// --- registers -----------------------------------------------------------------------------------

MmioResult PciTransport::read(uint64_t offset, unsigned size, unsigned) {
  const uint64_t at = offset % kPart;
  switch (offset / kPart) {
    case kCommon:
      if (at >= kCommonEnd || width_at(at) != size) {
        refuse("read that is of no field of the common configuration");
        return {};
      }
      return {.value = read_common(at, size)};
    case kIsr:
      return {.value = at == 0 ? read_isr() : 0};
    case kDevice:
      return read_config(at, size);
    default:
      return {};
  }
}

MmioResult PciTransport::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  const uint64_t at = offset % kPart;
  switch (offset / kPart) {
    case kNotify:  // 4.1.5.2: the place says which queue
      notify(static_cast<uint32_t>(at / kNotifyMultiplier));
      break;
    case kCommon:
      if (at >= kCommonEnd || width_at(at) != size) {
        refuse("write that is of no field of the common configuration");
      } else {
        write_common(at, size, static_cast<uint32_t>(value));
      }
      break;
    case kDevice:
      write_config(at, size, value);
      break;
    default:
      break;
  }
  return {};
}

// A read takes it away, 4.1.4.5.
uint32_t PciTransport::read_isr() {
  std::lock_guard lock(irq_mutex_);
  interrupt_gone();
  return std::exchange(interrupt_status_, 0);
}

uint16_t PciTransport::queue_vector() const {
  return queue_sel_ < queue_vectors_.size() ? queue_vectors_[queue_sel_].load() : kNoVector;
}

// 4.1.5.1.2.1: a vector that is not there reads back as none.
uint16_t PciTransport::usable(uint32_t vector) const {
  return vector < endpoint_->spec().msix_vectors ? static_cast<uint16_t>(vector) : kNoVector;
}

uint32_t PciTransport::read_common(uint64_t offset, unsigned) {
  if (offset == kDeviceStatus) return read_status();
  if (offset == kCfgGeneration) return read_generation() & 0xff;
  std::lock_guard lock(mutex_);
  const QueueState* q = selected();
  const auto half = [offset](uint64_t address) {
    return static_cast<uint32_t>(offset % 8 == 4 ? address >> 32 : address);
  };
  switch (offset & ~(offset >= kQueueDesc && offset < kQueueNotifData ? uint64_t{4} : 0)) {
    case kDeviceFeatureSelect:
      return device_features_sel_;
    case kDeviceFeature:
      return device_features();
    case kDriverFeatureSelect:
      return driver_features_sel_;
    case kDriverFeature:
      return driver_features_sel_ > 1
                 ? 0
                 : static_cast<uint32_t>(driver_features_ >> (32 * driver_features_sel_));
    case kConfigMsixVector:
      return config_vector_;
    case kNumQueues:
      return static_cast<uint32_t>(queues_.size());
    case kQueueSelect:
      return queue_sel_;
    case kQueueSize:
      return q != nullptr ? q->layout.size : 0;
    case kQueueMsixVector:
      return queue_vector();
    case kQueueEnable:
      return q != nullptr && q->ready ? 1 : 0;
    case kQueueNotifyOff:
      return q != nullptr ? queue_sel_ : 0;
    case kQueueDesc:
      return q != nullptr ? half(q->layout.descriptors) : 0;
    case kQueueDriver:
      return q != nullptr ? half(q->layout.available) : 0;
    case kQueueDevice:
      return q != nullptr ? half(q->layout.used) : 0;
    default:  // a queue's reset is complete when its write returns
      return 0;
  }
}

void PciTransport::write_common(uint64_t offset, unsigned, uint32_t value) {
  std::lock_guard lock(mutex_);
  switch (offset) {
    case kDeviceFeatureSelect:
      device_features_sel_ = value;
      return;
    case kDriverFeatureSelect:
      driver_features_sel_ = value;
      return;
    case kDriverFeature:
      return write_driver_features(value);
    case kConfigMsixVector:
      config_vector_ = usable(value);
      return;
    case kDeviceStatus:
      return write_status(value);
    case kQueueSelect:
      queue_sel_ = value;
      return;
    case kQueueSize:
      return write_queue(kQueueNum, value);
    case kQueueMsixVector:
      if (queue_sel_ < queue_vectors_.size()) queue_vectors_[queue_sel_] = usable(value);
      return;
    case kQueueEnable:
      if (value == 1) return write_queue(kQueueReady, 1);
      return refuse("queue_enable written as other than 1");  // 4.1.4.3.2
    case kQueueDesc:
    case kQueueDesc + 4:
      return write_queue(kQueueDescLow + (offset - kQueueDesc), value);
    case kQueueDriver:
    case kQueueDriver + 4:
      return write_queue(kQueueDriverLow + (offset - kQueueDriver), value);
    case kQueueDevice:
    case kQueueDevice + 4:
      return write_queue(kQueueDeviceLow + (offset - kQueueDevice), value);
    case kQueueResetPci:
      return write_queue(kQueueReset, value);
    default:
      return;  // read-only
  }
}

// --- interrupts ----------------------------------------------------------------------------------

void PciTransport::interrupt(uint32_t bits, unsigned queue) {
  if (!endpoint_->uses_messages()) return endpoint_->set_interrupt(true);
  if ((bits & kConfigChange) != 0) endpoint_->message(config_vector_);
  if (queue < queue_vectors_.size()) endpoint_->message(queue_vectors_[queue]);
}

void PciTransport::show_loaded_interrupt() {
  if (!endpoint_->uses_messages()) endpoint_->set_interrupt(true);
}

// --- life ----------------------------------------------------------------------------------------

void PciTransport::front_reset() {
  config_vector_ = kNoVector;
  for (auto& vector : queue_vectors_) vector = kNoVector;
}

void PciTransport::reset() {
  endpoint_->reset();
  Transport::reset();
}

void PciTransport::save(StateWriter& out) const {
  endpoint_->save(out);
  Transport::save(out);
}

bool PciTransport::load(StateReader& in) { return endpoint_->load(in) && Transport::load(in); }

void PciTransport::save_front(StateWriter& out) const {
  out.put(config_vector_.load());
  for (const auto& vector : queue_vectors_) out.put(vector.load());
}

bool PciTransport::load_front(StateReader& in) {
  config_vector_ = usable(in.get<uint16_t>());
  for (auto& vector : queue_vectors_) vector = usable(in.get<uint16_t>());
  return in.ok();
}

std::string_view PciTransport::register_name(uint64_t offset) const {
  static constexpr std::array<std::string_view, kCommonEnd / 4> kNames = {
      "device_feature_select",
      "device_feature",
      "driver_feature_select",
      "driver_feature",
      "config_msix_vector,num_queues",
      "device_status,config_generation,queue_select",
      "queue_size,queue_msix_vector",
      "queue_enable,queue_notify_off",
      "queue_desc",
      "queue_desc",
      "queue_driver",
      "queue_driver",
      "queue_device",
      "queue_device",
      "queue_notif_config_data,queue_reset",
  };
  switch (offset / kPart) {
    case kCommon:
      return offset < kCommonEnd ? kNames[offset / 4] : std::string_view{};
    case kIsr:
      return "isr_status";
    case kDevice:
      return "device_config";
    default:
      return "queue_notify";
  }
}

}  // namespace trapline::virtio
