// LDXR, LDXP and STXR, STXP. On RAM the store is a compare-and-swap against the value that was
// loaded (the ABA weakness is QEMU's too); on a device it succeeds if no emulated store reached the
// device's gate since.
#include "mmio/gate.h"
#include "mmio/host_memory.h"
#include "mmio/transaction.h"

namespace trapline::emulation {
namespace {

void clear_monitor(Transaction& t) {
  if (t.view.monitor != nullptr) t.view.monitor->valid = false;
  disarm(t.context);
}

void load(Transaction& t) {
  const Access& access = t.access;
  const unsigned size = access.element_bytes(), bytes = access.bytes();
  const Piece& first = t.work.pieces.piece[0];
  clear_monitor(t);
  uint8_t* const data = t.work.data;
  ExclusiveMonitor monitor;
  if (first.host != nullptr) {
    const RamScope scope(t);
    if (!scope) return;
    // Two loads for LDXP of X registers: if another vCPU writes between them the store-exclusive
    // fails, and only with its success is the pair single-copy atomic (B2.2.1).
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (unsigned at = 0; at < bytes; at += 8) {
      const unsigned part = bytes < 8 ? bytes : 8;
      store_image(data + at, ram_load(first.host + at, part), part);
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
  } else {
    Exclusion exclusion(t.context.gate, *first.region, t.view.vcpu);
    if (!t.read(t.work.pieces, data)) return;
    monitor.device = true;
    monitor.version = exclusion.version();
    if (t.view.monitor != nullptr) exclusion.keep_armed(t.context, *first.region);
  }
  for (unsigned i = 0; i < access.count; ++i) {
    t.set_x(i == 0 ? access.rt : access.rt2,
            load_element(data + i * size, size, t.view.big_endian));
  }
  if (t.view.monitor == nullptr) return;
  monitor.valid = true;
  monitor.bytes = static_cast<uint8_t>(bytes);
  monitor.ipa = first.ipa;
  monitor.value[0] = load_image(data, bytes < 8 ? bytes : 8);
  monitor.value[1] = bytes == 16 ? load_image(data + 8, 8) : 0;
  *t.view.monitor = monitor;
}

// Whether the store happened; false with outcome still kDone is the architected failure.
bool store_on_ram(Transaction& t) {
  const Pieces& pieces = t.work.pieces;
  const uint8_t* const data = t.work.data;
  const unsigned bytes = t.access.bytes();
  const Piece& first = pieces.piece[0];
  if (!aligned(first.host, bytes)) return t.unsupported();
  ExclusiveMonitor& monitor = *t.view.monitor;
  bool done;
  {
    const RamScope scope(t);
    if (!scope) return false;
    if (bytes == 16) {
      uint64_t expected[2] = {monitor.value[0], monitor.value[1]};
      const uint64_t desired[2] = {load_image(data, 8), load_image(data + 8, 8)};
      done = ram_cas16(first.host, expected, desired);
    } else {
      uint64_t expected = monitor.value[0];
      done = ram_cas(first.host, expected, load_image(data, bytes), bytes);
    }
  }
  if (done) t.view.ram_written(first.ipa, bytes);
  return done;
}

bool store_on_device(Transaction& t) {
  const Pieces& pieces = t.work.pieces;
  const uint8_t* const data = t.work.data;
  const Piece& first = pieces.piece[0];
  Exclusion exclusion(t.context.gate, *first.region, t.view.vcpu);
  if (exclusion.version() != t.view.monitor->version) return false;
  exclusion.bump();
  for (unsigned i = 0; i < pieces.count; ++i) {
    const Piece& piece = pieces.piece[i];
    if (!t.write_device(*piece.region, piece.ipa, piece.size, pieces.va + piece.at,
                        load_image(data + piece.at, piece.size), true)) {
      return false;
    }
  }
  return true;
}

void store(Transaction& t) {
  const Access& access = t.access;
  const unsigned size = access.element_bytes();
  const Piece& first = t.work.pieces.piece[0];
  uint8_t* const data = t.work.data;
  for (unsigned i = 0; i < access.count; ++i) {
    store_element(data + i * size, t.x(i == 0 ? access.rt : access.rt2), size, t.view.big_endian);
  }
  const ExclusiveMonitor* monitor = t.view.monitor;
  const bool on_device = first.host == nullptr;
  bool done = monitor != nullptr && monitor->valid && monitor->device == on_device &&
              monitor->ipa == first.ipa && monitor->bytes == access.bytes();
  if (done) {
    done = on_device ? store_on_device(t) : store_on_ram(t);
  }
  clear_monitor(t);
  if (t.outcome.status == Outcome::Status::kDone) t.set_x(access.rs, done ? 0 : 1);
}

}  // namespace

void exclusive(Transaction& t) {
  const Access& access = t.access;
  const bool is_store = access.op == Op::kStoreExclusive;
  const bool pair = access.count == 2;
  if (access.size_log2 > 3 || (access.count != 1 && !pair) || (pair && access.size_log2 < 2)) {
    t.unsupported();
    return;
  }
  const unsigned size = access.element_bytes(), bytes = access.bytes();
  // Exclusives are aligned to all of their bytes; FEAT_LSE2 does not relax them (B2.2.2).
  if ((t.va & (bytes - 1)) != 0) {
    t.fault(t.va, kFscAlignment, is_store);
    return;
  }
  const Range range{.va = t.va,
                    .unit = static_cast<uint8_t>(size),
                    .bytes = static_cast<uint8_t>(bytes),
                    .align = static_cast<uint8_t>(bytes),
                    .dir = is_store ? Direction::kWrite : Direction::kRead};
  // The abort, if any, comes before the look at the monitor (AArch64.ExclusiveMonitorsPass).
  if (!t.plan(range)) return;
  const Pieces& pieces = t.work.pieces;
  if (pieces.piece[0].host == nullptr &&
      pieces.piece[0].region != pieces.piece[pieces.count - 1].region) {
    t.unsupported();
    return;
  }
  if (is_store) {
    store(t);
  } else {
    load(t);
  }
}

}  // namespace trapline::emulation
