#include "devices/pci/msi.h"

#include <algorithm>
#include <bit>

namespace trapline::pci {

void Msi::connect(MsiTarget* target, uint32_t device_id) {
  target_ = target;
  device_id_ = device_id;
}

// 6.8.1.2: the function may change as many low bits of the data as it was given messages.
void Msi::send(unsigned vector) {
  if (target_ == nullptr) return;
  const unsigned low = (1u << control_.vectors_log2) - 1;
  target_->message(device_id_, control_.address, (control_.data & ~low) | (vector & low));
}

void Msi::control(const Control& control) {
  std::lock_guard lock(mutex_);
  control_ = control;
  control_.vectors_log2 =
      std::min(control.vectors_log2, static_cast<unsigned>(std::countr_zero(vectors_)));
  enabled_.store(control.enable, std::memory_order_release);
  if (!control_.enable || !control_.bus_master) return;
  for (uint32_t ready = pending_ & ~control_.mask; ready != 0; ready &= ready - 1) {
    const auto vector = static_cast<unsigned>(std::countr_zero(ready));
    pending_ &= ~(uint32_t{1} << vector);
    send(vector);
  }
}

void Msi::notify(unsigned vector) {
  std::lock_guard lock(mutex_);
  if (!control_.enable || vector >= vectors_) return;
  vector = std::min(vector, (1u << control_.vectors_log2) - 1);
  const uint32_t bit = uint32_t{1} << vector;
  if (!control_.bus_master || (control_.mask & bit) != 0) {
    pending_ |= bit;
  } else {
    send(vector);
  }
}

uint32_t Msi::pending() const {
  std::lock_guard lock(mutex_);
  return pending_;
}

void Msi::load_pending(uint32_t pending) {
  std::lock_guard lock(mutex_);
  pending_ = vectors_ == kMaxVectors ? pending : pending & ((uint32_t{1} << vectors_) - 1);
}

}  // namespace trapline::pci
