// The 82540EM's transmit side, 3.3 to 3.5.
#include <algorithm>
#include <cstring>

#include "devices/nic/checksum.h"
#include "devices/nic/e1000.h"
#include "devices/virtio/net_features.h"

namespace trapline {

using namespace e1000;

namespace {

constexpr unsigned kDescriptorsPerTurn = 64;
constexpr size_t kVlanAt = 12, kVlanBytes = 4, kLeastFrame = 14;
// CMD and DCMD, in bits 31:24 of the third word.
enum Command : uint32_t {
  kEndOfPacket = 1u << 24,
  kInsertChecksum = 1u << 26,  // legacy; in an extended one TSE
  kSegment = 1u << 26,
  kReportStatus = 1u << 27,
  kExtended = 1u << 29,
  kVlan = 1u << 30,
};
enum Tucmd : uint8_t { kTcp = 1, kIpv4 = 2 };
enum Popts : uint8_t { kIpChecksum = 1, kTcpChecksum = 2 };
constexpr uint32_t kDone = 1;

}  // namespace

// As little-endian words.
struct E1000::Descriptor {
  uint32_t words[4];
  uint64_t address() const { return uint64_t{words[1]} << 32 | words[0]; }
  uint32_t command() const { return words[2]; }
  bool has(Command bit) const { return (words[2] & bit) != 0; }
  bool extended() const { return has(kExtended); }
  bool context() const { return extended() && (words[2] >> 20 & 15) == 0; }
  uint32_t bytes() const { return words[2] & (extended() ? 0xfffff : 0xffff); }
  uint16_t special() const { return static_cast<uint16_t>(words[3] >> 16); }
};

bool E1000::transmit() {
  std::unique_lock lock(mutex_);
  uint32_t causes = 0;
  unsigned budget = kDescriptorsPerTurn;
  for (; budget > 0; --budget) {
    const uint32_t size = ring_size(kTdlen);
    const bool on = allowed_ && (reg(kTctl) & kTctlEnable) != 0;
    // Heads and tails outside the ring mean nothing.
    if (!on || reg(kTdh) >= size || reg(kTdt) >= size || reg(kTdh) == reg(kTdt)) break;
    if (!take_descriptor(causes)) continue;
    std::vector<uint8_t> frame;
    frame.swap(tx_frame_);
    const virtio::NetHeader header = tx_header_;
    // The back end may have an answer at once, for receive().
    lock.unlock();
    backend_.send(header, frame.data(), frame.size());
    lock.lock();
    frame.clear();
    if (tx_frame_.empty()) tx_frame_.swap(frame);
  }
  if (causes != 0) raise(causes);
  return budget == 0;
}

bool E1000::take_descriptor(uint32_t& causes) {
  uint64_t ipa = 0;
  uint8_t* const at = descriptor(kTdbal, reg(kTdh), ipa);
  reg(kTdh) = (reg(kTdh) + 1) % ring_size(kTdlen);
  if (reg(kTdh) == reg(kTdt)) causes |= kTxqe;
  if (at == nullptr) {
    report_.add("transmit descriptor outside memory");
    return false;
  }
  Descriptor d;
  std::memcpy(&d, at, sizeof d);
  bool whole = false;
  if (d.context()) {
    take_context(d);
  } else {
    if (!tx_begun_) {
      tx_begun_ = true;
      tx_broken_ = false;
      tx_frame_.clear();
      tx_extended_ = d.extended();
      tx_segments_ = d.extended() && d.has(kSegment);
      tx_options_ = static_cast<uint8_t>(d.words[3] >> 8);
    }
    gather(d.address(), d.bytes());
    if (d.has(kEndOfPacket)) {
      tx_begun_ = false;
      whole = !tx_broken_ && tx_frame_.size() >= kLeastFrame;
      if (whole) finish_frame(d);
    }
  }
  if (d.has(kReportStatus)) {
    const uint32_t status = d.words[3] | kDone;
    std::memcpy(at + 12, &status, sizeof status);
    options_.dma->done(ipa + 12, sizeof status);
    causes |= kTxdw;
  }
  return whole;
}

void E1000::take_context(const Descriptor& d) {
  const auto byte = [&d](unsigned word, unsigned shift) {
    return static_cast<uint8_t>(d.words[word] >> shift);
  };
  Context& c = contexts_[d.has(kSegment) ? 1 : 0];
  c.ip_start = byte(0, 0);
  c.ip_field = byte(0, 8);
  c.ip_end = static_cast<uint16_t>(d.words[0] >> 16);
  c.tcp_start = byte(1, 0);
  c.tcp_field = byte(1, 8);
  c.tcp_end = static_cast<uint16_t>(d.words[1] >> 16);
  c.payload = d.words[2] & 0xfffff;
  c.command = byte(2, 24);
  c.header_bytes = byte(3, 8);
  c.mss = static_cast<uint16_t>(d.words[3] >> 16);
  if (d.has(kSegment)) count(kTsctc);
}

void E1000::gather(uint64_t address, uint32_t bytes) {
  if (bytes == 0) return;
  const uint8_t* const data = options_.dma->host(address, bytes);
  if (data == nullptr || tx_frame_.size() + bytes > virtio::NetBackend::kMaxFrame) {
    if (!tx_broken_) {
      report_.add(data == nullptr ? "frame outside memory" : "frame of impossible length");
    }
    tx_broken_ = true;
    return;
  }
  tx_frame_.insert(tx_frame_.end(), data, data + bytes);
}

// What is left to the card: checksums, segments, the VLAN tag.
void E1000::finish_frame(const Descriptor& d) {
  tx_header_ = {};
  uint8_t* const frame = tx_frame_.data();
  const size_t size = tx_frame_.size();
  const auto end = [size](uint16_t last) { return last == 0 ? size : size_t{last} + 1; };
  if (!tx_extended_) {
    // CSO, CSS.
    if (d.has(kInsertChecksum)) {
      insert_checksum(frame, size, d.words[3] >> 8 & 0xff, d.words[2] >> 16 & 0xff, size);
    }
  } else {
    const Context& c = contexts_[tx_segments_ ? 1 : 0];
    if (tx_segments_) {
      segment(c);
    } else if ((tx_options_ & kTcpChecksum) != 0) {
      insert_checksum(frame, size, c.tcp_start, c.tcp_field, end(c.tcp_end));
    }
    if ((tx_options_ & kIpChecksum) != 0) {
      insert_checksum(frame, size, c.ip_start, c.ip_field, end(c.ip_end));
    }
  }
  if (d.has(kVlan) && (reg(kCtrl) & kCtrlVme) != 0) {
    uint8_t tag[kVlanBytes];
    put_big16(tag, static_cast<uint16_t>(reg(kVet)));
    put_big16(tag + 2, d.special());
    tx_frame_.insert(tx_frame_.begin() + kVlanAt, tag, tag + sizeof tag);
    if (tx_header_.gso_type != virtio::net::kGsoNone) {
      tx_header_.csum_start = static_cast<uint16_t>(tx_header_.csum_start + kVlanBytes);
      tx_header_.hdr_len = static_cast<uint16_t>(tx_header_.hdr_len + kVlanBytes);
    }
  }
  count(kGptc);
  count(kTpt);
  count_bytes(kGotcl, tx_frame_.size());
  count_bytes(kTotl, tx_frame_.size());
}

// TCP segmentation: the packet goes on whole, described as virtio does (5.1.6.2), and whoever is at
// the back end's other side cuts it, or need not. The driver left the lengths to the card, 3.5.
void E1000::segment(const Context& c) {
  uint8_t* const frame = tx_frame_.data();
  const size_t size = tx_frame_.size();
  const size_t ip = c.ip_start, tcp = c.tcp_start, field = c.tcp_field;
  const bool v4 = (c.command & kIpv4) != 0;
  if ((c.command & kTcp) == 0 || ip + (v4 ? 20u : 40u) > tcp || tcp + 20 > size ||
      field != tcp + 16 || c.mss == 0 || size - ip > 0xffff) {
    return report_.add("segmentation that is none of TCP");
  }
  const auto length = static_cast<uint16_t>(size - tcp);
  if (v4) {
    put_big16(frame + ip + 2, static_cast<uint16_t>(size - ip));
  } else {
    put_big16(frame + ip + 4, static_cast<uint16_t>(size - ip - 40));
  }
  // The pseudo header's sum lacks the length.
  put_big16(frame + field, ones_sum(frame + field, 2, length));
  tx_header_.flags = virtio::net::kNeedsCsum;
  tx_header_.csum_start = static_cast<uint16_t>(tcp);
  tx_header_.csum_offset = static_cast<uint16_t>(field - tcp);
  if (size > size_t{c.header_bytes} + c.mss) {
    tx_header_.gso_type = v4 ? virtio::net::kGsoTcp4 : virtio::net::kGsoTcp6;
    tx_header_.gso_size = c.mss;
    tx_header_.hdr_len = c.header_bytes;
  }
}

}  // namespace trapline
