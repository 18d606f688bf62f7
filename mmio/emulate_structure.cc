// LD1-LD4 and ST1-ST4: multiple structures, one lane, one element replicated (C7.2). Elements go to
// ascending addresses; in memory order the interleaved forms name register after register, the
// others lane after lane.
#include <atomic>

#include "mmio/host_memory.h"
#include "mmio/transaction.h"

namespace trapline::emulation {
namespace {

uint64_t get_lane(const Vreg& v, unsigned lane, unsigned size) {
  uint8_t bytes[16];
  __builtin_memcpy(bytes, &v, sizeof bytes);
  return load_image(bytes + lane * size, size);
}

void set_lane(Vreg& v, unsigned lane, unsigned size, uint64_t value) {
  uint8_t bytes[16];
  __builtin_memcpy(bytes, &v, sizeof bytes);
  store_image(bytes + lane * size, value, size);
  __builtin_memcpy(&v, bytes, sizeof bytes);
}

// Which register and lane the element `index` of the access belongs to.
struct Position {
  unsigned reg, lane;
};

Position position(const Access& access, unsigned index) {
  const unsigned regs = access.regs();
  if (access.op == Op::kLoadLane || access.op == Op::kStoreLane) {
    return {(access.rt + index) & 31, access.lane};
  }
  if (access.op == Op::kLoadReplicate) return {(access.rt + index) & 31, 0};
  const unsigned lanes = (8u << access.q) >> access.size_log2;
  if (access.interleaved) return {(access.rt + index % regs) & 31, index / regs};
  return {(access.rt + index / lanes) & 31, index % lanes};
}

bool well_formed(const Access& access) {
  if (access.size_log2 > 3) return false;
  if (access.op == Op::kLoadMultiple || access.op == Op::kStoreMultiple) {
    return access.count == access.regs() * ((8u << access.q) >> access.size_log2);
  }
  if (access.count != access.regs()) return false;
  return access.op == Op::kLoadReplicate || access.lane < 16u >> access.size_log2;
}

void store(Transaction& t) {
  const Access& access = t.access;
  const unsigned size = access.element_bytes();
  for (unsigned i = 0; i < access.count; ++i) {
    const Position p = position(access, i);
    store_element(t.work.data + i * size, get_lane(t.view.v[p.reg], p.lane, size), size,
                  t.view.big_endian);
  }
  t.write(t.work.pieces, t.work.data);
}

void load(Transaction& t) {
  const Access& access = t.access;
  const unsigned size = access.element_bytes();
  if (!t.read(t.work.pieces, t.work.data)) return;
  if (access.op == Op::kLoadMultiple && !access.q) {
    for (unsigned r = 0; r < access.regs(); ++r) t.view.v[(access.rt + r) & 31].hi = 0;
  }
  for (unsigned i = 0; i < access.count; ++i) {
    const Position p = position(access, i);
    const uint64_t value = load_element(t.work.data + i * size, size, t.view.big_endian);
    Vreg& v = t.view.v[p.reg];
    if (access.op != Op::kLoadReplicate) {
      set_lane(v, p.lane, size, value);
      continue;
    }
    v = Vreg{};
    const unsigned lanes = (8u << access.q) >> access.size_log2;
    for (unsigned lane = 0; lane < lanes; ++lane) set_lane(v, lane, size, value);
  }
}

// Behind the plan, and apart from it: their stacks do not add up.
[[gnu::noinline]] void transfer(Transaction& t) {
  const Access& access = t.access;
  const bool ordered = access.acquire_pc || access.release;  // LDAP1, STL1
  if (ordered) std::atomic_thread_fence(std::memory_order_seq_cst);
  if (t.work.range.dir == Direction::kWrite) {
    store(t);
  } else {
    load(t);
  }
  if (t.outcome.status != Outcome::Status::kDone) return;
  if (ordered) std::atomic_thread_fence(std::memory_order_seq_cst);
  t.write_back(t.next_base());
}

}  // namespace

void structure(Transaction& t) {
  const Access& access = t.access;
  if (!well_formed(access)) {
    t.unsupported();
    return;
  }
  const bool store = access.op == Op::kStoreMultiple || access.op == Op::kStoreLane;
  const bool ordered = access.acquire_pc || access.release;
  const unsigned size = access.element_bytes();
  if (!t.check_alignment(t.va, size, ordered, store)) return;
  const Range range{.va = t.va,
                    .unit = static_cast<uint8_t>(size),
                    .bytes = static_cast<uint8_t>(access.bytes()),
                    .align = static_cast<uint8_t>(size),
                    .dir = store ? Direction::kWrite : Direction::kRead};
  if (t.plan(range)) transfer(t);
}

}  // namespace trapline::emulation
