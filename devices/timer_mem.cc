// The memory-mapped generic timer: CNTCTLBase and CNTBase0 (Arm ARM DDI 0487, I2.3 and I5.7).
//
// Both frames take 32-bit accesses, and 64-bit ones at the 64-bit registers; anything else is
// RAZ/WI.
#include "devices/timer.h"

namespace trapline {
namespace {

constexpr uint32_t kStateVersion = 1;
constexpr uint32_t kAccessMask = 0x3f;

enum ControlOffset : uint32_t {
  kCtlFrq = 0x000,
  kCtlNsar = 0x004,  // Secure only: RAZ/WI to us
  kCtlTidr = 0x008,
  kCtlAcr0 = 0x040,   // frame 0 of 8
  kCtlVoff0 = 0x080,  // 64-bit
};

// CNTTIDR: frame 0 is implemented (FI), with a virtual timer (FVI), without an EL0 view (FEL0I).
constexpr uint32_t kTidr = 3;

enum FrameOffset : uint32_t {
  kPct = 0x000,  // 64-bit
  kVct = 0x008,  // 64-bit
  kFrq = 0x010,
  kEl0Acr = 0x014,  // RES0: no EL0 view
  kVoff = 0x018,    // 64-bit, read-only here
  kPCval = 0x020,   // 64-bit
  kPTval = 0x028,
  kPCtl = 0x02c,
  kVCval = 0x030,  // 64-bit
  kVTval = 0x038,
  kVCtl = 0x03c,
};

// CounterID8 to CounterID11 as a CoreSight component identification; PIDR2's ArchRev is 0.
constexpr uint32_t kCounterIds = 0xfd0;
constexpr uint32_t counter_id(uint64_t offset) {
  constexpr uint8_t kComponent[4] = {0x0d, 0xf0, 0x05, 0xb1};
  return offset >= 0xff0 ? kComponent[(offset - 0xff0) / 4] : 0;
}

constexpr uint32_t half_of(uint64_t value, uint64_t offset) {
  return static_cast<uint32_t>(value >> (offset & 4) * 8);
}

}  // namespace

MemoryMappedTimer::MemoryMappedTimer(Clock& clock) : physical_(clock), virtual_(clock) {
  physical_.connect(output_.input(0));
  virtual_.connect(output_.input(1));
}

void MemoryMappedTimer::OrLine::set(unsigned bit, bool level) {
  std::lock_guard lock(mutex_);
  levels_ = level ? levels_ | bit : levels_ & ~bit;
  if (line_ != nullptr) line_->set(levels_ != 0);
}

// --- CNTCTLBase
// --------------------------------------------------------------------------------------

uint32_t MemoryMappedTimer::Control::read32(uint64_t offset) {
  switch (offset) {
    case kCtlFrq:
      return Clock::kFrequency;
    case kCtlTidr:
      return kTidr;
    case kCtlAcr0:
      return timer_.access_.load(std::memory_order_relaxed);
    case kCtlVoff0:
    case kCtlVoff0 + 4:
      return half_of(timer_.virtual_.offset(), offset);
    default:
      return offset >= kCounterIds && offset < kFrameSize ? counter_id(offset) : 0;
  }
}

void MemoryMappedTimer::Control::write32(uint64_t offset, uint32_t value) {
  switch (offset) {
    case kCtlAcr0:
      timer_.access_.store(value & kAccessMask, std::memory_order_relaxed);
      break;
    case kCtlVoff0:
    case kCtlVoff0 + 4:
      timer_.virtual_.set_offset_half((offset & 4) != 0, value);
      break;
    default:
      break;
  }
}

MmioResult MemoryMappedTimer::Control::read(uint64_t offset, unsigned size, unsigned /*vcpu*/) {
  if (size == 4 && (offset & 3) == 0) return {read32(offset), false};
  if (size == 8 && offset == kCtlVoff0) return {timer_.virtual_.offset(), false};
  return {};
}

MmioResult MemoryMappedTimer::Control::write(uint64_t offset, unsigned size, uint64_t value,
                                             unsigned /*vcpu*/) {
  if (size == 4 && (offset & 3) == 0) {
    write32(offset, static_cast<uint32_t>(value));
  } else if (size == 8 && offset == kCtlVoff0) {
    timer_.virtual_.set_offset(value);
  }
  return {};
}

void MemoryMappedTimer::Control::reset() { timer_.access_ = 0; }

void MemoryMappedTimer::Control::save(StateWriter& out) const {
  out.put(kStateVersion);
  out.put(timer_.access_.load());
}

bool MemoryMappedTimer::Control::load(StateReader& in) {
  if (in.get<uint32_t>() != kStateVersion) return false;
  timer_.access_ = in.get<uint32_t>() & kAccessMask;
  return in.ok();
}

std::string_view MemoryMappedTimer::Control::register_name(uint64_t offset) const {
  switch (offset & ~uint64_t{3}) {
    case kCtlFrq:
      return "CNTFRQ";
    case kCtlNsar:
      return "CNTNSAR";
    case kCtlTidr:
      return "CNTTIDR";
    case kCtlVoff0:
    case kCtlVoff0 + 4:
      return "CNTVOFF0";
    default:
      break;
  }
  if (offset >= kCtlAcr0 && offset < kCtlAcr0 + 0x20) return "CNTACR";
  if (offset >= kCtlVoff0 && offset < kCtlVoff0 + 0x40) return "CNTVOFF";
  return offset >= kCounterIds && offset < kFrameSize ? "CounterID" : std::string_view{};
}

// --- CNTBase0
// ----------------------------------------------------------------------------------------

// What CNTACR0 does not permit is RAZ/WI.
bool MemoryMappedTimer::Frame::allowed(uint32_t access) const {
  return (timer_.access_.load(std::memory_order_relaxed) & access) != 0;
}

uint64_t MemoryMappedTimer::Frame::read64(uint64_t offset) {
  switch (offset) {
    case kPct: {
      if (!allowed(kReadPhysicalCount)) return 0;
      const uint64_t count = timer_.physical_.count();
      timer_.virtual_.look();
      return count;
    }
    case kVct: {
      if (!allowed(kReadVirtualCount)) return 0;
      const uint64_t count = timer_.virtual_.count();
      timer_.physical_.look();
      return count;
    }
    case kVoff:
      return allowed(kReadOffset) ? timer_.virtual_.offset() : 0;
    case kPCval:
      return allowed(kPhysicalTimer) ? timer_.physical_.compare() : 0;
    case kVCval:
      return allowed(kVirtualTimer) ? timer_.virtual_.compare() : 0;
    default:
      return 0;
  }
}

uint32_t MemoryMappedTimer::Frame::read32(uint64_t offset) {
  switch (offset) {
    case kFrq:
      return allowed(kReadFrequency) ? static_cast<uint32_t>(Clock::kFrequency) : 0;
    case kPTval:
      return allowed(kPhysicalTimer) ? timer_.physical_.remaining() : 0;
    case kPCtl:
      return allowed(kPhysicalTimer) ? timer_.physical_.control() : 0;
    case kVTval:
      return allowed(kVirtualTimer) ? timer_.virtual_.remaining() : 0;
    case kVCtl:
      return allowed(kVirtualTimer) ? timer_.virtual_.control() : 0;
    default:
      if (offset >= kCounterIds) return offset < kFrameSize ? counter_id(offset) : 0;
      return half_of(read64(offset & ~uint64_t{7}), offset);
  }
}

void MemoryMappedTimer::Frame::write32(uint64_t offset, uint32_t value) {
  const bool physical = allowed(kPhysicalTimer);
  const bool virt = allowed(kVirtualTimer);
  switch (offset) {
    case kPCval:
    case kPCval + 4:
      if (physical) timer_.physical_.set_compare_half((offset & 4) != 0, value);
      break;
    case kPTval:
      if (physical) timer_.physical_.set_remaining(value);
      break;
    case kPCtl:
      if (physical) timer_.physical_.set_control(value);
      break;
    case kVCval:
    case kVCval + 4:
      if (virt) timer_.virtual_.set_compare_half((offset & 4) != 0, value);
      break;
    case kVTval:
      if (virt) timer_.virtual_.set_remaining(value);
      break;
    case kVCtl:
      if (virt) timer_.virtual_.set_control(value);
      break;
    default:
      break;
  }
}

MmioResult MemoryMappedTimer::Frame::read(uint64_t offset, unsigned size, unsigned /*vcpu*/) {
  if (size == 4 && (offset & 3) == 0) return {read32(offset), false};
  if (size == 8 && (offset & 7) == 0) return {read64(offset), false};
  return {};
}

MmioResult MemoryMappedTimer::Frame::write(uint64_t offset, unsigned size, uint64_t value,
                                           unsigned /*vcpu*/) {
  if (size == 4 && (offset & 3) == 0) {
    write32(offset, static_cast<uint32_t>(value));
  } else if (size == 8 && offset == kPCval) {
    if (allowed(kPhysicalTimer)) timer_.physical_.set_compare(value);
  } else if (size == 8 && offset == kVCval) {
    if (allowed(kVirtualTimer)) timer_.virtual_.set_compare(value);
  }
  return {};
}

void MemoryMappedTimer::Frame::reset() {
  timer_.physical_.reset();
  timer_.virtual_.reset();
}

void MemoryMappedTimer::Frame::save(StateWriter& out) const {
  out.put(kStateVersion);
  timer_.physical_.save(out);
  timer_.virtual_.save(out);
}

bool MemoryMappedTimer::Frame::load(StateReader& in) {
  if (in.get<uint32_t>() != kStateVersion) return false;
  return timer_.physical_.load(in) && timer_.virtual_.load(in);
}

std::string_view MemoryMappedTimer::Frame::register_name(uint64_t offset) const {
  static constexpr std::string_view kNames[] = {"CNTPCT",    "CNTPCT",    "CNTVCT",    "CNTVCT",
                                                "CNTFRQ",    "CNTEL0ACR", "CNTVOFF",   "CNTVOFF",
                                                "CNTP_CVAL", "CNTP_CVAL", "CNTP_TVAL", "CNTP_CTL",
                                                "CNTV_CVAL", "CNTV_CVAL", "CNTV_TVAL", "CNTV_CTL"};
  if (offset < sizeof kNames / sizeof kNames[0] * 4) return kNames[offset / 4];
  return offset >= kCounterIds && offset < kFrameSize ? "CounterID" : std::string_view{};
}

}  // namespace trapline
