#include "devices/virtio/transport_mmio.h"

#include <utility>

#include "devices/virtio/transport_registers.h"

namespace trapline::virtio {

MmioTransport::MmioTransport(Options options, std::unique_ptr<Function> function)
    : Transport({.name = std::move(options.name),
                 .dma = options.dma,
                 .io = options.io,
                 .legacy = options.legacy,
                 .preset_sizes = options.legacy},
                std::move(function)),
      irq_(options.irq) {}

std::string_view MmioTransport::register_name(uint64_t offset) const {
  return transport_register_name(offset);
}

MmioResult MmioTransport::read(uint64_t offset, unsigned size, unsigned) {
  if (offset >= kConfig) return read_config(offset - kConfig, size);
  // 4.2.2.2: control registers are 32 bits wide and accessed so.
  if (size != 4 || offset % 4 != 0) {
    refuse("register read that is not of 32 aligned bits");
    return {};
  }
  return {.value = read_register(offset)};
}

uint32_t MmioTransport::read_register(uint64_t offset) {
  const bool legacy = options_.legacy;
  switch (offset) {  // those that need no lock, or only the interrupt's
    case kMagicValue:
      return kMagic;
    case kVersion:
      return legacy ? 1 : 2;
    case kDeviceId:
      return function_->device_id();
    case kVendorId:
      return kVendor;
    case kInterruptStatus: {
      std::lock_guard lock(irq_mutex_);
      return interrupt_status_;
    }
    case kStatus:
      return read_status();
    case kConfigGeneration:
      return read_generation();
    case kShmLenLow:  // 4.2.2: no such region: all ones
    case kShmLenHigh:
    case kShmBaseLow:
    case kShmBaseHigh:
      return legacy ? 0 : 0xffffffff;
    default:
      break;
  }
  std::lock_guard lock(mutex_);
  QueueState* q = selected();
  switch (offset) {
    case kDeviceFeatures:
      return device_features();
    case kQueueNumMax:
      return q != nullptr ? function_->queue_max(queue_sel_) : 0;
    case kQueuePfn:
      return legacy && q != nullptr ? static_cast<uint32_t>(q->pfn) : 0;
    case kQueueReady:
      return !legacy && q != nullptr && q->ready ? 1 : 0;
    case kQueueReset:  // a reset is complete when its write returns
      return 0;
    default:
      // Write-only and reserved registers.
      return 0;
  }
}

MmioResult MmioTransport::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  if (offset >= kConfig) {
    write_config(offset - kConfig, size, value);
  } else if (size != 4 || offset % 4 != 0) {
    refuse("register write that is not of 32 aligned bits");
  } else {
    write_register(offset, static_cast<uint32_t>(value));
  }
  return {};
}

void MmioTransport::write_register(uint64_t offset, uint32_t value) {
  switch (offset) {  // the frequent ones, without the register lock
    case kQueueNotify:
      return notify(value);
    case kInterruptAck: {
      std::lock_guard lock(irq_mutex_);
      interrupt_status_ &= ~value;
      irq_->set(interrupt_status_ != 0);
      return;
    }
    default:
      break;
  }
  std::lock_guard lock(mutex_);
  switch (offset) {
    case kDeviceFeaturesSel:
      device_features_sel_ = value;
      return;
    case kDriverFeaturesSel:
      driver_features_sel_ = value;
      return;
    case kDriverFeatures:
      return write_driver_features(value);
    case kGuestPageSize:
      if (options_.legacy) guest_page_size_ = value;
      return;
    case kQueueSel:
      queue_sel_ = value;
      return;
    case kStatus:
      return write_status(value);
    case kQueuePfn:
      if (options_.legacy) write_pfn(value);
      return;
    case kQueueNum:
    case kQueueAlign:
    case kQueueReady:
    case kQueueDescLow:
    case kQueueDescHigh:
    case kQueueDriverLow:
    case kQueueDriverHigh:
    case kQueueDeviceLow:
    case kQueueDeviceHigh:
    case kQueueReset:
      return write_queue(offset, value);
    default:
      return;  // read-only and reserved registers ignore writes
  }
}

MmioResult EmptySlot::read(uint64_t offset, unsigned size, unsigned) {
  if (size != 4) return {};
  switch (offset) {
    case kMagicValue:
      return {.value = kMagic};
    case kVersion:
      return {.value = legacy_ ? 1u : 2u};
    case kVendorId:
      return {.value = kVendor};
    default:
      return {};
  }
}

std::string_view EmptySlot::register_name(uint64_t offset) const {
  return transport_register_name(offset);
}

}  // namespace trapline::virtio
