#include "devices/ahci/ahci.h"

#include <bit>
#include <utility>

namespace trapline::ahci {
namespace {

constexpr uint32_t kStateVersion = 1;
constexpr unsigned kBar = 5;

pci::Endpoint::Spec spec_of(const std::string& name, Device* registers) {
  pci::Endpoint::Spec spec;
  spec.name = name;
  spec.vendor = 0x8086;
  spec.device = 0x2922;
  spec.subsystem_vendor = 0x1af4;
  spec.subsystem = 0x1100;
  spec.revision = 2;
  spec.class_code = 0x010601;  // storage, SATA, AHCI
  spec.interrupt_pin = true;
  spec.msi_vectors = 1;
  spec.msi_capability = 0x80;  // as the ICH9's
  spec.bars[kBar] = {.space = pci::Space::kMemory32, .size = kBarBytes, .device = registers};
  return spec;
}

}  // namespace

Ahci::Ahci(const Options& options, std::vector<scsi::Drive> drives)
    : options_(options),
      report_(options.name),
      endpoint_(std::make_unique<pci::Endpoint>(spec_of(options.name, this), this)) {
  Hba& hba = *this;
  for (scsi::Drive& drive : drives) {
    ports_[drive.number] =
        std::make_unique<Port>(drive.number, hba, std::move(drive.image), drive.type,
                               options.name + "-" + std::to_string(drive.number));
    if (!options.io.is_deterministic()) ports_[drive.number]->start();
  }
}

Ahci::~Ahci() { cancel(); }

Port* Ahci::port_at(uint64_t offset) const {
  const uint64_t index = (offset - kPortsAt) / kPortBytes;
  return offset >= kPortsAt && index < kPorts ? ports_[index].get() : nullptr;
}

// --- registers -----------------------------------------------------------------------------------

MmioResult Ahci::read(uint64_t offset, unsigned size, unsigned) {
  const uint64_t word = offset & ~uint64_t{3};
  uint64_t value = read_register(word);
  if (offset % 4 + size > 4) value |= uint64_t{read_register(word + 4)} << 32;
  return {.value = value >> 8 * (offset - word) & ~uint64_t{0} >> (64 - 8 * size)};
}

MmioResult Ahci::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  if (offset % 4 != 0 || size < 4) {
    report_.add("register write that is not of 32 aligned bits");
    return {};
  }
  write_register(offset, static_cast<uint32_t>(value));
  if (size == 8) write_register(offset + 4, static_cast<uint32_t>(value >> 32));
  return {};
}

uint32_t Ahci::read_register(uint64_t offset) {
  if (offset >= kPortsAt) {
    Port* port = port_at(offset);
    return port != nullptr ? port->read((offset - kPortsAt) % kPortBytes) : 0;
  }
  switch (offset) {
    case kCap:
      return kCapValue;
    case kPi: {
      uint32_t there = 0;
      for (unsigned i = 0; i < kPorts; ++i) {
        if (ports_[i] != nullptr) there |= uint32_t{1} << i;
      }
      return there;
    }
    case kVs:
      return kVsValue;
    case kGhc:
    case kIs: {
      std::lock_guard lock(irq_mutex_);
      return offset == kGhc ? ghc_ : is_;
    }
    default:
      return 0;
  }
}

void Ahci::write_register(uint64_t offset, uint32_t value) {
  if (offset >= kPortsAt) {
    Port* port = port_at(offset);
    const uint64_t reg = (offset - kPortsAt) % kPortBytes;
    if (port == nullptr) return;
    if (!Port::is_control(reg)) return port->write(reg, value);
    std::lock_guard lock(control_mutex_);
    return port->write_control(reg, value);
  }
  if (offset == kGhc && (value & kHbaReset) != 0) {
    std::lock_guard lock(control_mutex_);
    return reset_hba();
  }
  std::lock_guard lock(irq_mutex_);
  if (offset == kGhc) {
    const bool was_on = (ghc_ & kInterruptEnable) != 0;
    ghc_ = kAhciEnable | (value & kInterruptEnable);
    signal(was_on ? is_ : 0);
  } else if (offset == kIs) {
    // 10.6.2: what a port still has to tell is set again, and tells of itself.
    is_ &= ~value;
    const uint32_t before = is_;
    is_ |= pending_;
    signal(before);
  }
}

// --- interrupts ----------------------------------------------------------------------------------

// IS had the bits of `before`; irq_mutex_ is held. A message tells of bits that are new.
void Ahci::signal(uint32_t before) {
  const bool on = (ghc_ & kInterruptEnable) != 0;
  endpoint_->set_interrupt(on && is_ != 0);
  if (on && (is_ & ~before) != 0 && endpoint_->uses_messages()) endpoint_->message(0);
}

void Ahci::port_interrupt(unsigned port, bool pending) {
  const uint32_t bit = uint32_t{1} << port;
  std::lock_guard lock(irq_mutex_);
  const uint32_t before = is_;
  pending_ = pending ? pending_ | bit : pending_ & ~bit;
  is_ |= pending_;
  signal(before);
}

// --- work ----------------------------------------------------------------------------------------

void Ahci::bus_master(bool on) {
  std::lock_guard lock(control_mutex_);
  if (bus_master_ == on) return;
  bus_master_ = on;
  if (on) {
    run_ports();
  } else {
    drain_ports();
  }
}

void Ahci::run_ports() {
  for (auto& port : ports_) {
    if (port != nullptr) port->run();
  }
}

void Ahci::drain_ports() {
  for (auto& port : ports_) {
    if (port != nullptr) port->drain();
  }
}

bool Ahci::defers(unsigned port) {
  if (!options_.io.is_deterministic()) return false;
  deferred_ |= uint32_t{1} << port;
  if (!scheduled_) schedule(options_.io.clock->now() + options_.io.delay);
  return true;
}

void Ahci::schedule(uint64_t deadline) {
  scheduled_ = true;
  deadline_ = deadline;
  timer_ = options_.io.clock->at(deadline, [this] { run_scheduled(); });
}

void Ahci::run_scheduled() {
  scheduled_ = false;
  timer_ = 0;
  for (uint32_t ports = std::exchange(deferred_, 0); ports != 0; ports &= ports - 1) {
    ports_[static_cast<unsigned>(std::countr_zero(ports))]->run();
  }
}

void Ahci::cancel() {
  if (scheduled_) options_.io.clock->cancel(timer_);
  scheduled_ = false;
  deferred_ = 0;
}

// --- life ----------------------------------------------------------------------------------------

// 10.4.3; control_mutex_ is held.
void Ahci::reset_hba() {
  cancel();
  for (auto& port : ports_) {
    if (port != nullptr) port->reset();
  }
  std::lock_guard lock(irq_mutex_);
  ghc_ = kAhciEnable;
  is_ = pending_ = 0;
  signal(0);
}

void Ahci::reset() {
  endpoint_->reset();
  std::lock_guard lock(control_mutex_);
  reset_hba();
}

// Deterministic work has no thread: what is scheduled is saved as a deadline.
void Ahci::quiesce() {
  std::lock_guard lock(control_mutex_);
  if (options_.io.is_deterministic()) return;
  still_ = true;
  drain_ports();
}

void Ahci::resume() {
  std::lock_guard lock(control_mutex_);
  if (!still_.exchange(false)) return;
  run_ports();
}

void Ahci::save(StateWriter& out) const {
  endpoint_->save(out);
  out.put(kStateVersion);
  out.put(ghc_);
  out.put(is_);
  out.put(deferred_);
  out.put(uint8_t{scheduled_});
  out.put(deadline_);
  for (const auto& port : ports_) {
    out.put(uint8_t{port != nullptr});
    if (port != nullptr) port->save(out);
  }
}

bool Ahci::load(StateReader& in) {
  bool good = endpoint_->load(in);
  std::lock_guard lock(control_mutex_);
  reset_hba();
  good = in.get<uint32_t>() == kStateVersion && good;
  const auto ghc = in.get<uint32_t>(), is = in.get<uint32_t>(), deferred = in.get<uint32_t>();
  const bool scheduled = in.get<uint8_t>() != 0;
  const auto deadline = in.get<uint64_t>();
  for (auto& port : ports_) {
    if (!good) break;
    good = (in.get<uint8_t>() != 0) == (port != nullptr) && (port == nullptr || port->load(in));
  }
  if (!good || !in.ok()) {
    reset_hba();
    return false;
  }
  {
    // No message: it was sent before, or waits in the endpoint.
    std::lock_guard irq_lock(irq_mutex_);
    ghc_ = kAhciEnable | (ghc & kInterruptEnable);
    is_ = (is & read_register(kPi)) | pending_;
    signal(is_);
  }
  if (!options_.io.is_deterministic()) {
    run_ports();
  } else if (scheduled) {
    deferred_ = deferred & read_register(kPi);
    schedule(deadline);
  }
  return true;
}

}  // namespace trapline::ahci
