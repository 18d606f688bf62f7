// The one meaning of a load or store in the whole program: an Access at an address, performed on
// devices (and on RAM, for the bytes of the access that lie there), or a precise fault.
#ifndef TRAPLINE_MMIO_EMULATE_H_
#define TRAPLINE_MMIO_EMULATE_H_

#include <atomic>
#include <cstdint>

#include "decode/access.h"
#include "mmio/bus_map.h"
#include "mmio/cpu_view.h"
#include "mmio/gate_lock.h"

namespace trapline {

struct Outcome {
  enum class Status : uint8_t {
    kDone,         // registers are updated; the PC is not: the backend advances it
    kProgress,     // MOPS: a chunk is done, registers updated, the same instruction runs again
    kFault,        // `fault` goes to the guest; no register, RAM or device was touched
    kUnsupported,  // no such access on a device (LD64B, tags...): the caller aborts and counts
    // Nothing was touched: resume the guest at the same PC. (Of an access to a device and RAM the
    // device's part may be done, if what led to RAM was invalidated just then.)
    kRetry,
    kNeedsExit,  // no bus was given and a byte is not RAM: nothing was touched; fault.far, .write
                 // and `ipa` name the first such byte
  };
  Status status = Status::kDone;
  GuestFault fault{};
  uint64_t ipa = 0;
};

// Observes each device access, for statistics and recording. One per vCPU, called without locks.
class AccessObserver {
 public:
  virtual ~AccessObserver() = default;
  virtual void device_access(const BusMap::Region& region, uint64_t offset, unsigned size,
                             bool write, uint64_t value, bool abort) = 0;
  // No device there.
  virtual void unmapped_access(uint64_t ipa, unsigned size, bool write) = 0;
};

// Makes a read-modify-write or an exclusive pair on a device one step against other vCPUs' emulated
// stores. Shared by the vCPUs of a machine; indexed by Region::index. The protocol, and why a plain
// store pays one fence and a load nothing, stands in mmio/gate.h.
struct DeviceGate {
  static constexpr unsigned kSlots = 16;
  static constexpr unsigned kVcpus = 64;  // vCPUs beyond store under the mutex, always
  struct alignas(64) Slot {
    GateLock mutex;
    std::atomic<uint64_t> version{0};  // bumped by every emulated store that finds the slot armed
    std::atomic<uint32_t> armed{0};    // vCPUs with a monitor or an RMW in flight here
  };
  struct alignas(64) Storing {
    std::atomic<uint32_t> slot{0};  // the slot + 1 that the vCPU's plain store is in; 0: none
  };
  Slot slots[kSlots];
  Storing storing[kVcpus];
};

struct EmulateContext {
  DeviceGate* gate = nullptr;  // null: the only vCPU of its machine
  BusMap::Hint hint;
  AccessObserver* observer = nullptr;
  uint8_t armed_slot = 0;  // emulate()'s own: the gate's slot + 1 that this vCPU's monitor arms
};

// The virtual address that the access forms from the registers (before any tag is stripped), i.e.
// the lowest byte it touches. For MOPS: of the next chunk's destination.
uint64_t effective_address(const Access& access, const CpuView& view);

// Performs the access at `va`. All or nothing (design, rule 2): every element is translated and
// checked before any device is touched. An ISV=1 syndrome comes here as an Access with mode kBase
// and `va` = FAR. Elements reach devices at ascending addresses, each with the guest's size;
// 16-byte elements as two of 8. An IPA with neither RAM nor device is an external abort (DFSC
// 0x10). With `bus` null (the software CPU's slow path) anything that is not RAM gives kNeedsExit.
Outcome emulate(const Access& access, uint64_t va, CpuView& view, const BusMap* bus,
                EmulateContext& context);

}  // namespace trapline

#endif  // TRAPLINE_MMIO_EMULATE_H_
