// Whole blocks: FEAT_LS64's single-copy 64 bytes, and DC ZVA with its relatives.
#include <cstring>

#include "mmio/gate.h"
#include "mmio/host_memory.h"
#include "mmio/transaction.h"

namespace trapline::emulation {
namespace {

// MemStore64B and MemLoad64B: one transaction for a device that takes it, never a part of it.
bool transfer(Transaction& t, const BusMap::Region& region, uint64_t ipa, bool store,
              uint64_t data[8]) {
  const uint64_t offset = ipa - region.base + region.device_offset;
  if (!store) return region.device->read64b(offset, data, t.view.vcpu);
  return as_plain_store(t.context.gate, region, t.view.vcpu,
                        [&] { return region.device->write64b(offset, data, t.view.vcpu); });
}

}  // namespace

// LD64B, ST64B, ST64BV, ST64BV0 (C6.2).
void sixty_four_bytes(Transaction& t) {
  const Access& access = t.access;
  const bool store = access.op != Op::kLoad64B;
  if (access.count != 8 || access.size_log2 != 3 || access.rt > 22) {
    t.unsupported();
    return;
  }
  if ((t.va & 63) != 0) {
    t.fault(t.va, kFscAlignment, store);
    return;
  }
  const Range range{.va = t.va,
                    .unit = 8,
                    .bytes = 64,
                    .align = 64,
                    .dir = store ? Direction::kWrite : Direction::kRead};
  Place place;
  if (!t.locate(range, t.va, 64, place)) return;
  if (place.host != nullptr) {
    // Normal cacheable memory is not a target of these instructions.
    t.fault(t.va, kFscUnsupportedAtomic, store);
    return;
  }
  const BusMap::Region* region = t.bus->find(place.ipa, 64, t.context.hint);
  if (region == nullptr) {
    t.find_device(range, t.va, place.ipa, 64);  // an external abort, observed
    return;
  }

  const bool big_endian = t.view.big_endian;
  // As words: the device's interface is of eight.
  uint64_t* const data = t.work.words;
  std::memset(data, 0, sizeof t.work.words);
  if (store) {
    for (unsigned i = 0; i < 8; ++i) data[i] = t.x(access.rt + i);
    if (access.op == Op::kStore64BV0) {
      data[0] = (data[0] & 0xffff'ffff'0000'0000) | t.view.accdata;
    }
    for (unsigned i = 0; i < 8 && big_endian; ++i) data[i] = swap_element(data[i], 8);
  }
  const bool taken = transfer(t, *region, place.ipa, store, data);
  if (t.context.observer != nullptr) {
    t.context.observer->device_access(*region, place.ipa - region->base + region->device_offset, 64,
                                      store, data[0], !taken);
  }
  if (access.op == Op::kStore64BV || access.op == Op::kStore64BV0) {
    // Status 0: stored. All ones: this location does not take it.
    t.set_x(access.rs, taken ? 0 : ~uint64_t{0});
    return;
  }
  if (!taken) {
    t.unsupported();
    return;
  }
  if (!store) {
    for (unsigned i = 0; i < 8; ++i) {
      t.set_x(access.rt + i, big_endian ? swap_element(data[i], 8) : data[i]);
    }
  }
}

// DC ZVA, DC GZVA, and the data of STZGM: zero to the block that holds va. DC GVA writes tags only,
// and there are none here.
void zero_block(Transaction& t) {
  const Access& access = t.access;
  const uint64_t block = zero_block_bytes(t.view);
  const uint64_t va = t.va & ~(block - 1);
  // FAR holds the address that the register gave, wherever in the block it lies (D17.2.40).
  const bool by_register = access.mode == AddressMode::kRegisterVa;
  const uint64_t far = by_register ? t.x(access.rt) : va;
  Range range{.va = va, .unit = 8, .bytes = 8, .align = 8, .dir = Direction::kWrite};
  range.tags_only = access.op == Op::kZeroBlockTags;
  range.never_device = by_register;
  Place place;
  if (!t.locate(range, va, static_cast<unsigned>(block), place)) {
    if (t.outcome.fault.far == va) t.outcome.fault.far = far;
    return;
  }
  if (place.host != nullptr) {
    if (range.tags_only) return;
    {
      const RamScope scope(t);
      if (!scope) return;
      for (uint64_t at = 0; at < block; at += 8) ram_store(place.host + at, 0, 8);
    }
    t.view.ram_written(place.ipa, static_cast<unsigned>(block));
    return;
  }
  for (uint64_t at = 0; at < block; at += 8) {
    if (t.find_device(range, far, place.ipa + at, 8) == nullptr) return;
  }
  if (range.tags_only) return;
  for (uint64_t at = 0; at < block; at += 8) {
    const BusMap::Region* region = t.bus->find(place.ipa + at, 8, t.context.hint);
    if (!t.write_device(*region, place.ipa + at, 8, far, 0, false)) return;
  }
}

}  // namespace trapline::emulation
