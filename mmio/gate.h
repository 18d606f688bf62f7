// How an emulated store on a device, a read-modify-write and an exclusive pair keep out of each
// other's way. Internal to mmio/.
//
// A plain store must stay cheap, an RMW or an exclusive on a device is rare. So the rare one pays:
//
//   plain store:   storing[me] = slot; FENCE; if armed[slot] == 0: write; storing[me] = 0 (release)
//                  else: storing[me] = 0; lock; ++version; write; unlock
//   RMW, LDXR, STXR:  lock; ++armed[slot]; FENCE; for each other vCPU: wait until storing != slot
//                  ...read, compute, write...; unlock
//
// With a fence between its own announcement and its look at the other's, at least one of the two
// sees the other (Dekker). If the store sees `armed` it goes through the mutex. If it does not, the
// armer sees `storing`, and its acquire load of the released zero orders the device's write before
// what follows. So from the end of the wait until `armed` drops, every store to the slot passes
// through the mutex. A load-exclusive leaves the slot armed; every store until the store-exclusive
// then bumps `version`, by which the store-exclusive sees that something intervened. Loads take no
// part: between the read and the write of an RMW they see the old value, as in any atomic order.
//
// A slot stands for all regions whose index is equal modulo kSlots: stores there may fail an
// exclusive pair for nothing, which the architecture allows (B2.12, spurious clearing).
//
// A CLREX or an exception return clears a monitor behind our back; the slot stays armed until the
// next emulate() of that vCPU, which only makes stores slower.
//
// Nothing that runs inside may throw: locks are released by hand.
//
// Waiting here never depends on another vCPU's guest: only on device code in flight.
#ifndef TRAPLINE_MMIO_GATE_H_
#define TRAPLINE_MMIO_GATE_H_

#include <atomic>

#include "mmio/emulate.h"

namespace trapline::emulation {

// Calls `store()`, which writes to a device of `region`, as a plain store.
template <typename Store>
inline auto as_plain_store(DeviceGate* gate, const BusMap::Region& region, unsigned vcpu,
                           Store&& store) {
  if (gate == nullptr) return store();
  const unsigned index = region.index % DeviceGate::kSlots;
  DeviceGate::Slot& slot = gate->slots[index];
  if (vcpu < DeviceGate::kVcpus) [[likely]] {
    std::atomic<uint32_t>& storing = gate->storing[vcpu].slot;
    storing.store(index + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (slot.armed.load(std::memory_order_relaxed) == 0) [[likely]] {
      auto result = store();
      storing.store(0, std::memory_order_release);
      return result;
    }
    storing.store(0, std::memory_order_release);
  }
  slot.mutex.lock();
  slot.version.fetch_add(1, std::memory_order_relaxed);
  const auto result = store();
  slot.mutex.unlock();
  return result;
}

// While it lives no other vCPU's emulated store reaches the region's slot.
class Exclusion {
 public:
  Exclusion(DeviceGate* gate, const BusMap::Region& region, unsigned vcpu) {
    if (gate == nullptr) return;
    const unsigned index = region.index % DeviceGate::kSlots;
    slot_ = &gate->slots[index];
    slot_->mutex.lock();
    slot_->armed.fetch_add(1, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (unsigned other = 0; other < DeviceGate::kVcpus; ++other) {
      if (other == vcpu) continue;
      while (gate->storing[other].slot.load(std::memory_order_acquire) == index + 1) {
        gate_wait();
      }
    }
  }
  ~Exclusion() {
    if (slot_ == nullptr) return;
    slot_->armed.fetch_sub(1, std::memory_order_release);
    slot_->mutex.unlock();
  }
  Exclusion(const Exclusion&) = delete;
  Exclusion& operator=(const Exclusion&) = delete;

  uint64_t version() const {
    return slot_ == nullptr ? 0 : slot_->version.load(std::memory_order_relaxed);
  }
  // Something is about to be written: whoever monitors the slot shall fail.
  void bump() {
    if (slot_ != nullptr) slot_->version.fetch_add(1, std::memory_order_relaxed);
  }
  // Leaves the slot armed for the vCPU's monitor, until disarm().
  void keep_armed(EmulateContext& context, const BusMap::Region& region) {
    if (slot_ == nullptr) return;
    slot_->armed.fetch_add(1, std::memory_order_relaxed);
    context.armed_slot = static_cast<uint8_t>(region.index % DeviceGate::kSlots + 1);
  }

 private:
  DeviceGate::Slot* slot_ = nullptr;
};

inline void disarm(EmulateContext& context) {
  if (context.armed_slot == 0 || context.gate == nullptr) return;
  context.gate->slots[context.armed_slot - 1u].armed.fetch_sub(1, std::memory_order_release);
  context.armed_slot = 0;
}

}  // namespace trapline::emulation

#endif  // TRAPLINE_MMIO_GATE_H_
