#include "devices/gicv3/its.h"

#include "devices/gicv3/core.h"
#include "devices/gicv3/registers.h"

namespace trapline {

using namespace gicv3;

namespace {

constexpr uint32_t kStateVersion = 1;
constexpr uint8_t kPart = 0x94;  // GITS_PIDR0

// GITS_TYPER (12.19.9): Physical 0; less one each: ITT_entry_size 7:4, ID_bits (EventID) 12:8,
// Devbits 17:13, CIDbits 35:32 with CIL 36. PTA 19 is 0: a redistributor's RDbase is its processor
// number. HCC 31:24 is 0: every collection is in memory.
constexpr uint64_t kTyper = 1 | (kItsEntryBytes - 1) << 4 | (kItsEventBits - 1) << 8 |
                            (kItsDeviceBits - 1) << 13 | uint64_t{kItsCollectionBits - 1} << 32 |
                            uint64_t{1} << 36;

// GITS_CBASER (12.19.3): Valid 63, caching, address 51:12, shareability, Size 7:0.
constexpr uint64_t kCbaserWritable = 0xb8ef'ffff'ffff'fcff;
// Offset 19:5 of GITS_CWRITER and CREADR; bit 0 is Retry and Stalled.
constexpr uint64_t kQueueOffset = 0xf'ffe0;

constexpr unsigned kTranslationFrame = 0x10000;

bool is_baser(uint32_t at) { return at >= kGitsBaser && at < kGitsBaserEnd; }

bool is_64bit(uint32_t at) {
  const uint32_t start = at & ~7u;
  return start == kGitsTyper || start == kGitsCbaser || start == kGitsCwriter ||
         start == kGitsCreadr || is_baser(start);
}

}  // namespace

Its::Its(Gicv3& gic, Dma& dma, Clock& clock, uint64_t base)
    : core_(gic.add_lpis(dma)),
      dma_(dma),
      clock_(clock),
      doorbell_(base + kDoorbell),
      alarm_(clock, continue_queue, this) {
  static_assert(kDoorbell == kGitsTranslater);
}

Its::~Its() {
  Clock::Handle last;
  {
    std::lock_guard lock(mutex_);
    last = alarm_.retire();
  }
  alarm_.cancel(last);
}

// --- registers -----------------------------------------------------------------------------------

MmioResult Its::read(uint64_t offset, unsigned size, unsigned /*vcpu*/) {
  const uint32_t at = static_cast<uint32_t>(offset);
  if ((at & (size - 1)) != 0) return {};
  if (size == 8 && is_64bit(at)) {
    std::lock_guard lock(mutex_);
    return {read64(at), false};
  }
  if (size != 4) return {};
  if (is_64bit(at)) {
    std::lock_guard lock(mutex_);
    return {static_cast<uint32_t>(read64(at & ~7u) >> (at & 4) * 8), false};
  }
  if (at == kGitsIidr) return {kIidr, false};
  if (at >= kGitsIdRegisters && at < kTranslationFrame) return {id_register(at, kPart), false};
  if (at != kGitsCtlr) return {};
  std::lock_guard lock(mutex_);
  return {ctlr_ | (work_left() ? 0u : uint32_t{kGitsCtlrQuiescent}), false};
}

uint64_t Its::read64(uint32_t offset) const {
  switch (offset) {
    case kGitsTyper:
      return kTyper;
    case kGitsCbaser:
      return cbaser_;
    case kGitsCwriter:
      return cwriter_;
    case kGitsCreadr:
      return creadr_;
    case kGitsBaser:
      return devices_.baser();
    case kGitsBaser + 8:
      return collections_.baser();
    default:  // GITS_BASER2 to 7: unimplemented
      return 0;
  }
}

MmioResult Its::write(uint64_t offset, unsigned size, uint64_t value, unsigned /*vcpu*/) {
  const uint32_t at = static_cast<uint32_t>(offset);
  if ((at & (size - 1)) != 0) return {};
  if (at == kGitsTranslater && (size == 4 || size == 2)) {
    message(0, doorbell_, static_cast<uint32_t>(value));
    return {};
  }
  Clock::Handle stale = 0;
  {
    std::lock_guard lock(mutex_);
    if (size == 8 && is_64bit(at)) {
      write64(at, value, ~uint64_t{0});
    } else if (size == 4 && is_64bit(at)) {
      const unsigned shift = (at & 4) * 8;
      write64(at & ~7u, value << shift, uint64_t{0xffff'ffff} << shift);
    } else if (size == 4 && at == kGitsCtlr) {
      ctlr_ = static_cast<uint32_t>(value) & kGitsCtlrEnabled;
      run_queue();
    }
    stale = arm();
  }
  alarm_.cancel(stale);
  return {};
}

// Writes the bits of `mask`. What describes the queue and the tables is fixed while the ITS is
// enabled (12.19: UNPREDICTABLE).
void Its::write64(uint32_t offset, uint64_t value, uint64_t mask) {
  value = (value & mask) | (read64(offset) & ~mask);
  const bool enabled = (ctlr_ & kGitsCtlrEnabled) != 0;
  switch (offset) {
    case kGitsCbaser:
      if (enabled) return;
      cbaser_ = value & kCbaserWritable;
      creadr_ = 0;
      return;
    case kGitsCwriter:
      cwriter_ = value & kQueueOffset;
      if ((value & kRetry) != 0) creadr_ &= ~kStalled;
      run_queue();
      return;
    case kGitsBaser:
      if (!enabled) devices_.set_baser(value);
      return;
    case kGitsBaser + 8:
      if (!enabled) collections_.set_baser(value);
      return;
    default:  // TYPER, CREADR: read-only
      return;
  }
}

void Its::message(uint32_t device_id, uint64_t address, uint32_t data) {
  std::lock_guard lock(mutex_);
  ++messages_;
  if (address != doorbell_ || (ctlr_ & kGitsCtlrEnabled) == 0 ||
      event(device_id, data, Event::kSet) != Outcome::kDone) {
    ++messages_dropped_;
  }
}

// --- life ----------------------------------------------------------------------------------------

void Its::reset() {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    ctlr_ = 0;
    cbaser_ = cwriter_ = creadr_ = 0;
    devices_.set_baser(0);
    collections_.set_baser(0);
    stale = alarm_.disarm();
  }
  alarm_.cancel(stale);
}

void Its::quiesce() {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    stale = alarm_.disarm();
  }
  alarm_.cancel(stale);
}

void Its::resume() {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    stale = arm();
  }
  alarm_.cancel(stale);
}

// The rest of a queue waits so long, that other work on this thread, and whoever waits for the
// mutex, gets its turn.
Clock::Handle Its::arm() {
  constexpr uint64_t kPause = 50'000 / Clock::kNsPerTick;  // 50 us
  if (!work_left()) return alarm_.disarm();
  const uint64_t now = clock_.now();
  return alarm_.arm(now, now + kPause);
}

void Its::continue_queue(void* owner, uint64_t generation) {
  Its& its = *static_cast<Its*>(owner);
  Clock::Handle stale = 0;
  {
    std::lock_guard lock(its.mutex_);
    if (!its.alarm_.accept(generation)) return;
    its.run_queue();
    stale = its.arm();
  }
  its.alarm_.cancel(stale);
}

void Its::save(StateWriter& out) const {
  std::lock_guard lock(mutex_);
  out.put(kStateVersion);
  out.put(ctlr_);
  for (uint64_t value : {cbaser_, cwriter_, creadr_, devices_.baser(), collections_.baser()}) {
    out.put(value);
  }
  std::lock_guard core_lock(core_.mutex);
  out.put<uint32_t>(core_.num_cpus);
  for (unsigned n = 0; n < core_.num_cpus; ++n) core_.cpus[n].lpis->save(out);
}

bool Its::load(StateReader& in) {
  std::lock_guard lock(mutex_);
  if (in.get<uint32_t>() != kStateVersion) return false;
  ctlr_ = in.get<uint32_t>() & kGitsCtlrEnabled;
  cbaser_ = in.get<uint64_t>() & kCbaserWritable;
  cwriter_ = in.get<uint64_t>() & kQueueOffset;
  creadr_ = in.get<uint64_t>() & (kQueueOffset | kStalled);
  devices_.set_baser(in.get<uint64_t>());
  collections_.set_baser(in.get<uint64_t>());
  std::lock_guard core_lock(core_.mutex);
  if (in.get<uint32_t>() != core_.num_cpus) return false;
  bool ok = true;
  for (unsigned n = 0; ok && n < core_.num_cpus; ++n) {
    ok = core_.cpus[n].lpis->load(in);
    core_.lpis_changed(core_.cpus[n]);
  }
  return ok && in.ok();
}

void Its::counters(CounterVisitor visit, void* context) const {
  std::lock_guard lock(mutex_);
  visit(context, "messages", messages_);
  visit(context, "messages_dropped", messages_dropped_);
  visit(context, "commands", commands_);
  visit(context, "command_errors", command_errors_);
  visit(context, "stalls", stalls_);
}

std::string_view Its::register_name(uint64_t offset) const {
  struct Name {
    uint32_t start, bytes;
    std::string_view name;
  };
  static constexpr Name kNames[] = {
      {kGitsCtlr, 4, "GITS_CTLR"},
      {kGitsIidr, 4, "GITS_IIDR"},
      {kGitsTyper, 8, "GITS_TYPER"},
      {kGitsCbaser, 8, "GITS_CBASER"},
      {kGitsCwriter, 8, "GITS_CWRITER"},
      {kGitsCreadr, 8, "GITS_CREADR"},
      {kGitsBaser, 8, "GITS_BASER0"},
      {kGitsBaser + 8, 8, "GITS_BASER1"},
      {kGitsBaser + 16, 48, "GITS_BASER2"},
      {kGitsIdRegisters, 0x10, "GITS_PIDR4"},
      {0xffe0, 8, "GITS_PIDR0"},
      {0xffe8, 4, "GITS_PIDR2"},
      {0xffec, 4, "GITS_PIDR3"},
      {0xfff0, 0x10, "GITS_CIDR"},
      {kGitsTranslater, 4, "GITS_TRANSLATER"},
  };
  for (const Name& n : kNames) {
    if (offset >= n.start && offset - n.start < n.bytes) return n.name;
  }
  return {};
}

}  // namespace trapline
