#include "mmio/transaction.h"

#include <new>

#include "mmio/gate.h"
#include "mmio/host_memory.h"

namespace trapline::emulation {
namespace {

constexpr bool reads(Direction dir) { return dir != Direction::kWrite; }
constexpr bool writes(Direction dir) { return dir != Direction::kRead; }

}  // namespace

bool Transaction::fault(uint64_t far, uint8_t fsc, bool write) {
  outcome.status = Outcome::Status::kFault;
  outcome.fault = GuestFault{};
  outcome.fault.far = far;
  outcome.fault.fsc = fsc;
  outcome.fault.write = write;
  return false;
}

bool Transaction::unsupported() {
  outcome.status = Outcome::Status::kUnsupported;
  return false;
}

bool Transaction::retry() {
  outcome.status = Outcome::Status::kRetry;
  return false;
}

uint64_t Transaction::next_base() const {
  uint64_t now = base();
  // LDRAA and LDRAB write back the authenticated address, without its PAC.
  if (access.op == Op::kLoadAuthenticated) now = strip_pac(now, view);
  return now + (access.mode == AddressMode::kPostRegister
                    ? x(access.rm)
                    : static_cast<uint64_t>(int64_t{access.imm}));
}

bool Transaction::check_alignment(uint64_t address, unsigned align, bool always, bool write) {
  const uint64_t offset = address & (align - 1);
  if (offset == 0) return true;
  if (view.alignment_check) return fault(address, kFscAlignment, write);
  if (always && !(view.lse2 && (address & 15) + align <= 16)) {
    return fault(address, kFscAlignment, write);
  }
  return true;
}

const Translation& Transaction::translate(uint64_t address, unsigned bytes, Direction dir,
                                          bool unprivileged) {
  return *new (&work.translation) Translation(view.translate(address, bytes, dir, unprivileged));
}

bool Transaction::locate(const Range& range, uint64_t address, unsigned bytes, Place& place) {
  const uint64_t in_page = address & (kPageBytes - 1);
  bool known = false;
  // The hardware's own translation for this access: alignment and permissions have passed. Not so
  // for a read-modify-write: if the instruction was a load when it trapped, and has been replaced
  // since, the syndrome (WnR 0) cannot tell, and the page may be read-only at stage 1.
  const bool same_access = range.dir != Direction::kReadWrite && !range.may_differ;
  if (same_access && address - in_page == view.known_va_page) {
    place.ipa = view.known_ipa_page + in_page;
    known = true;
  } else {
    const Translation& t = translate(address, bytes, range.dir, range.unprivileged);
    if (t.status == Translation::Status::kRetry) return retry();
    // Stage 1's memory type is looked at before stage 2 is (AArch64.S1Translate, J1.3).
    const bool refused = t.device && (range.never_device || (range.va & (range.align - 1u)) != 0);
    if (t.status == Translation::Status::kFault && !refused) {
      outcome.status = Outcome::Status::kFault;
      outcome.fault = t.fault;
      outcome.fault.far = address;
      outcome.fault.write = range.dir == Direction::kWrite;
      if (range.dir == Direction::kReadWrite) {
        // WnR of an atomic: 0 if a read would fault as well (D17.2.37).
        const Translation& read = translate(address, bytes, Direction::kRead, range.unprivileged);
        outcome.fault.write = read.status == Translation::Status::kOk;
      }
      return false;
    }
    if (refused) return fault(address, kFscAlignment, range.dir == Direction::kWrite);
    place.ipa = t.ipa;
  }

  // What trapped is a device's more likely than not; mapped flash is both, and then its register
  // interface is meant.
  place.host = nullptr;
  if (known && bus != nullptr && bus->find(place.ipa, 1, context.hint) != nullptr) return true;
  place.host = view.ram(place.ipa, range.dir);
  if (place.host != nullptr || bus != nullptr) return true;

  outcome.status = Outcome::Status::kNeedsExit;
  outcome.ipa = place.ipa;
  outcome.fault = GuestFault{};
  outcome.fault.far = address;
  outcome.fault.write =
      range.dir == Direction::kWrite ||
      (range.dir == Direction::kReadWrite && view.ram(place.ipa, Direction::kRead) != nullptr);
  return false;
}

const BusMap::Region* Transaction::find_device(const Range& range, uint64_t address, uint64_t ipa,
                                               unsigned size) {
  const BusMap::Region* region = bus->find(ipa, size, context.hint);
  const bool is_write = range.dir == Direction::kWrite;
  if (region == nullptr) {
    if (context.observer != nullptr) context.observer->unmapped_access(ipa, size, is_write);
    fault(address, kFscExternal, is_write);
    return nullptr;
  }
  if (range.tags_only) return region;
  const uint64_t offset = ipa - region->base + region->device_offset;
  if ((reads(range.dir) && !region->device->accepts(offset, size, false)) ||
      (writes(range.dir) && !region->device->accepts(offset, size, true))) {
    if (context.observer != nullptr) {
      context.observer->device_access(*region, offset, size, writes(range.dir), 0, true);
    }
    fault(address, kFscExternal, is_write);
    return nullptr;
  }
  return region;
}

bool Transaction::plan(const Range& range, Pieces& pieces) {
  const unsigned bytes = range.bytes;
  const unsigned room = static_cast<unsigned>(kPageBytes - (range.va & (kPageBytes - 1)));
  const unsigned first = bytes < room ? bytes : room;
  Place* const places = work.places;
  if (!locate(range, range.va, first, places[0])) return false;
  if (first < bytes && !locate(range, range.va + first, bytes - first, places[1])) return false;

  pieces.va = range.va;
  pieces.count = 0;
  return cut(range, pieces, first);
}

[[gnu::noinline]] bool Transaction::cut(const Range& range, Pieces& pieces, unsigned first) {
  const unsigned bytes = range.bytes;
  const Place* const places = work.places;
  for (unsigned at = 0; at < bytes;) {
    const bool second = at >= first;
    const Place& place = places[second];
    const unsigned offset = second ? at - first : at;
    const uint64_t ipa = place.ipa + offset;
    const unsigned size = piece_size(range, place, ipa, at, first);
    Piece& piece = pieces.piece[pieces.count++];
    piece.ipa = ipa;
    piece.at = static_cast<uint8_t>(at);
    piece.size = static_cast<uint8_t>(size);
    piece.region = nullptr;
    piece.host = nullptr;
    if (place.host != nullptr) {
      piece.host = place.host + offset;
    } else {
      piece.region = find_device(range, range.va + at, ipa, size);
      if (piece.region == nullptr) return false;
    }
    at += size;
  }
  return true;
}

// Whole units, but of a device's unit that no single window holds, and of what a page boundary
// cuts, aligned parts.
unsigned Transaction::piece_size(const Range& range, const Place& place, uint64_t ipa, unsigned at,
                                 unsigned first) {
  const unsigned unit = range.unit;
  const unsigned page_end = at < first ? first : range.bytes;
  unsigned left = page_end - at;
  if (unit != 0) {
    const unsigned done = at & (unit - 1);  // of a unit that goes in parts
    const bool fits = done == 0 && left >= unit;
    if (fits && (place.host != nullptr || (ipa & (unit - 1)) == 0 ||
                 bus->find(ipa, unit, context.hint) != nullptr)) {
      return unit;
    }
    if (left > unit - done) left = unit - done;
  }
  unsigned size = 8;
  while (size > left || (ipa & (size - 1)) != 0) size >>= 1;
  return size;
}

bool Transaction::read_device(const BusMap::Region& region, uint64_t ipa, unsigned size,
                              uint64_t address, uint64_t& value) {
  const uint64_t offset = ipa - region.base + region.device_offset;
  const MmioResult result = region.device->read(offset, size, view.vcpu);
  value = result.value;
  if (context.observer != nullptr) {
    context.observer->device_access(region, offset, size, false, value, result.abort);
  }
  return result.abort ? fault(address, kFscExternal, false) : true;
}

bool Transaction::write_device(const BusMap::Region& region, uint64_t ipa, unsigned size,
                               uint64_t address, uint64_t value, bool in_exclusion) {
  const uint64_t offset = ipa - region.base + region.device_offset;
  const auto store = [&] { return region.device->write(offset, size, value, view.vcpu); };
  const MmioResult result =
      in_exclusion ? store() : as_plain_store(context.gate, region, view.vcpu, store);
  if (context.observer != nullptr) {
    context.observer->device_access(region, offset, size, true, value, result.abort);
  }
  return result.abort ? fault(address, kFscExternal, true) : true;
}

namespace {

// A device's part comes before RAM's: what does not hold even now shall not be done by half. If it
// ceases to hold while the device is at work, the device is asked again with the rest, as an access
// that crosses from one kind of memory to another may be (K1.2, "Crossing a page boundary with
// different memory types").
bool begin_at_device(Transaction& t, const Pieces& pieces) {
  if (pieces.piece[0].host != nullptr || pieces.piece[pieces.count - 1].host == nullptr)
    return true;
  return static_cast<bool>(RamScope(t));
}

}  // namespace

bool Transaction::read(const Pieces& pieces, uint8_t* data) {
  if (!begin_at_device(*this, pieces)) return false;
  for (unsigned i = 0; i < pieces.count; ++i) {
    const Piece& piece = pieces.piece[i];
    uint64_t value;
    if (piece.host != nullptr) {
      const RamScope scope(*this);
      if (!scope) return false;
      value = ram_load(piece.host, piece.size);
    } else if (!read_device(*piece.region, piece.ipa, piece.size, pieces.va + piece.at, value)) {
      return false;
    }
    store_image(data + piece.at, value, piece.size);
  }
  return true;
}

bool Transaction::write(const Pieces& pieces, const uint8_t* data) {
  if (!begin_at_device(*this, pieces)) return false;
  bool done = true;
  unsigned performed = 0;
  for (; performed < pieces.count; ++performed) {
    const Piece& piece = pieces.piece[performed];
    const uint64_t value = load_image(data + piece.at, piece.size);
    if (piece.host != nullptr) {
      const RamScope scope(*this);
      if (!scope) {
        done = false;
        break;
      }
      ram_store(piece.host, value, piece.size);
    } else if (!write_device(*piece.region, piece.ipa, piece.size, pieces.va + piece.at, value,
                             false)) {
      done = false;
      break;
    }
  }
  // The hooks hear of RAM in runs inside a page, also of the part before a device's abort.
  for (unsigned i = 0; i < performed;) {
    const Piece& start = pieces.piece[i];
    unsigned size = start.size;
    for (++i;
         i < performed && start.host != nullptr && pieces.piece[i].host == start.host + size &&
         pieces.piece[i].ipa == start.ipa + size && (pieces.piece[i].ipa & (kPageBytes - 1)) != 0;
         ++i) {
      size += pieces.piece[i].size;
    }
    if (start.host != nullptr) view.ram_written(start.ipa, size);
  }
  return done;
}

uint64_t load_element(const uint8_t* data, unsigned size, bool big_endian) {
  const uint64_t value = load_image(data, size);
  return big_endian ? swap_element(value, size) : value;
}

void store_element(uint8_t* data, uint64_t value, unsigned size, bool big_endian) {
  store_image(data, big_endian ? swap_element(value, size) : value, size);
}

}  // namespace trapline::emulation
