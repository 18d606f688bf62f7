#include "devices/pci/endpoint.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace trapline::pci {
namespace {

constexpr uint32_t kStateVersion = 1;

// A BAR's low bits, 7.5.1.2.1.
constexpr uint32_t kBarIo = 1, kBar64 = 4, kBarPrefetchable = 8;
constexpr uint32_t kMsixEnable = 0x8000, kMsixMaskAll = 0x4000;  // of Message Control
constexpr uint16_t kMsiEnable = 1, kMsiMultipleEnable = 7 << 4, kMsi64 = 1 << 7, kMsiMask = 1 << 8;

constexpr unsigned kMsiPending = 20;  // in its capability

uint32_t bar_flags(const Endpoint::Bar& bar) {
  if (bar.space == Space::kIo) return kBarIo;
  return (bar.space == Space::kMemory64 ? kBar64 : 0) | (bar.prefetchable ? kBarPrefetchable : 0);
}

std::vector<uint8_t> little(std::initializer_list<uint32_t> words16) {
  std::vector<uint8_t> bytes;
  for (const uint32_t word : words16) {
    bytes.push_back(static_cast<uint8_t>(word));
    bytes.push_back(static_cast<uint8_t>(word >> 8));
  }
  return bytes;
}

}  // namespace

void Endpoint::put16(unsigned offset, uint16_t value) {
  bytes_[offset] = static_cast<uint8_t>(value);
  bytes_[offset + 1] = static_cast<uint8_t>(value >> 8);
}

uint16_t Endpoint::get16(unsigned offset) const {
  return static_cast<uint16_t>(bytes_[offset] | bytes_[offset + 1] << 8);
}

uint32_t Endpoint::config_word(unsigned offset) const {
  return get16(offset) | uint32_t{get16(offset + 2)} << 16;
}

void Endpoint::set_config_word(unsigned offset, uint32_t value) {
  put16(offset, static_cast<uint16_t>(value));
  put16(offset + 2, static_cast<uint16_t>(value >> 16));
}

Endpoint::Endpoint(Spec spec, Client* client) : spec_(std::move(spec)), client_(client) {
  put16(kVendorId, spec_.vendor);
  put16(kDeviceId, spec_.device);
  set_config_word(kRevisionId, spec_.class_code << 8 | spec_.revision);
  put16(kSubsystemVendorId, spec_.subsystem_vendor);
  put16(kSubsystemId, spec_.subsystem);
  bytes_[kInterruptPin] = spec_.interrupt_pin ? 1 : 0;
  writable_[kCommand] = static_cast<uint8_t>(kCommandWritable);
  writable_[kCommand + 1] = static_cast<uint8_t>(kCommandWritable >> 8);
  writable_[kCacheLineSize] = writable_[kInterruptLine] = 0xff;
  if (spec_.msix_vectors != 0) {
    msix_ = std::make_unique<MsiX>(spec_.name + "-msix", spec_.msix_vectors);
    spec_.bars[spec_.msix_bar] = {.size = MsiX::kBarBytes, .device = msix_.get()};
  }
  if (spec_.msi_vectors != 0) msi_ = std::make_unique<Msi>(spec_.msi_vectors);
  lay_out_bars();
  initial_ = bytes_;
}

void Endpoint::lay_out_bars() {
  for (unsigned i = 0; i < kBars; ++i) {
    const Bar& bar = spec_.bars[i];
    if (bar.size == 0) continue;
    set_config_word(kBar0 + 4 * i, bar_flags(bar));
    const uint64_t mask = ~(bar.size - 1);
    const unsigned words = bar.space == Space::kMemory64 ? 2 : 1;
    for (unsigned byte = 0; byte < 4 * words; ++byte) {
      writable_[kBar0 + 4 * i + byte] = static_cast<uint8_t>(mask >> 8 * byte);
    }
    i += words - 1;
  }
}

// The newest is first in the list, as on QEMU.
void Endpoint::add_capability(unsigned offset, CapabilityId id, const std::vector<uint8_t>& bytes,
                              const std::vector<uint8_t>& writable) {
  bytes_[offset] = id;
  bytes_[offset + 1] = bytes_[kCapabilities];
  bytes_[kCapabilities] = static_cast<uint8_t>(offset);
  put16(kStatus, kCapabilitiesList);
  std::copy(bytes.begin(), bytes.end(), bytes_.begin() + offset + 2);
  std::copy(writable.begin(), writable.end(), writable_.begin() + offset + 2);
  initial_ = bytes_;
}

void Endpoint::add_message_capabilities() {
  if (msi_ != nullptr) {
    msi_at_ = spec_.msi_capability;
    const uint32_t capable = static_cast<uint32_t>(std::countr_zero(spec_.msi_vectors)) << 1;
    const uint32_t mask =
        spec_.msi_vectors == 32 ? ~uint32_t{0} : (uint32_t{1} << spec_.msi_vectors) - 1;
    add_capability(msi_at_, CapabilityId::kMsi,
                   little({capable | kMsi64 | kMsiMask, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
                   little({kMsiEnable | kMsiMultipleEnable, 0xfffc, 0xffff, 0xffff, 0xffff, 0xffff,
                           0, mask & 0xffff, mask >> 16, 0, 0}));
  }
  if (msix_ != nullptr) {
    msix_at_ = spec_.msix_capability;
    add_capability(msix_at_, CapabilityId::kMsiX,
                   little({spec_.msix_vectors - 1, spec_.msix_bar, 0,
                           static_cast<uint32_t>(MsiX::kPendingAt) | spec_.msix_bar, 0}),
                   little({kMsixEnable | kMsixMaskAll, 0, 0, 0, 0}));
  }
}

void Endpoint::connect(Slot* slot, MsiTarget* target, uint32_t device_id) {
  slot_ = slot;
  add_message_capabilities();
  if (msix_ != nullptr) msix_->connect(target, device_id);
  if (msi_ != nullptr) msi_->connect(target, device_id);
  power_on();
}

// --- configuration -------------------------------------------------------------------------------

uint32_t Endpoint::config_read(unsigned offset, unsigned size) {
  const unsigned word = offset & ~3u;
  if (word >= kConfigBytes) return ~uint32_t{0} >> (32 - 8 * size);
  if (word == watched_) client_->before_config_read(word);
  if (msi_ != nullptr && word == msi_at_ + kMsiPending) set_config_word(word, msi_->pending());
  uint32_t value = config_word(word);
  if (word == kCommand) {
    std::lock_guard lock(line_mutex_);
    if (interrupt_) value |= uint32_t{kInterruptStatus} << 16;
  }
  return value >> 8 * (offset - word) & ~uint32_t{0} >> (32 - 8 * size);
}

void Endpoint::config_write(unsigned offset, unsigned size, uint32_t value) {
  const unsigned word = offset & ~3u;
  if (word >= kConfigBytes) return;
  const uint32_t before = config_word(word);
  for (unsigned i = 0; i < size; ++i) {
    const uint8_t may = writable_[offset + i];
    const auto byte = static_cast<uint8_t>(value >> 8 * i);
    bytes_[offset + i] = static_cast<uint8_t>((bytes_[offset + i] & ~may) | (byte & may));
  }
  if (word == watched_) client_->config_written(word);
  const uint32_t now = config_word(word);
  if (now == before) return;
  if (word == kCommand) {
    apply_command();
    if (((now ^ before) & (kIoSpace | kMemorySpace)) != 0) slot_->remap();
  } else if (word >= kBar0 && word < kBar0 + 4 * kBars) {
    if ((get16(kCommand) & (kIoSpace | kMemorySpace)) != 0) slot_->remap();
  } else if ((msix_ != nullptr && word == msix_at_) ||
             (msi_ != nullptr && word >= msi_at_ && word < msi_at_ + Msi::kCapabilityBytes)) {
    apply_messages();
  }
}

bool Endpoint::placed(unsigned bar, uint64_t& address) const {
  const Bar& b = spec_.bars[bar];
  const uint16_t decodes = b.space == Space::kIo ? kIoSpace : kMemorySpace;
  if (b.size == 0 || (get16(kCommand) & decodes) == 0) return false;
  address = config_word(kBar0 + 4 * bar);
  if (b.space == Space::kMemory64) address |= uint64_t{config_word(kBar0 + 4 * bar + 4)} << 32;
  address &= ~(b.size - 1);
  return true;
}

void Endpoint::apply_command() {
  client_->bus_master((get16(kCommand) & kBusMaster) != 0);
  apply_messages();
}

void Endpoint::apply_messages() {
  const uint16_t command = get16(kCommand);
  const bool bus_master = (command & kBusMaster) != 0;
  if (msix_ != nullptr) {
    const uint16_t control = get16(msix_at_ + 2);
    msix_->control({.enable = (control & kMsixEnable) != 0,
                    .mask_all = (control & kMsixMaskAll) != 0,
                    .bus_master = bus_master});
  }
  if (msi_ != nullptr) {
    const uint16_t control = get16(msi_at_ + 2);
    msi_->control({.enable = (control & kMsiEnable) != 0,
                   .bus_master = bus_master,
                   .vectors_log2 = static_cast<unsigned>(control & kMsiMultipleEnable) >> 4,
                   .address = uint64_t{config_word(msi_at_ + 8)} << 32 | config_word(msi_at_ + 4),
                   .data = get16(msi_at_ + 12),
                   .mask = config_word(msi_at_ + 16)});
  }
  std::lock_guard lock(line_mutex_);
  line_off_ = (command & kInterruptDisable) != 0 || uses_messages();
  update_line();
}

// --- interrupts ----------------------------------------------------------------------------------

void Endpoint::update_line() { slot_->set_line(interrupt_ && !line_off_); }

void Endpoint::set_interrupt(bool level) {
  std::lock_guard lock(line_mutex_);
  if (interrupt_ == level) return;
  interrupt_ = level;
  update_line();
}

void Endpoint::message(unsigned vector) {
  if (msix_ != nullptr && msix_->enabled()) {
    msix_->notify(vector);
  } else if (msi_ != nullptr) {
    msi_->notify(vector);
  }
}

// --- life ----------------------------------------------------------------------------------------

// The condition of the interrupt is the client's, who drops it as it resets.
void Endpoint::power_on() {
  bytes_ = initial_;
  if (msix_ != nullptr) msix_->reset();
  if (msi_ != nullptr) msi_->load_pending(0);
  apply_command();
}

void Endpoint::reset() {
  std::lock_guard lock(slot_->config_mutex());
  power_on();
  slot_->remap();
}

void Endpoint::save(StateWriter& out) const {
  std::lock_guard lock(slot_->config_mutex());
  out.put(kStateVersion);
  out.put(bytes_);
  if (msix_ != nullptr) msix_->save(out);
  if (msi_ != nullptr) out.put(msi_->pending());
}

bool Endpoint::load(StateReader& in) {
  std::lock_guard lock(slot_->config_mutex());
  power_on();
  bool good = in.get<uint32_t>() == kStateVersion;
  const auto bytes = in.get<std::array<uint8_t, kConfigBytes>>();
  if (msix_ != nullptr) good = msix_->load(in) && good;
  if (msi_ != nullptr) msi_->load_pending(in.get<uint32_t>());
  // Of another function: what software cannot write is not as here.
  for (unsigned i = 0; i < kConfigBytes; ++i) {
    const unsigned word = i & ~3u;
    if (word == watched_ || (msi_ != nullptr && word == msi_at_ + kMsiPending)) continue;
    if (((bytes[i] ^ initial_[i]) & ~writable_[i]) != 0) good = false;
  }
  good = good && in.ok();
  if (good) {
    bytes_ = bytes;
    apply_command();
  } else {
    power_on();
  }
  slot_->remap();
  return good;
}

}  // namespace trapline::pci
