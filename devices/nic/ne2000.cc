#include "devices/nic/ne2000.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace trapline {
namespace {

constexpr uint32_t kStateVersion = 1;
constexpr unsigned kPage = 256;
constexpr unsigned kDataPort = 0x10, kResetPort = 0x18;  // each as wide as the rest from there
constexpr size_t kLeastFrame = 60, kLongestFrame = 1514, kCrcBytes = 4, kHeaderBytes = 4;

// The command register.
constexpr uint8_t kStop = 1, kStart = 2, kTransmit = 4, kRemote = 0x38, kRemoteRead = 0x08,
                  kRemoteWrite = 0x10;
// ISR.
constexpr uint8_t kReceived = 1, kTransmitted = 2, kRemoteDone = 0x40, kResetState = 0x80;
constexpr uint8_t kInterrupts = 0x7f;
constexpr uint8_t kWordWide = 1;                                                         // DCR
constexpr uint8_t kLoopback = 6;                                                         // TCR
constexpr uint8_t kBroadcast = 4, kMulticast = 8, kPromiscuous = 0x10, kMonitor = 0x20;  // RCR
constexpr uint8_t kSentWhole = 1;                                                        // TSR
constexpr uint8_t kGoodPacket = 1, kToGroup = 0x20;  // RSR, and the header in memory
constexpr uint8_t kRealtekId[] = {0x50, 0x43};       // where others have reserved registers

pci::Endpoint::Spec spec_of(const std::string& name, Device* registers) {
  pci::Endpoint::Spec spec;
  spec.name = name;
  spec.vendor = 0x10ec;
  spec.device = 0x8029;
  spec.subsystem_vendor = 0x1af4;
  spec.subsystem = 0x1100;
  spec.class_code = 0x020000;
  spec.interrupt_pin = true;
  spec.bars[0] = {.space = pci::Space::kIo, .size = Ne2000::kIoBytes, .device = registers};
  return spec;
}

// Which of the 64 bits of MAR: the upper six of the address's CRC.
unsigned multicast_bit(const uint8_t* address) {
  uint32_t crc = ~uint32_t{0};
  for (unsigned i = 0; i < 6; ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      const bool carry = ((crc >> 31) ^ (address[i] >> bit & 1)) != 0;
      crc = crc << 1 ^ (carry ? 0x04c11db7u : 0);
    }
  }
  return crc >> 26;
}

}  // namespace

Ne2000::Ne2000(Options options, std::unique_ptr<virtio::NetBackend> backend)
    : options_(std::move(options)),
      endpoint_(std::make_unique<pci::Endpoint>(spec_of(options_.name, this), this)),
      backend_(*backend) {
  // Each byte is there twice, for a bus of 16 bits; "WW" says so.
  for (unsigned i = 0; i < 6; ++i) prom_[2 * i] = prom_[2 * i + 1] = options_.mac[i];
  std::fill(prom_.begin() + 28, prom_.end(), uint8_t{0x57});
  power_on();
  NicThread::Card& card = *this;
  thread_ = std::make_unique<NicThread>(card, std::move(backend), 0, options_.name);
}

Ne2000::~Ne2000() { thread_.reset(); }

void Ne2000::power_on() {
  s_ = {};
  s_.command = kStop | 0x20;  // no remote DMA
  s_.isr = kResetState;
  update_line();
}

void Ne2000::update_line() { endpoint_->set_interrupt((s_.isr & s_.imr & kInterrupts) != 0); }

void Ne2000::made_room() {
  if (std::exchange(wants_room_, false)) thread_->kick();
}

// --- registers -----------------------------------------------------------------------------------

MmioResult Ne2000::read(uint64_t offset, unsigned size, unsigned) {
  std::lock_guard lock(mutex_);
  const auto at = static_cast<unsigned>(offset);
  if (at < kDataPort) return {.value = read_register(at)};
  if (at < kResetPort) return {.value = read_port(std::min(size, 4u))};
  power_on();
  return {};
}

MmioResult Ne2000::write(uint64_t offset, unsigned size, uint64_t value, unsigned) {
  std::lock_guard lock(mutex_);
  const auto at = static_cast<unsigned>(offset);
  if (at < kDataPort) {
    write_register(at, static_cast<uint8_t>(value));
  } else if (at < kResetPort) {
    write_port(std::min(size, 4u), static_cast<uint32_t>(value));
  }
  return {};
}

// Page 1: the station's address, the bits of multicast; null: another register.
uint8_t* Ne2000::address_byte(unsigned offset) {
  if (s_.command >> 6 != 1 || offset == 7) return nullptr;
  return offset < 7 ? &s_.par[offset - 1] : &s_.mar[offset - 8];
}

uint8_t Ne2000::read_register(unsigned offset) {
  if (offset == 0) return s_.command;
  if (const uint8_t* const byte = address_byte(offset); byte != nullptr) return *byte;
  switch (offset | (s_.command >> 6) << 4) {
    case 0x01:
    case 0x08:
      return static_cast<uint8_t>(s_.rsar);
    case 0x02:
    case 0x09:
      return static_cast<uint8_t>(s_.rsar >> 8);
    case 0x03:
      return s_.bnry;
    case 0x04:
      return s_.tsr;
    case 0x07:
      return s_.isr;
    case 0x0a:
    case 0x0b:
      return kRealtekId[offset - 0x0a];
    case 0x0c:
      return s_.rsr;
    case 0x17:
      return s_.curr;
    case 0x21:
      return s_.pstart;
    case 0x22:
      return s_.pstop;
    case 0x24:
      return s_.tpsr;
    case 0x2c:
      return s_.rcr;
    case 0x2d:
      return s_.tcr;
    case 0x2e:
      return s_.dcr;
    case 0x2f:
      return s_.imr;
    default:  // counters of errors that there are none of; page 3
      return 0;
  }
}

void Ne2000::write_register(unsigned offset, uint8_t value) {
  if (offset == 0) return write_command(value);
  if (uint8_t* const byte = address_byte(offset); byte != nullptr) {
    *byte = value;
    return;
  }
  const auto low = [value](uint16_t& r) { r = static_cast<uint16_t>((r & 0xff00) | value); };
  const auto high = [value](uint16_t& r) { r = static_cast<uint16_t>((r & 0xff) | value << 8); };
  switch (offset | (s_.command >> 6) << 4) {
    case 0x01:
      s_.pstart = value;
      break;
    case 0x02:
      s_.pstop = value;
      break;
    case 0x03:
      s_.bnry = value;
      break;
    case 0x04:
      s_.tpsr = value;
      return;
    case 0x05:
      return low(s_.tbcr);
    case 0x06:
      return high(s_.tbcr);
    case 0x07:
      s_.isr = static_cast<uint8_t>(s_.isr & ~(value & kInterrupts));
      // Linux acknowledges behind its last frame, and takes ten at most. It would hear of the
      // others with the next frame, which a full ring does not let in.
      if (has_unread()) s_.isr |= kReceived;
      return update_line();
    case 0x08:
      return low(s_.rsar);
    case 0x09:
      return high(s_.rsar);
    case 0x0a:
      return low(s_.rbcr);
    case 0x0b:
      return high(s_.rbcr);
    case 0x0c:
      s_.rcr = value;
      break;
    case 0x0d:
      s_.tcr = value;
      break;
    case 0x0e:
      s_.dcr = value;
      return;
    case 0x0f:
      s_.imr = value & kInterrupts;
      return update_line();
    case 0x17:
      s_.curr = value;
      break;
    default:
      return;
  }
  made_room();
}

void Ne2000::write_command(uint8_t value) {
  // Neither: it stays what it was, as where Linux only turns the page.
  if ((value & (kStart | kStop)) == 0) value |= s_.command & (kStart | kStop);
  s_.command = static_cast<uint8_t>((value & ~kTransmit) | (s_.sending != 0 ? kTransmit : 0));
  if ((value & kStop) != 0) {
    s_.isr |= kResetState;
    return;
  }
  if ((value & kStart) == 0) return;
  s_.isr &= static_cast<uint8_t>(~kResetState);
  const uint8_t remote = value & kRemote;
  // Nothing to move is done at once.
  if ((remote == kRemoteRead || remote == kRemoteWrite) && s_.rbcr == 0) s_.isr |= kRemoteDone;
  if ((value & kTransmit) != 0 && s_.sending == 0) {
    s_.sending = 1;
    s_.command |= kTransmit;
    thread_->kick();
  }
  update_line();
  made_room();
}

// --- remote DMA: the chip's memory, through the port
// ----------------------------------------------

uint8_t Ne2000::memory(unsigned address) const {
  if (address < kPromBytes) return prom_[address];
  return address - kRamBase < kRamBytes ? ram_[address - kRamBase] : 0xff;
}

void Ne2000::set_memory(unsigned address, uint8_t value) {
  if (address - kRamBase < kRamBytes) ram_[address - kRamBase] = value;
}

// A byte of a word is the lower one, and the word is gone all the same.
void Ne2000::advance(unsigned size) {
  const unsigned bytes = (s_.dcr & kWordWide) != 0 ? std::max(size, 2u) : size;
  s_.rsar = static_cast<uint16_t>(s_.rsar + bytes);
  if (s_.rsar == s_.pstop * kPage) s_.rsar = static_cast<uint16_t>(s_.pstart * kPage);
  if (s_.rbcr == 0) return;
  s_.rbcr = static_cast<uint16_t>(s_.rbcr - std::min<unsigned>(s_.rbcr, bytes));
  if (s_.rbcr == 0) s_.isr |= kRemoteDone;
  update_line();
}

uint32_t Ne2000::read_port(unsigned size) {
  uint32_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= uint32_t{memory(s_.rsar + i)} << 8 * i;
  advance(size);
  return value;
}

void Ne2000::write_port(unsigned size, uint32_t value) {
  if (s_.rbcr == 0) return;
  for (unsigned i = 0; i < size; ++i) set_memory(s_.rsar + i, static_cast<uint8_t>(value >> 8 * i));
  advance(size);
}

// --- frames --------------------------------------------------------------------------------------

bool Ne2000::transmit() {
  std::unique_lock lock(mutex_);
  if (s_.sending == 0) return false;
  std::vector<uint8_t> frame(std::min<size_t>(s_.tbcr, kLongestFrame + kCrcBytes));
  for (size_t i = 0; i < frame.size(); ++i) {
    frame[i] = memory(s_.tpsr * kPage + static_cast<unsigned>(i));
  }
  // A loop inside the chip leads nowhere.
  const bool out = (s_.tcr & kLoopback) == 0 && frame.size() >= 14;
  // The back end may have an answer at once, for receive().
  lock.unlock();
  if (out) backend_.send({}, frame.data(), frame.size());
  lock.lock();
  if (s_.sending == 0) return false;  // reset meanwhile
  s_.sending = 0;
  s_.command &= static_cast<uint8_t>(~kTransmit);
  s_.tsr = kSentWhole;
  s_.isr |= kTransmitted;
  update_line();
  return false;
}

// Between what was received last and what the driver has not read.
unsigned Ne2000::free_pages() const {
  const unsigned pages = s_.pstop - s_.pstart;
  // Drivers write the page before the next frame's, even where that is the ring's first.
  const unsigned bnry = s_.bnry >= s_.pstart && s_.bnry < s_.pstop ? s_.bnry : s_.pstop - 1u;
  return s_.curr < bnry ? bnry - s_.curr : pages - (s_.curr - bnry);
}

bool Ne2000::has_unread() const {
  if (s_.curr < s_.pstart || s_.curr >= s_.pstop) return false;
  return free_pages() + 1 < static_cast<unsigned>(s_.pstop - s_.pstart);
}

bool Ne2000::wanted(const uint8_t* frame) const {
  static constexpr uint8_t kEverybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  if (std::memcmp(frame, kEverybody, 6) == 0) return (s_.rcr & kBroadcast) != 0;
  if ((frame[0] & 1) != 0) {
    const unsigned bit = multicast_bit(frame);
    return (s_.rcr & kMulticast) != 0 && (s_.mar[bit / 8] >> bit % 8 & 1) != 0;
  }
  return (s_.rcr & kPromiscuous) != 0 || std::memcmp(frame, s_.par, 6) == 0;
}

bool Ne2000::receive(const uint8_t* data, size_t size) {
  std::lock_guard lock(mutex_);
  const bool on = (s_.command & (kStart | kStop)) == kStart && (s_.tcr & kLoopback) == 0 &&
                  (s_.rcr & kMonitor) == 0 && s_.curr >= s_.pstart && s_.curr < s_.pstop;
  if (!on || size < 14 || size > kLongestFrame || !wanted(data)) return true;
  const size_t length = std::max(size, kLeastFrame);
  const auto bytes = static_cast<unsigned>(length + kHeaderBytes + kCrcBytes);
  const unsigned needed = (bytes + kPage - 1) / kPage, pages = s_.pstop - s_.pstart;
  // A ring that is full looks like one that is empty: a page stays free.
  if (free_pages() <= needed) {
    wants_room_ = needed < pages;
    return !wants_room_;
  }
  unsigned next = s_.curr + needed;
  if (next >= s_.pstop) next -= pages;
  s_.rsr = kGoodPacket | ((data[0] & 1) != 0 ? kToGroup : 0);
  const auto count = static_cast<uint16_t>(length + kCrcBytes);
  const uint8_t header[kHeaderBytes] = {s_.rsr, static_cast<uint8_t>(next),
                                        static_cast<uint8_t>(count),
                                        static_cast<uint8_t>(count >> 8)};
  unsigned at = s_.curr * kPage;
  const auto put = [&](uint8_t byte) {
    set_memory(at, byte);
    if (++at == s_.pstop * kPage) at = s_.pstart * kPage;
  };
  for (const uint8_t byte : header) put(byte);
  for (size_t i = 0; i < length; ++i) put(i < size ? data[i] : uint8_t{0});
  s_.curr = static_cast<uint8_t>(next);
  s_.isr |= kReceived;
  update_line();
  return true;
}

// --- life ----------------------------------------------------------------------------------------

void Ne2000::reset() {
  {
    std::lock_guard lock(mutex_);
    power_on();
    ram_ = {};
  }
  endpoint_->reset();
}

void Ne2000::save(StateWriter& out) const {
  endpoint_->save(out);
  std::lock_guard lock(mutex_);
  out.put(kStateVersion);
  out.put(s_);
  out.put(ram_);
}

bool Ne2000::load(StateReader& in) {
  if (!endpoint_->load(in)) return false;
  std::lock_guard lock(mutex_);
  const bool good = in.get<uint32_t>() == kStateVersion;
  s_ = in.get<State>();
  ram_ = in.get<std::array<uint8_t, kRamBytes>>();
  update_line();
  return good && in.ok();
}

std::string_view Ne2000::register_name(uint64_t offset) const {
  static constexpr std::string_view kNames[kDataPort] = {
      "CR",           "PSTART,PAR0", "PSTOP,PAR1", "BNRY,PAR2",  "TSR,TPSR,PAR3", "TBCR0,PAR4",
      "TBCR1,PAR5",   "ISR,CURR",    "RSAR0,MAR0", "RSAR1,MAR1", "RBCR0,MAR2",    "RBCR1,MAR3",
      "RSR,RCR,MAR4", "TCR,MAR5",    "DCR,MAR6",   "IMR,MAR7"};
  if (offset < kDataPort) return kNames[offset];
  return offset < kResetPort ? "data port" : "reset port";
}

}  // namespace trapline
