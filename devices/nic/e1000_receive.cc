// The 82540EM's receive side, 3.2.
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "devices/nic/checksum.h"
#include "devices/nic/e1000.h"

namespace trapline {

using namespace e1000;

namespace {

constexpr size_t kLeastFrame = 60, kUsualFrame = 1518, kCrcBytes = 4;
constexpr size_t kLongestFrame = 16384 - kCrcBytes;
constexpr size_t kVlanAt = 12, kVlanBytes = 4;
// Status of a descriptor.
enum Status : uint8_t { kDone = 1, kEndOfPacket = 2, kNoChecksum = 4, kVlanPacket = 8 };

uint32_t buffer_bytes(uint32_t rctl) {
  const uint32_t size = 2048u >> (rctl >> 16 & 3);
  return (rctl & kRctlBsex) != 0 && size < 2048 ? 16 * size : size;
}

}  // namespace

// 3.2.1, 4096 bits by 12 of the address's last two bytes; which, MO says.
bool E1000::multicast_wanted(const uint8_t* frame) const {
  static constexpr unsigned kShift[] = {4, 3, 2, 0};
  const unsigned bits = frame[4] | frame[5] << 8;
  const unsigned hash = bits >> kShift[reg(kRctl) >> 12 & 3] & 0xfff;
  return (reg(kMta + hash / 32 * 4) >> hash % 32 & 1) != 0;
}

bool E1000::wanted(const uint8_t* frame, size_t) const {
  const uint32_t rctl = reg(kRctl);
  if ((rctl & kRctlVlanFilter) != 0 && big16(frame + kVlanAt) == (reg(kVet) & 0xffff)) {
    const unsigned id = big16(frame + kVlanAt + 2) & 0xfff;
    if ((reg(kVfta + id / 32 * 4) >> id % 32 & 1) == 0) return false;
  }
  static constexpr uint8_t kEverybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  const bool group = (frame[0] & 1) != 0;
  if ((rctl & (group ? kRctlMulticast : kRctlUnicast)) != 0) return true;
  if ((rctl & kRctlBroadcast) != 0 && std::memcmp(frame, kEverybody, 6) == 0) return true;
  const uint32_t low =
      static_cast<uint32_t>(frame[0] | frame[1] << 8 | frame[2] << 16) | uint32_t{frame[3]} << 24;
  const auto high = static_cast<uint32_t>(frame[4] | frame[5] << 8);
  for (uint32_t i = 0; i < 16; ++i) {
    const uint32_t pair = kRa + 8 * i;
    if ((reg(pair + 4) & kRahValid) != 0 && reg(pair) == low && (reg(pair + 4) & 0xffff) == high) {
      return true;
    }
  }
  return group && multicast_wanted(frame);
}

bool E1000::receive(const uint8_t* data, size_t size) {
  std::lock_guard lock(mutex_);
  const uint32_t rctl = reg(kRctl), ring = ring_size(kRdlen);
  if (!allowed_ || (rctl & kRctlEnable) == 0 || ring == 0 || size < 14) return true;
  if (size > kLongestFrame || (size > kUsualFrame && (rctl & kRctlLong) == 0)) {
    count(kRoc);
    return true;
  }
  uint8_t frame[kLongestFrame + kCrcBytes] = {};
  std::memcpy(frame, data, size);
  size = std::max(size, kLeastFrame);
  count(kTpr);
  count_bytes(kTorl, size + kCrcBytes);
  if (!wanted(frame, size)) return true;
  uint8_t status = kNoChecksum;
  uint16_t special = 0;
  if ((reg(kCtrl) & kCtrlVme) != 0 && big16(frame + kVlanAt) == (reg(kVet) & 0xffff)) {
    special = big16(frame + kVlanAt + 2);
    status |= kVlanPacket;
    size -= kVlanBytes;
    std::memmove(frame + kVlanAt, frame + kVlanAt + kVlanBytes, size - kVlanAt);
  }
  if ((rctl & kRctlStripCrc) == 0) {
    const auto crc = static_cast<uint32_t>(crc32(0, frame, static_cast<uInt>(size)));
    std::memcpy(frame + size, &crc, kCrcBytes);
    size += kCrcBytes;
  }
  const uint32_t head = reg(kRdh), tail = reg(kRdt), buffer = buffer_bytes(rctl);
  const auto needed = static_cast<uint32_t>((size + buffer - 1) / buffer);
  // Heads and tails outside the ring mean no room.
  const uint32_t free = head < ring && tail < ring ? (tail + ring - head) % ring : 0;
  if (free < needed) {
    wants_room_ = needed < ring;
    if (!wants_room_) count(kMpc);
    return !wants_room_;
  }
  size_t at = 0;
  for (uint32_t i = 0; i < needed; ++i) {
    uint64_t ipa = 0;
    uint8_t* const d = descriptor(kRdbal, reg(kRdh), ipa);
    reg(kRdh) = (reg(kRdh) + 1) % ring;
    if (d == nullptr) {
      report_.add("receive descriptor outside memory");
      return true;
    }
    const size_t n = std::min<size_t>(size - at, buffer);
    uint64_t address;
    std::memcpy(&address, d, sizeof address);
    if (uint8_t* const to = options_.dma->host(address, n); to != nullptr) {
      std::memcpy(to, frame + at, n);
      options_.dma->done(address, n);
    } else {
      report_.add("receive buffer outside memory");
    }
    at += n;
    const uint8_t flags = status | kDone | (at == size ? kEndOfPacket : 0);
    const uint32_t words[2] = {static_cast<uint32_t>(n), flags | uint32_t{special} << 16};
    std::memcpy(d + 8, words, sizeof words);
    options_.dma->done(ipa + 8, sizeof words);
  }
  count(kGprc);
  count_bytes(kGorcl, size);
  if ((frame[0] & 1) != 0) count(frame[0] == 0xff ? kBprc : kMprc);
  // RDMTS: a half, a quarter, an eighth of the ring is left.
  const uint32_t left = free - needed;
  raise(kRxt0 | (left <= ring >> (1 + (rctl >> 8 & 3)) ? kRxdmt0 : 0));
  return true;
}

}  // namespace trapline
