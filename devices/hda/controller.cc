#include "devices/hda/controller.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace trapline::hda {
namespace {

// 3.3, by the words that hold them.
enum Word : uint64_t {
  kGcap = 0x00,    // and VMIN, VMAJ
  kOutpay = 0x04,  // and INPAY
  kGctl = 0x08,
  kWakeen = 0x0c,  // and STATESTS
  kIntctl = 0x20,
  kIntsts = 0x24,
  kWalclk = 0x30,
  kSsync = 0x38,
  kCorblbase = 0x40,
  kCorbwp = 0x48,   // and CORBRP
  kCorbctl = 0x4c,  // and CORBSTS, CORBSIZE
  kRirblbase = 0x50,
  kRirbwp = 0x58,   // and RINTCNT
  kRirbctl = 0x5c,  // and RIRBSTS, RIRBSIZE
  kIc = 0x60,
  kIr = 0x64,
  kIcs = 0x68,
  kDplbase = 0x70,
  kSdctl = 0x80,  // and SDSTS
  kSdlpib = 0x84,
  kSdcbl = 0x88,
  kSdlvi = 0x8c,
  kSdfifos = 0x90,  // and SDFMT
  kSdbdpl = 0x98,
};

struct Row {
  uint8_t at;
  uint32_t initial, writable, cleared;  // `cleared`: bits that a 1 clears
};
constexpr Row kRows[] = {
    {kGcap, 0x0100'1001, 0, 0},  // one output stream, 64-bit addresses; version 1.0
    {kOutpay, 0x001d'003c, 0, 0},
    {kGctl, 0, 0x101, 0},
    {kWakeen, 0, 0x0001, 0x0001'0000},
    {0x18, 0x0018'0030, 0, 0},  // OUTSTRMPAY, INSTRMPAY
    {kIntctl, 0, 0xc000'0001, 0},
    {kSsync, 0, 1, 0},
    {kCorblbase, 0, 0xffff'ff80, 0},
    {kCorblbase + 4, 0, 0xffff'ffff, 0},
    {kCorbwp, 0, 0x8000'00ff, 0},
    {kCorbctl, 0x0042'0000, 0x3, 0x100},  // 256 entries, and no other number
    {kRirblbase, 0, 0xffff'ff80, 0},
    {kRirblbase + 4, 0, 0xffff'ffff, 0},
    {kRirbwp, 0, 0x00ff'8000, 0},
    {kRirbctl, 0x0042'0000, 0x7, 0x500},
    {kIc, 0, 0xffff'ffff, 0},
    {kIcs, 0, 0x1, 0x2},
    {kDplbase, 0, 0xffff'ff81, 0},
    {kDplbase + 4, 0, 0xffff'ffff, 0},
    {kSdctl, 0x0004'0000, 0x00f3'001f, 0x1c00'0000},
    {kSdcbl, 0, 0xffff'ffff, 0},
    {kSdlvi, 0, 0xff, 0},
    {kSdfifos, 0x0000'00bf, 0x7f7f'0000, 0},
    {kSdbdpl, 0, 0xffff'ff80, 0},
    {kSdbdpl + 4, 0, 0xffff'ffff, 0},
};
const Row* row_at(uint64_t at) {
  const auto* const row =
      std::find_if(std::begin(kRows), std::end(kRows), [at](const Row& r) { return r.at == at; });
  return row == std::end(kRows) ? nullptr : row;
}

struct Name {
  uint8_t at, bytes;
  std::string_view name;
};
constexpr Name kNames[] = {
    {0x00, 2, "GCAP"},      {0x02, 1, "VMIN"},       {0x03, 1, "VMAJ"},      {0x04, 2, "OUTPAY"},
    {0x06, 2, "INPAY"},     {0x08, 4, "GCTL"},       {0x0c, 2, "WAKEEN"},    {0x0e, 2, "STATESTS"},
    {0x10, 2, "GSTS"},      {0x18, 2, "OUTSTRMPAY"}, {0x1a, 2, "INSTRMPAY"}, {0x20, 4, "INTCTL"},
    {0x24, 4, "INTSTS"},    {0x30, 4, "WALCLK"},     {0x38, 4, "SSYNC"},     {0x40, 4, "CORBLBASE"},
    {0x44, 4, "CORBUBASE"}, {0x48, 2, "CORBWP"},     {0x4a, 2, "CORBRP"},    {0x4c, 1, "CORBCTL"},
    {0x4d, 1, "CORBSTS"},   {0x4e, 1, "CORBSIZE"},   {0x50, 4, "RIRBLBASE"}, {0x54, 4, "RIRBUBASE"},
    {0x58, 2, "RIRBWP"},    {0x5a, 2, "RINTCNT"},    {0x5c, 1, "RIRBCTL"},   {0x5d, 1, "RIRBSTS"},
    {0x5e, 1, "RIRBSIZE"},  {0x60, 4, "IC"},         {0x64, 4, "IR"},        {0x68, 2, "ICS"},
    {0x70, 4, "DPLBASE"},   {0x74, 4, "DPUBASE"},    {0x80, 3, "SD0CTL"},    {0x83, 1, "SD0STS"},
    {0x84, 4, "SD0LPIB"},   {0x88, 4, "SD0CBL"},     {0x8c, 2, "SD0LVI"},    {0x90, 2, "SD0FIFOS"},
    {0x92, 2, "SD0FMT"},    {0x98, 4, "SD0BDPL"},    {0x9c, 4, "SD0BDPU"},
};

constexpr uint32_t kReset = 1;             // GCTL: 0 is "in reset"
constexpr uint32_t kCodecThere = 1 << 16;  // STATESTS of codec 0
constexpr uint32_t kGlobal = 1u << 31, kOfController = 1u << 30, kOfStream = 1;  // INTCTL, INTSTS
constexpr uint32_t kDmaRuns = 2;                                                 // CORBCTL, RIRBCTL
constexpr uint32_t kPointerReset = 0x8000;                                       // CORBRP, RIRBWP
constexpr uint32_t kResponseInterrupt = 1, kResponseFlag = 0x100;                // RIRBCTL; RIRBSTS
constexpr uint32_t kBusy = 1, kResultValid = 2;                                  // ICS
constexpr uint32_t kStreamReset = 1, kRun = 2, kCompletionInterrupt = 4, kErrorInterrupt = 0x10;
constexpr uint32_t kCompleted = 1 << 26, kDescriptorError = 1 << 28, kFifoReady = 1 << 29;
constexpr uint32_t kRingEntries = 256;
constexpr uint64_t kBdlEntryBytes = 16;
constexpr uint32_t kStereo48k16 = 0x0011;  // SDFMT, 3.7.1

constexpr uint64_t kTick = Clock::kFrequency / 200;    // the stream is moved every 5 ms
constexpr uint64_t kMostLate = Clock::kFrequency / 4;  // what is older is not caught up with
constexpr uint32_t kStateVersion = 2;

pci::Endpoint::Spec spec_of(const std::string& name, Device* registers) {
  pci::Endpoint::Spec spec;
  spec.name = name;
  spec.vendor = 0x8086;
  spec.device = 0x2668;
  spec.subsystem_vendor = 0x1af4;
  spec.subsystem = 0x1100;
  spec.revision = 1;
  spec.class_code = 0x040300;  // multimedia, High Definition Audio
  spec.interrupt_pin = true;
  spec.msi_vectors = 1;
  spec.msi_capability = 0x60;  // as the ICH6's
  spec.bars[0] = {.size = Controller::kBarBytes, .device = registers};
  return spec;
}

}  // namespace

Controller::Controller(std::string name, Dma* dma, Clock& clock, AudioSink& sink)
    : name_(std::move(name)),
      dma_(dma),
      clock_(clock),
      sink_(sink),
      report_(name_),
      endpoint_(std::make_unique<pci::Endpoint>(spec_of(name_, this), this)),
      alarm_(clock, on_tick, this) {
  power_on();
}

Controller::~Controller() {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    stale = alarm_.retire();
  }
  alarm_.cancel(stale);
}

std::string_view Controller::register_name(uint64_t offset) const {
  for (const Name& name : kNames) {
    if (offset - name.at < name.bytes) return name.name;
  }
  return {};
}

void Controller::power_on() {
  words_ = {};
  for (const Row& row : kRows) word(row.at) = row.initial;
  entry_ = entry_at_ = 0;
  owed_ = 0;
}

uint64_t Controller::address(uint64_t low) const {
  return uint64_t{word(low + 4)} << 32 | (word(low) & 0xffff'ff80);
}

void Controller::bus_master(bool on) {
  std::lock_guard lock(mutex_);
  bus_master_ = on;
}

// --- registers -----------------------------------------------------------------------------------

MmioResult Controller::read(uint64_t offset, unsigned size, unsigned) {
  std::lock_guard lock(mutex_);
  uint64_t value = 0;
  for (unsigned i = 0; i < size;) {
    const uint64_t at = offset + i;
    const auto first = static_cast<unsigned>(at & 3);
    const unsigned bytes = std::min(4 - first, size - i);
    const uint64_t mask = ~uint64_t{0} >> (64 - 8 * bytes);
    value |= (uint64_t{read_word(at & ~uint64_t{3})} >> 8 * first & mask) << 8 * i;
    i += bytes;
  }
  return {.value = value};
}

MmioResult Controller::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    for (unsigned i = 0; i < size;) {
      const uint64_t at = offset + i;
      const auto first = static_cast<unsigned>(at & 3);
      const unsigned bytes = std::min(4 - first, size - i);
      const auto mask = static_cast<uint32_t>(~uint64_t{0} >> (64 - 8 * bytes) << 8 * first);
      write_word(at & ~uint64_t{3}, static_cast<uint32_t>(value >> 8 * i << 8 * first), mask);
      i += bytes;
    }
    stale = arm();
  }
  alarm_.cancel(stale);
  return {};
}

uint32_t Controller::read_word(uint64_t at) {
  switch (at) {
    case kIntsts:
      return interrupt_status();
    case kWalclk:  // 24 MHz
      return static_cast<uint32_t>(clock_.now() * 48 / 125);
    case kSdlpib:
    case kSdctl:
      advance();
      break;
    default:
      break;
  }
  return at < 4 * kWords ? word(at) : 0;
}

void Controller::write_word(uint64_t at, uint32_t value, uint32_t mask) {
  const Row* const row = row_at(at);
  if (row == nullptr) return;
  // 3.3.7: in reset nothing but GCTL is there.
  if ((word(kGctl) & kReset) == 0 && at != kGctl) return;
  if (at == kSdctl) advance();
  const uint32_t before = word(at);
  const uint32_t writable = row->writable & mask;
  word(at) = ((before & ~writable) | (value & writable)) & ~(value & mask & row->cleared);
  switch (at) {
    case kGctl:
      if (((before ^ word(at)) & kReset) == 0) break;
      if ((before & kReset) != 0) {
        power_on();
        sink_.pause();
      } else {
        codec_.reset();
        word(kWakeen) |= kCodecThere;
      }
      break;
    case kCorbwp:
      // The bit stays as it is written, for a driver that waits to see it (3.3.21).
      if ((mask & kPointerReset << 16) != 0) {
        word(at) = (before & 0xff) | (value & kPointerReset << 16) |
                   ((value & kPointerReset << 16) != 0 ? 0 : before & 0xff'0000);
      }
      if ((mask & 0xff) != 0) run_commands();
      break;
    case kRirbwp:
      if ((word(at) & kPointerReset) != 0) word(at) &= 0xff'0000;
      break;
    case kCorbctl:
    case kRirbctl:
      run_commands();
      break;
    case kIcs:
      if ((word(at) & kBusy) != 0) immediate_command();
      break;
    case kSdctl:
      stream_control(before);
      break;
    default:
      break;
  }
  update_interrupt();
}

// --- commands ------------------------------------------------------------------------------------

void Controller::run_commands() {
  if ((word(kCorbctl) & kDmaRuns) == 0 || (word(kRirbctl) & kDmaRuns) == 0 || !bus_master_) return;
  const uint8_t* const ring = dma_->host(address(kCorblbase), kRingEntries * 4);
  if (ring == nullptr) return report_.add("CORB is not in RAM");
  const uint32_t last = word(kCorbwp) & 0xff;
  uint32_t at = word(kCorbwp) >> 16 & 0xff;
  bool any = false;
  while (at != last) {
    at = (at + 1) % kRingEntries;
    uint32_t command;
    std::memcpy(&command, ring + 4 * at, sizeof command);
    if (command >> 28 != Codec::kAddress) continue;
    respond(codec_.command(command));
    any = true;
  }
  word(kCorbwp) = last | at << 16;
  // 3.3.27: after RINTCNT of them, or when there are no more.
  if (any) word(kRirbctl) |= kResponseFlag;
}

void Controller::respond(uint32_t response) {
  const uint32_t at = (word(kRirbwp) + 1) & 0xff;
  word(kRirbwp) = (word(kRirbwp) & 0xff'0000) | at;
  const uint64_t to = address(kRirblbase) + 8 * at;
  uint8_t* const memory = dma_->host(to, 8);
  if (memory == nullptr) return report_.add("RIRB is not in RAM");
  const uint32_t entry[2] = {response, Codec::kAddress};
  std::memcpy(memory, entry, sizeof entry);
  dma_->done(to, sizeof entry);
}

void Controller::immediate_command() {
  const uint32_t command = word(kIc);
  const bool there = command >> 28 == Codec::kAddress;
  word(kIr) = there ? codec_.command(command) : 0;
  word(kIcs) = there ? kResultValid : 0;
}

// --- the stream ----------------------------------------------------------------------------------

bool Controller::plays() const { return (word(kSdctl) & kRun) != 0 && (word(kGctl) & kReset) != 0; }

void Controller::stream_control(uint32_t before) {
  uint32_t& control = word(kSdctl);
  if ((control & kStreamReset) != 0) {
    for (const uint64_t at : {kSdlpib, kSdcbl, kSdlvi, kSdfifos, kSdbdpl}) {
      word(at) = at == kSdfifos ? row_at(at)->initial : 0;
    }
    word(kSdbdpl + 4) = 0;
    control = row_at(kSdctl)->initial | kStreamReset;
    entry_ = entry_at_ = 0;
    owed_ = 0;
  }
  if (((control ^ before) & kRun) == 0) return;
  if ((control & kRun) != 0) {
    control |= kFifoReady;
    since_ = clock_.now();
  } else {
    control &= ~kFifoReady;
    sink_.pause();
  }
}

// Moves the stream to where it is by now.
void Controller::advance() {
  if (!plays()) return;
  const uint64_t now = clock_.now();
  const uint64_t elapsed = std::min(now - since_, kMostLate);
  since_ = now;
  if ((word(kSsync) & 1) != 0 || !bus_master_) return;
  owed_ += elapsed * kAudioRate;
  const uint64_t frames = owed_ / Clock::kFrequency;
  owed_ %= Clock::kFrequency;
  if (frames == 0) return;
  transfer(frames * kAudioFrameBytes);
  show_position();
  update_interrupt();
}

void Controller::transfer(uint64_t bytes) {
  const uint32_t cyclic = word(kSdcbl);
  if (cyclic == 0) return;
  const bool heard = codec_.stream() != 0 && codec_.stream() == (word(kSdctl) >> 20 & 0xf) &&
                     word(kSdfifos) >> 16 == kStereo48k16;
  while (bytes != 0) {
    uint64_t at;
    uint32_t piece;
    bool interrupts;
    if (!next_piece(at, piece, interrupts)) return;
    const auto n = static_cast<uint32_t>(std::min<uint64_t>(bytes, piece));
    const uint8_t* const memory = dma_->host(at, n);
    if (memory == nullptr) {
      report_.add("a buffer of the stream is not in RAM");
    } else if (heard) {
      sink_.put(memory, n);
      played_.fetch_add(n, std::memory_order_relaxed);
    }
    bytes -= n;
    entry_at_ += n;
    word(kSdlpib) = static_cast<uint32_t>((uint64_t{word(kSdlpib)} + n) % cyclic);
    if (n < piece) return;
    if (interrupts) word(kSdctl) |= kCompleted;
    entry_ = entry_ == (word(kSdlvi) & 0xff) ? 0 : (entry_ + 1) & 0xff;
    entry_at_ = 0;
  }
}

// What is left of the entry of the buffer descriptor list that is played (3.6.3). False: there is
// none, and the stream has stopped.
bool Controller::next_piece(uint64_t& at, uint32_t& bytes, bool& interrupts) {
  // Empty entries are passed over, but not for ever.
  for (unsigned i = 0; i < 256; ++i) {
    const uint8_t* const entry =
        dma_->host(address(kSdbdpl) + kBdlEntryBytes * entry_, kBdlEntryBytes);
    if (entry == nullptr) break;
    uint32_t fields[4];
    std::memcpy(fields, entry, sizeof fields);
    interrupts = (fields[3] & 1) != 0;
    if (fields[2] > entry_at_) {
      at = (uint64_t{fields[1]} << 32 | fields[0]) + entry_at_;
      bytes = fields[2] - entry_at_;
      return true;
    }
    if (interrupts) word(kSdctl) |= kCompleted;
    entry_ = entry_ == (word(kSdlvi) & 0xff) ? 0 : (entry_ + 1) & 0xff;
    entry_at_ = 0;
  }
  report_.add("the stream has no buffers in RAM");
  word(kSdctl) = (word(kSdctl) & ~(kRun | kFifoReady)) | kDescriptorError;
  return false;
}

void Controller::show_position() {
  if ((word(kDplbase) & 1) == 0) return;
  uint8_t* const memory = dma_->host(address(kDplbase), 8);
  if (memory == nullptr) return report_.add("the position buffer is not in RAM");
  const uint32_t position[2] = {word(kSdlpib), 0};
  std::memcpy(memory, position, sizeof position);
  dma_->done(address(kDplbase), sizeof position);
}

Clock::Handle Controller::arm() {
  if (!plays()) return 0;
  const uint64_t now = clock_.now();
  return alarm_.arm(now, now + kTick);
}

void Controller::on_tick(void* self, uint64_t generation) {
  auto& me = *static_cast<Controller*>(self);
  Clock::Handle stale;
  {
    std::lock_guard lock(me.mutex_);
    if (!me.alarm_.accept(generation)) return;
    me.advance();
    stale = me.arm();
  }
  me.alarm_.cancel(stale);
}

// --- the interrupt -------------------------------------------------------------------------------

uint32_t Controller::interrupt_status() const {
  const uint32_t control = word(kIntctl), stream = word(kSdctl);
  uint32_t status = 0;
  if (((stream & kCompleted) != 0 && (stream & kCompletionInterrupt) != 0) ||
      ((stream & kDescriptorError) != 0 && (stream & kErrorInterrupt) != 0)) {
    status |= kOfStream;
  }
  if (((word(kRirbctl) & kResponseFlag) != 0 && (word(kRirbctl) & kResponseInterrupt) != 0) ||
      ((word(kWakeen) & kCodecThere) != 0 && (word(kWakeen) & 1) != 0)) {
    status |= kOfController;
  }
  if ((status & control & (kOfStream | kOfController)) != 0) status |= kGlobal;
  return status;
}

void Controller::update_interrupt() {
  const bool now = (interrupt_status() & word(kIntctl) & kGlobal) != 0;
  if (now == interrupting_) return;
  interrupting_ = now;
  endpoint_->set_interrupt(now);
  if (now && endpoint_->uses_messages()) endpoint_->message(0);
}

// --- life ----------------------------------------------------------------------------------------

void Controller::reset() {
  {
    std::lock_guard lock(mutex_);
    power_on();
    codec_.reset();
    sink_.pause();
    update_interrupt();
  }
  endpoint_->reset();
}

void Controller::counters(CounterVisitor visit, void* context) const {
  visit(context, "errors", report_.count());
  visit(context, "audio_bytes", played_.load(std::memory_order_relaxed));
}

void Controller::save(StateWriter& out) const {
  endpoint_->save(out);
  std::lock_guard lock(mutex_);
  out.put(kStateVersion);
  out.put(words_);
  codec_.save(out);
  out.put(since_);
  out.put(owed_);
  out.put(entry_);
  out.put(entry_at_);
  // It cannot be told from since_: something else may have moved the stream after it was armed.
  out.put(alarm_.deadline().value_or(0));
}

bool Controller::load(StateReader& in) {
  if (!endpoint_->load(in)) return false;
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    if (in.get<uint32_t>() != kStateVersion) return false;
    words_ = in.get<std::array<uint32_t, kWords>>();
    codec_.load(in);
    since_ = std::min(in.get<uint64_t>(), clock_.now());
    owed_ = in.get<uint64_t>() % Clock::kFrequency;
    entry_ = in.get<uint32_t>() & 0xff;
    entry_at_ = in.get<uint32_t>();
    for (const Row& row : kRows) {  // what no driver can have written
      if (row.writable == 0 && row.cleared == 0) word(row.at) = row.initial;
    }
    // No message: it was sent before, or waits in the endpoint.
    interrupting_ = (interrupt_status() & word(kIntctl) & kGlobal) != 0;
    endpoint_->set_interrupt(interrupting_);
    const uint64_t now = clock_.now();
    if (const uint64_t tick = in.get<uint64_t>(); tick != 0 && plays()) {
      stale = alarm_.arm(now, std::clamp(tick, now, now + kTick));
    } else {
      stale = arm();
    }
  }
  alarm_.cancel(stale);
  return in.ok();
}

}  // namespace trapline::hda
