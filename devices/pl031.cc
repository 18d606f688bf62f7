#include "devices/pl031.h"

namespace trapline {
namespace {

constexpr uint32_t kStateVersion = 2;

// DDI 0224, 3.2.
enum Offset : uint32_t {
  kDr = 0x00,    // data: the time, read-only
  kMr = 0x04,    // match
  kLr = 0x08,    // load: sets the time
  kCr = 0x0c,    // control: 1, the clock runs and cannot be stopped
  kImsc = 0x10,  // interrupt mask
  kRis = 0x14,   // raw status, read-only
  kMis = 0x18,   // masked status, read-only
  kIcr = 0x1c,   // clear, write-only
  kIds = 0xfe0,  // PeriphID0-3, PCellID0-3
};

}  // namespace

Pl031::Pl031(Clock& clock, uint64_t epoch, IrqLine* irq)
    : clock_(clock), epoch_(epoch), irq_(irq), alarm_(clock, &fire, this) {}

Pl031::~Pl031() {
  Clock::Handle last;
  {
    std::lock_guard lock(mutex_);
    last = alarm_.retire();
  }
  alarm_.cancel(last);
}

uint32_t Pl031::seconds(uint64_t now) const {
  return static_cast<uint32_t>(epoch_ + now / Clock::kFrequency) + offset_;
}

void Pl031::update_line() {
  const bool level = ris_ && imsc_;
  if (level == level_) return;
  level_ = level;
  if (irq_ != nullptr) irq_->set(level);
}

// The tick at which DR becomes MR: now if it is, else within the counter's 2^32 seconds.
void Pl031::rearm_match(uint64_t now) {
  const uint32_t wait = match_ - seconds(now);
  match_tick_ = wait == 0 ? now : (now / Clock::kFrequency + wait) * Clock::kFrequency;
  match_pending_ = true;
}

void Pl031::look(uint64_t now) {
  if (match_pending_ && now >= match_tick_) {
    match_pending_ = false;
    ris_ = true;
  }
  update_line();
}

Clock::Handle Pl031::check_match() {
  const uint64_t now = clock_.now();
  look(now);
  return match_pending_ ? alarm_.arm(now, match_tick_) : 0;
}

void Pl031::fire(void* self, uint64_t generation) {
  auto* rtc = static_cast<Pl031*>(self);
  std::lock_guard lock(rtc->mutex_);
  if (!rtc->alarm_.accept(generation)) return;
  (void)rtc->check_match();  // nothing is armed, nothing becomes stale
}

uint32_t Pl031::read32(uint64_t offset) {
  constexpr uint8_t kIdValues[8] = {0x31, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
  const uint64_t now = clock_.now();
  look(now);
  switch (offset) {
    case kDr:
      return seconds(now);
    case kMr:
      return match_;
    case kLr:
      return load_;
    case kCr:
      return 1;
    case kImsc:
      return imsc_;
    case kRis:
      return ris_;
    case kMis:
      return ris_ && imsc_;
    default:
      return offset >= kIds && offset < kSize ? kIdValues[(offset - kIds) / 4] : 0;
  }
}

void Pl031::write32(uint64_t offset, uint32_t value) {
  switch (offset) {
    case kMr:
      match_ = value;
      rearm_match(clock_.now());
      break;
    case kLr: {
      const uint64_t now = clock_.now();
      load_ = value;
      offset_ += value - seconds(now);
      if (match_pending_) rearm_match(now);
      break;
    }
    case kImsc:
      imsc_ = (value & 1) != 0;
      break;
    case kIcr:
      if ((value & 1) != 0) ris_ = false;
      break;
    default:
      break;
  }
}

// A register is 32 bits wide. Narrower accesses reach it at its own offset; the other byte lanes,
// 64-bit and unaligned accesses are RAZ/WI.
MmioResult Pl031::read(uint64_t offset, unsigned size, unsigned /*vcpu*/) {
  if ((offset & 3) != 0 || size > 4) return {};
  std::lock_guard lock(mutex_);
  return {read32(offset) & (~uint64_t{0} >> (64 - size * 8)), false};
}

MmioResult Pl031::write(uint64_t offset, unsigned size, uint64_t value, unsigned /*vcpu*/) {
  if ((offset & 3) != 0 || size > 4) return {};
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    look(clock_.now());  // a match that has come precedes the write
    write32(offset, static_cast<uint32_t>(value));
    stale = check_match();
  }
  alarm_.cancel(stale);
  return {};
}

void Pl031::reset() {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    // The time survives a reset, as with a battery; the rest does not.
    load_ = match_ = 0;
    match_pending_ = imsc_ = ris_ = false;
    stale = alarm_.disarm();
    level_ = true;  // whatever the wire says now, say low
    update_line();
  }
  alarm_.cancel(stale);
}

void Pl031::save(StateWriter& out) const {
  std::lock_guard lock(mutex_);
  out.put(kStateVersion);
  out.put(offset_);
  out.put(load_);
  out.put(match_);
  out.put(seconds(clock_.now()));
  out.put(match_pending_);
  out.put(imsc_);
  out.put(ris_);
}

bool Pl031::load(StateReader& in) {
  Clock::Handle stale;
  {
    std::lock_guard lock(mutex_);
    if (in.get<uint32_t>() != kStateVersion) return false;
    offset_ = in.get<uint32_t>();
    load_ = in.get<uint32_t>();
    match_ = in.get<uint32_t>();
    const auto then = in.get<uint32_t>();
    match_pending_ = in.get<uint8_t>() != 0;
    imsc_ = in.get<uint8_t>() != 0;
    ris_ = in.get<uint8_t>() != 0;
    stale = alarm_.disarm();
    const uint64_t now = clock_.now();
    if (match_pending_) {
      rearm_match(now);
      if (match_ - then <= seconds(now) - then) match_tick_ = now;  // it came meanwhile
    }
    (void)check_match();                     // nothing is armed now, so nothing becomes stale
    if (irq_ != nullptr) irq_->set(level_);  // whatever the wire says now
  }
  alarm_.cancel(stale);
  return in.ok();
}

std::string_view Pl031::register_name(uint64_t offset) const {
  static constexpr std::string_view kNames[] = {"RTCDR",   "RTCMR",  "RTCLR",  "RTCCR",
                                                "RTCIMSC", "RTCRIS", "RTCMIS", "RTCICR"};
  if (offset < 0x20) return kNames[offset / 4];
  if (offset >= kIds && offset < kSize) return offset < 0xff0 ? "RTCPeriphID" : "RTCPCellID";
  return {};
}

}  // namespace trapline
