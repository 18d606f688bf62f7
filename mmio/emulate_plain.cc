// The general way of an access, and the commonest kind on it: LDR, STR, LDP, STP.
#include <atomic>

#include "decode/mops.h"
#include "mmio/host_memory.h"
#include "mmio/single_access.h"
#include "mmio/transaction.h"

namespace trapline::emulation {
namespace {

bool ordered(const Access& access) { return access.acquire || access.acquire_pc || access.release; }

// A whole SIMD&FP register of 1 to 16 bytes; the rest of the register becomes zero.
Vreg load_vector(const uint8_t* data, unsigned size, bool big_endian) {
  if (size < 16) return {load_element(data, size, big_endian), 0};
  const uint64_t low = load_element(data, 8, big_endian);
  const uint64_t high = load_element(data + 8, 8, big_endian);
  return big_endian ? Vreg{high, low} : Vreg{low, high};
}

void store_vector(uint8_t* data, const Vreg& v, unsigned size, bool big_endian) {
  if (size < 16) return store_element(data, v.lo, size, big_endian);
  store_element(data, big_endian ? v.hi : v.lo, 8, big_endian);
  store_element(data + 8, big_endian ? v.lo : v.hi, 8, big_endian);
}

}  // namespace

// LDR, STR, LDP, STP and their relatives: one or two elements.
void plain(Transaction& t) {
  const Access& access = t.access;
  const unsigned size = access.element_bytes();
  const bool store = access.op == Op::kStore;
  if (access.count < 1 || access.count > 2 || size > (access.vector ? 16u : 8u)) {
    t.unsupported();
    return;
  }
  if (!t.check_alignment(t.va, size, ordered(access), store)) return;
  const Range range{.va = t.va,
                    .unit = static_cast<uint8_t>(size < 8 ? size : 8),
                    .bytes = static_cast<uint8_t>(access.bytes()),
                    .align = static_cast<uint8_t>(size),
                    .dir = store ? Direction::kWrite : Direction::kRead,
                    .unprivileged = access.unprivileged != 0};
  if (!t.plan(range)) return;

  const bool big_endian = t.view.big_endian;
  const uint64_t next_base = t.next_base();
  const uint8_t registers[2] = {access.rt, access.rt2};
  uint8_t* const data = t.work.data;
  // LDAR after STLR is in order too (RCsc), so an ordered access is fenced on both sides.
  if (ordered(access)) std::atomic_thread_fence(std::memory_order_seq_cst);
  if (store) {
    for (unsigned i = 0; i < access.count; ++i) {
      uint8_t* element = data + i * size;
      if (access.vector) {
        store_vector(element, t.view.v[registers[i]], size, big_endian);
      } else {
        store_element(element, t.x(registers[i]), size, big_endian);
      }
    }
    if (!t.write(t.work.pieces, data)) return;
  } else {
    if (!t.read(t.work.pieces, data)) return;
    for (unsigned i = 0; i < access.count; ++i) {
      const uint8_t* element = data + i * size;
      if (access.vector) {
        t.view.v[registers[i]] = load_vector(element, size, big_endian);
      } else {
        t.set_x(registers[i], extend_loaded(access, load_element(element, size, big_endian)));
      }
    }
  }
  if (ordered(access)) std::atomic_thread_fence(std::memory_order_seq_cst);
  // Last, so that the base wins where it is also loaded (CONSTRAINED UNPREDICTABLE, K1.2.3).
  t.write_back(next_base);
}

namespace {

// Every register number below 32, and sizes that the planning arrays hold.
bool well_formed(const Access& access) {
  return (first_half(access) & kAboveRegisters) == 0 && access.size_log2 <= 4 &&
         access.op < Op::kCount;
}

bool sp_misaligned(const Access& access, const CpuView& view) {
  // C5.1.3 of loads and stores; PRFM raises nothing.
  return access.rn == 31 && view.sp_alignment_check && (view.regs->x[kSlotSp] & 15) != 0 &&
         access.mode != AddressMode::kLiteral && access.mode != AddressMode::kRegisterVa;
}

void perform(Transaction& t) {
  switch (t.access.op) {
    case Op::kLoad:
    case Op::kStore:
    case Op::kLoadAuthenticated:
      return plain(t);
    case Op::kLoadExclusive:
    case Op::kStoreExclusive:
      return exclusive(t);
    case Op::kLoadMultiple:
    case Op::kStoreMultiple:
    case Op::kLoadLane:
    case Op::kStoreLane:
    case Op::kLoadReplicate:
      return structure(t);
    case Op::kLoad64B:
    case Op::kStore64B:
    case Op::kStore64BV:
    case Op::kStore64BV0:
      return sixty_four_bytes(t);
    case Op::kZeroBlock:
    case Op::kZeroBlockTags:
    case Op::kZeroBlockBoth:
      return zero_block(t);
    case Op::kPrefetch:
    case Op::kCacheMaintenance:
      return;  // no effect that a device or the guest could see
    default:
      break;
  }
  if (is_read_modify_write(t.access.op)) return read_modify_write(t);
  if (t.access.op >= Op::kStoreTag && t.access.op <= Op::kStoreTagZeroMultiple) return tags(t);
  if (is_mops(t.access.op)) return memory_copy_and_set(t);
  t.unsupported();
}

}  // namespace

void general_access(Transaction& t) {
  const Access& access = t.access;
  CpuView& view = t.view;
  if (!well_formed(access)) {
    t.unsupported();
    return;
  }
  if (t.context.armed_slot != 0) {
    // The backend may have cleared the monitor since.
    const ExclusiveMonitor* monitor = view.monitor;
    if (monitor == nullptr || !monitor->valid || !monitor->device) disarm(t.context);
  }
  if (sp_misaligned(access, view) && access.op != Op::kPrefetch) {
    t.fault(t.va, 0, false);
    t.outcome.fault.ec = 0x26;
    return;
  }
  perform(t);
}

}  // namespace trapline::emulation
