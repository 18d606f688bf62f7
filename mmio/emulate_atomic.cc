// CAS, CASP, SWP, LD<op> and LSE128: one step against the other vCPUs. On RAM by the host's
// compare-and-swap of the access's size, on a device inside the gate's exclusion.
#include <atomic>

#include "mmio/gate.h"
#include "mmio/host_memory.h"
#include "mmio/transaction.h"

namespace trapline::emulation {
namespace {

// The values in memory as the guest's registers show them: one of 1 to 8 bytes, or two of 4 or 8,
// the lower address first.
struct Values {
  uint64_t v[2];
};

struct Shape {
  unsigned size;   // of a value
  unsigned count;  // 1 or 2
  unsigned bytes() const { return size * count; }
};

uint64_t mask_of(unsigned size) { return size == 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * size) - 1; }

int64_t as_signed(uint64_t value, unsigned size) {
  const unsigned unused = 64 - 8 * size;
  return static_cast<int64_t>(value << unused) >> unused;
}

uint64_t apply(Op op, uint64_t old, uint64_t operand, unsigned size) {
  operand &= mask_of(size);
  switch (op) {
    case Op::kAtomicAdd:
      return old + operand;
    case Op::kAtomicClear:
    case Op::kAtomicClearPair:
      return old & ~operand;
    case Op::kAtomicEor:
      return old ^ operand;
    case Op::kAtomicSet:
    case Op::kAtomicSetPair:
      return old | operand;
    case Op::kAtomicSmax:
      return as_signed(old, size) > as_signed(operand, size) ? old : operand;
    case Op::kAtomicSmin:
      return as_signed(old, size) > as_signed(operand, size) ? operand : old;
    case Op::kAtomicUmax:
      return old > operand ? old : operand;
    case Op::kAtomicUmin:
      return old < operand ? old : operand;
    default:  // SWP, SWPP
      return operand;
  }
}

bool is_lse128(Op op) {
  return op == Op::kSwapPair || op == Op::kAtomicClearPair || op == Op::kAtomicSetPair;
}

// The second register of a CASP pair; X30 pairs with XZR's number and is never encoded.
unsigned next_register(unsigned r) { return (r + 1) & 31; }

// From what is in memory to what shall be there. False: memory stays as it is (CAS that differs).
bool compute(const Transaction& t, const Shape& shape, const Values& old, Values& next) {
  const Access& access = t.access;
  const uint64_t mask = mask_of(shape.size);
  if (access.op == Op::kCompareAndSwap) {
    for (unsigned i = 0; i < shape.count; ++i) {
      const unsigned rs = i == 0 ? access.rs : next_register(access.rs);
      const unsigned rt = i == 0 ? access.rt : next_register(access.rt);
      if ((t.x(rs) & mask) != old.v[i]) return false;
      next.v[i] = t.x(rt) & mask;
    }
    return true;
  }
  if (is_lse128(access.op)) {
    // The operands are Xt1 and Xt2, which also receive the old value; Xt1 belongs to the lower
    // address (C6.2 LDCLRP, LDSETP, SWPP).
    next.v[0] = apply(access.op, old.v[0], t.x(access.rt), 8);
    next.v[1] = apply(access.op, old.v[1], t.x(access.rt2), 8);
    return true;
  }
  next.v[0] = apply(access.op, old.v[0], t.x(access.rs), shape.size) & mask;
  return true;
}

void load_results(const Transaction& t, const Shape& shape, const Values& old) {
  const Access& access = t.access;
  if (access.op == Op::kCompareAndSwap) {
    t.set_x(access.rs, old.v[0]);
    if (shape.count == 2) t.set_x(next_register(access.rs), old.v[1]);
  } else if (is_lse128(access.op)) {
    t.set_x(access.rt, old.v[0]);
    t.set_x(access.rt2, old.v[1]);
  } else {
    t.set_x(access.rt, old.v[0]);
  }
}

void from_image(const Transaction& t, const Shape& shape, const uint64_t image[2], Values& values) {
  uint8_t data[16];
  store_image(data, image[0], 8);
  store_image(data + 8, image[1], 8);
  for (unsigned i = 0; i < shape.count; ++i) {
    values.v[i] = load_element(data + i * shape.size, shape.size, t.view.big_endian);
  }
}

void to_image(const Transaction& t, const Shape& shape, const Values& values, uint64_t image[2]) {
  uint8_t data[16] = {};
  for (unsigned i = 0; i < shape.count; ++i) {
    store_element(data + i * shape.size, values.v[i], shape.size, t.view.big_endian);
  }
  image[0] = load_image(data, 8);
  image[1] = load_image(data + 8, 8);
}

void on_ram(Transaction& t, const Shape& shape, const Place& place) {
  const unsigned bytes = shape.bytes();
  if (!aligned(place.host, bytes)) {
    // FEAT_LSE2 on a KVM host, RAM that traps: no such case is known.
    t.unsupported();
    return;
  }
  Values old{}, next{};
  bool write;
  {
    const RamScope scope(t);
    if (!scope) return;
    uint64_t image[2] = {}, desired[2] = {};
    if (bytes == 16) {
      image[0] = ram_load(place.host, 8);
      image[1] = ram_load(place.host + 8, 8);
    } else {
      image[0] = ram_load(place.host, bytes);
    }
    for (;;) {
      from_image(t, shape, image, old);
      write = compute(t, shape, old, next);
      if (!write && bytes <= 8) {
        // One load saw it all. Both orders of a failed CASA/CASL are covered by the fence.
        std::atomic_thread_fence(std::memory_order_seq_cst);
        break;
      }
      // A failed CASP writes back what it read, so that the sixteen bytes are read at once.
      if (!write) next = old;
      to_image(t, shape, next, desired);
      if (bytes == 16 ? ram_cas16(place.host, image, desired)
                      : ram_cas(place.host, image[0], desired[0], bytes)) {
        break;
      }
    }
  }
  load_results(t, shape, old);
  if (write) t.view.ram_written(place.ipa, bytes);
}

void on_device(Transaction& t, const Shape& shape, const Range& range, const Place& place) {
  const unsigned bytes = shape.bytes();
  // Sixteen bytes reach a device as two of 8, eight bytes of a CASP as two of 4: what the guest
  // named. All of them are one window's.
  const BusMap::Region* region = t.bus->find(place.ipa, bytes, t.context.hint);
  if (region == nullptr) {
    t.find_device(range, t.va, place.ipa, bytes);  // an external abort, observed
    return;
  }
  for (unsigned i = 0; i < shape.count; ++i) {
    const unsigned at = i * shape.size;
    if (t.find_device(range, t.va + at, place.ipa + at, shape.size) == nullptr) return;
  }
  Values old{}, next{};
  {
    Exclusion exclusion(t.context.gate, *region, t.view.vcpu);
    const bool swap = t.view.big_endian;
    for (unsigned i = 0; i < shape.count; ++i) {
      const unsigned at = i * shape.size;
      uint64_t value;
      if (!t.read_device(*region, place.ipa + at, shape.size, t.va + at, value)) return;
      value &= mask_of(shape.size);
      old.v[i] = swap ? swap_element(value, shape.size) : value;
    }
    if (compute(t, shape, old, next)) {
      exclusion.bump();
      for (unsigned i = 0; i < shape.count; ++i) {
        const unsigned at = i * shape.size;
        const uint64_t value = swap ? swap_element(next.v[i], shape.size) : next.v[i];
        if (!t.write_device(*region, place.ipa + at, shape.size, t.va + at, value, true)) return;
      }
    }
  }
  load_results(t, shape, old);
}

}  // namespace

void read_modify_write(Transaction& t) {
  const Access& access = t.access;
  Shape shape{access.element_bytes(), access.count};
  if (is_lse128(access.op)) {
    if (access.size_log2 != 4 || access.count != 1) {
      t.unsupported();
      return;
    }
    shape = {8, 2};
  } else {
    const bool pair = access.op == Op::kCompareAndSwap && access.count == 2;
    if (access.size_log2 > 3 || (access.count != 1 && !pair) || (pair && access.size_log2 < 2)) {
      t.unsupported();
      return;
    }
  }
  const unsigned bytes = shape.bytes();
  // WnR of an alignment fault: a read would fault as well.
  if (!t.check_alignment(t.va, bytes, true, false)) return;
  const Range range{.va = t.va,
                    .unit = static_cast<uint8_t>(shape.size),
                    .bytes = static_cast<uint8_t>(bytes),
                    .align = static_cast<uint8_t>(bytes),
                    .dir = Direction::kReadWrite};
  if ((t.va & (kPageBytes - 1)) + bytes > kPageBytes) {
    // Aligned or within 16 bytes (FEAT_LSE2): never across a page.
    t.unsupported();
    return;
  }
  Place place;
  if (!t.locate(range, t.va, bytes, place)) return;
  if (place.host != nullptr) {
    on_ram(t, shape, place);
  } else {
    on_device(t, shape, range, place);
  }
}

}  // namespace trapline::emulation
