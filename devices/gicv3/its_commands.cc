// The ITS's commands (IHI 0069, 5.3).
#include <algorithm>

#include "devices/gicv3/core.h"
#include "devices/gicv3/its.h"
#include "devices/gicv3/registers.h"

namespace trapline {

using namespace gicv3;

// Four doublewords (5.3.1 and on).
struct Its::Command {
  static constexpr unsigned kBytes = 32;
  enum Opcode : uint8_t {
    kMovi = 0x01,
    kInt = 0x03,
    kClear = 0x04,
    kSync = 0x05,
    kMapd = 0x08,
    kMapc = 0x09,
    kMapti = 0x0a,
    kMapi = 0x0b,
    kInv = 0x0c,
    kInvall = 0x0d,
    kMovall = 0x0e,
    kDiscard = 0x0f,
  };
  static constexpr uint64_t kAddress = 0x000f'ffff'ffff'ff00;

  uint64_t word[4];

  uint8_t opcode() const { return static_cast<uint8_t>(word[0]); }
  uint32_t device_id() const { return static_cast<uint32_t>(word[0] >> 32); }
  uint32_t event_id() const { return static_cast<uint32_t>(word[1]); }
  uint32_t intid() const { return static_cast<uint32_t>(word[1] >> 32); }
  uint8_t size() const { return word[1] & 0x1f; }
  bool valid() const { return word[2] >> 63 != 0; }
  uint64_t itt_address() const { return word[2] & kAddress; }
  uint16_t collection() const { return static_cast<uint16_t>(word[2]); }
  // RDbase, bits 50:16: with GITS_TYPER.PTA == 0 a processor number.
  uint64_t cpu() const { return target(word[2]); }
  uint64_t other_cpu() const { return target(word[3]); }
  static uint64_t target(uint64_t w) { return w >> 16 & 0x7'ffff'ffff; }
};

// --- the queue -----------------------------------------------------------------------------------

namespace {

constexpr uint64_t kCbaserValid = uint64_t{1} << 63;
constexpr uint64_t kCbaserAddress = 0x000f'ffff'ffff'f000;

// What one batch may take, in commands; those that walk over pending LPIs count for more.
constexpr unsigned kBatch = 4096;
constexpr unsigned kLpisACommand = 4;

uint64_t queue_bytes(uint64_t cbaser) {
  return (cbaser & kCbaserValid) != 0 ? ((cbaser & 0xff) + 1) * 4096 : 0;
}

}  // namespace

bool Its::work_left() const {
  const uint64_t size = queue_bytes(cbaser_);
  // An offset beyond the queue is never reached (12.19.6): nothing is done.
  return (ctlr_ & kGitsCtlrEnabled) != 0 && (creadr_ & kStalled) == 0 && cwriter_ != creadr_ &&
         cwriter_ < size && creadr_ < size;
}

void Its::run_queue() {
  budget_ = kBatch;
  while (budget_ != 0 && work_left()) {
    --budget_;
    Command command;
    const uint64_t ipa = (cbaser_ & kCbaserAddress) + creadr_;
    Outcome outcome = Outcome::kDone;
    for (unsigned i = 0; i < 4 && outcome == Outcome::kDone; ++i) {
      if (!load_word(dma_, ipa + i * 8, command.word[i])) outcome = Outcome::kStalled;
    }
    if (outcome == Outcome::kDone) outcome = run(command);
    if (outcome == Outcome::kStalled) {
      creadr_ |= kStalled;
      ++stalls_;
      return;
    }
    ++commands_;
    command_errors_ += outcome == Outcome::kIgnored;
    creadr_ = (creadr_ + Command::kBytes) % queue_bytes(cbaser_);
  }
}

void Its::spend(unsigned lpis) { budget_ -= std::min(budget_, lpis / kLpisACommand); }

Its::Outcome Its::run(const Command& command) {
  switch (command.opcode()) {
    case Command::kMapd:
      return map_device(command);
    case Command::kMapc:
      return map_collection(command);
    case Command::kMapti:
      return map_interrupt(command, command.intid());
    case Command::kMapi:
      return map_interrupt(command, command.event_id());
    case Command::kMovi:
      return move_interrupt(command);
    case Command::kMovall:
      return move_all(command);
    case Command::kInv:
      return invalidate(command);
    case Command::kInvall:
      return invalidate_all(command);
    case Command::kInt:
      return event(command.device_id(), command.event_id(), Event::kSet);
    case Command::kClear:
      return event(command.device_id(), command.event_id(), Event::kClear);
    case Command::kDiscard:
      return event(command.device_id(), command.event_id(), Event::kDiscard);
    case Command::kSync:  // every command has taken effect when the next one is read
      return Outcome::kDone;
    default:  // those of GICv4 and reserved ones
      return Outcome::kIgnored;
  }
}

// --- look-ups ------------------------------------------------------------------------------------

Its::Outcome Its::find_in(const ItsTable& table, uint32_t id, uint64_t& ipa) const {
  switch (table.find(dma_, id, ipa)) {
    case ItsTable::Place::kFound:
      return Outcome::kDone;
    case ItsTable::Place::kNoMemory:
      return Outcome::kStalled;
    case ItsTable::Place::kBeyond:
    case ItsTable::Place::kMissing:
      break;
  }
  return Outcome::kIgnored;
}

Its::Outcome Its::read_entry(const ItsTable& table, uint32_t id, uint64_t& word) const {
  uint64_t ipa = 0;
  const Outcome outcome = find_in(table, id, ipa);
  if (outcome != Outcome::kDone) return outcome;
  return load_word(dma_, ipa, word) ? Outcome::kDone : Outcome::kStalled;
}

Its::Outcome Its::write_entry(const ItsTable& table, uint32_t id, uint64_t word) {
  uint64_t ipa = 0;
  const Outcome outcome = find_in(table, id, ipa);
  if (outcome != Outcome::kDone) return outcome;
  return store_word(dma_, ipa, word) ? Outcome::kDone : Outcome::kStalled;
}

// Where the translation entry of an event of a mapped device is.
Its::Outcome Its::find_entry(uint32_t device_id, uint32_t event_id, uint64_t& entry) const {
  uint64_t word = 0;
  const Outcome outcome = read_entry(devices_, device_id, word);
  if (outcome != Outcome::kDone) return outcome;
  const DeviceEntry device = DeviceEntry::unpack(word);
  if (!device.valid || device.size >= kItsEventBits || event_id >> (device.size + 1) != 0) {
    return Outcome::kIgnored;
  }
  entry = device.itt + uint64_t{event_id} * kItsEntryBytes;
  return Outcome::kDone;
}

// A collection that is mapped to a CPU there is.
Its::Outcome Its::find_collection(uint32_t id, CollectionEntry& collection) const {
  uint64_t word = 0;
  const Outcome outcome = read_entry(collections_, id, word);
  if (outcome != Outcome::kDone) return outcome;
  collection = CollectionEntry::unpack(word);
  return collection.valid && collection.cpu < core_.num_cpus ? Outcome::kDone : Outcome::kIgnored;
}

// A mapped event whose collection is mapped.
Its::Outcome Its::find_route(uint32_t device_id, uint32_t event_id, Route& route) const {
  const Outcome outcome = find_entry(device_id, event_id, route.entry);
  if (outcome != Outcome::kDone) return outcome;
  uint64_t word = 0;
  if (!load_word(dma_, route.entry, word)) return Outcome::kStalled;
  route.translation = TranslationEntry::unpack(word);
  if (!route.translation.valid || !is_lpi(route.translation.intid)) return Outcome::kIgnored;
  return find_collection(route.translation.collection, route.collection);
}

// --- commands ------------------------------------------------------------------------------------

Its::Outcome Its::map_device(const Command& command) {
  if (command.valid() && command.size() >= kItsEventBits) return Outcome::kIgnored;
  const DeviceEntry device{command.valid(), command.size(), command.itt_address()};
  return write_entry(devices_, command.device_id(), device.pack());
}

Its::Outcome Its::map_collection(const Command& command) {
  if (command.valid() && command.cpu() >= core_.num_cpus) return Outcome::kIgnored;
  const CollectionEntry collection{command.valid(), static_cast<uint16_t>(command.cpu())};
  return write_entry(collections_, command.collection(), collection.pack());
}

// MAPTI and MAPI. The collection need not be mapped yet, but must have a place in the table.
Its::Outcome Its::map_interrupt(const Command& command, uint32_t intid) {
  uint64_t entry = 0;
  const Outcome outcome = find_entry(command.device_id(), command.event_id(), entry);
  if (outcome != Outcome::kDone) return outcome;
  if (!is_lpi(intid) || !collections_.reaches(command.collection())) return Outcome::kIgnored;
  const TranslationEntry translation{true, intid, command.collection()};
  return store_word(dma_, entry, translation.pack()) ? Outcome::kDone : Outcome::kStalled;
}

Its::Outcome Its::move_interrupt(const Command& command) {
  Route route;
  Outcome outcome = find_route(command.device_id(), command.event_id(), route);
  if (outcome != Outcome::kDone) return outcome;
  CollectionEntry target;
  outcome = find_collection(command.collection(), target);
  if (outcome != Outcome::kDone) return outcome;
  TranslationEntry moved = route.translation;
  moved.collection = command.collection();
  if (!store_word(dma_, route.entry, moved.pack())) return Outcome::kStalled;
  if (target.cpu == route.collection.cpu) return Outcome::kDone;
  Cpu& from = core_.cpus[route.collection.cpu];
  Cpu& to = core_.cpus[target.cpu];
  std::lock_guard lock(core_.mutex);
  from.lpis->move_to(*to.lpis, moved.intid);
  core_.lpis_changed(from);
  core_.lpis_changed(to);
  return Outcome::kDone;
}

Its::Outcome Its::move_all(const Command& command) {
  if (command.cpu() >= core_.num_cpus || command.other_cpu() >= core_.num_cpus) {
    return Outcome::kIgnored;
  }
  if (command.cpu() == command.other_cpu()) return Outcome::kDone;
  Cpu& from = core_.cpus[command.cpu()];
  Cpu& to = core_.cpus[command.other_cpu()];
  std::lock_guard lock(core_.mutex);
  spend(from.lpis->pending_count());
  from.lpis->move_all_to(*to.lpis);
  core_.lpis_changed(from);
  core_.lpis_changed(to);
  return Outcome::kDone;
}

Its::Outcome Its::invalidate(const Command& command) {
  Route route;
  const Outcome outcome = find_route(command.device_id(), command.event_id(), route);
  if (outcome != Outcome::kDone) return outcome;
  Cpu& cpu = core_.cpus[route.collection.cpu];
  std::lock_guard lock(core_.mutex);
  cpu.lpis->configuration_changed(route.translation.intid);
  core_.lpis_changed(cpu);
  return Outcome::kDone;
}

Its::Outcome Its::invalidate_all(const Command& command) {
  CollectionEntry collection;
  const Outcome outcome = find_collection(command.collection(), collection);
  if (outcome != Outcome::kDone) return outcome;
  Cpu& cpu = core_.cpus[collection.cpu];
  std::lock_guard lock(core_.mutex);
  spend(cpu.lpis->pending_count());
  cpu.lpis->configurations_changed();
  core_.lpis_changed(cpu);
  return Outcome::kDone;
}

// A message or INT; CLEAR; DISCARD.
Its::Outcome Its::event(uint32_t device_id, uint32_t event_id, Event what) {
  Route route;
  const Outcome outcome = find_route(device_id, event_id, route);
  if (outcome != Outcome::kDone) return outcome;
  if (what == Event::kDiscard && !store_word(dma_, route.entry, TranslationEntry{}.pack())) {
    return Outcome::kStalled;
  }
  Cpu& cpu = core_.cpus[route.collection.cpu];
  std::lock_guard lock(core_.mutex);
  if (what == Event::kSet) {
    cpu.lpis->set_pending(route.translation.intid);
  } else {
    cpu.lpis->clear_pending(route.translation.intid);
  }
  core_.lpis_changed(cpu);
  return Outcome::kDone;
}

}  // namespace trapline
