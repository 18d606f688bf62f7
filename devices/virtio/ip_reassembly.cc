#include "devices/virtio/ip_reassembly.h"

#include <algorithm>
#include <cstring>

namespace trapline::virtio {
namespace {

constexpr uint16_t kMoreFragments = 0x2000, kOffsetMask = 0x1fff;

size_t get16(const uint8_t* p) { return static_cast<size_t>(p[0] << 8 | p[1]); }
void put16(uint8_t* p, size_t v) {
  p[0] = static_cast<uint8_t>(v >> 8);
  p[1] = static_cast<uint8_t>(v);
}

}  // namespace

// The datagram's, or one that is as new: free, too old, or the oldest.
IpReassembly::Datagram& IpReassembly::find(const uint8_t (&key)[11], int64_t now_ms) {
  Datagram* oldest = &datagrams_[0];
  for (Datagram& d : datagrams_) {
    if (d.used && d.until_ms <= now_ms) d.used = false;
    if (d.used && std::memcmp(d.key, key, sizeof key) == 0) return d;
    if (oldest->used && (!d.used || d.born < oldest->born)) oldest = &d;
  }
  Datagram& d = *oldest;
  d.used = true;
  std::memcpy(d.key, key, sizeof key);
  d.until_ms = now_ms + kKeepMs;
  d.born = ++count_;
  d.header.clear();
  d.payload.clear();
  d.have.reset();
  d.units = d.bytes = 0;
  return d;
}

std::span<uint8_t> IpReassembly::add(const uint8_t* frame, size_t ip_at, int64_t now_ms) {
  const uint8_t* ip = frame + ip_at;
  const size_t header = (ip[0] & 15u) * 4u, size = get16(ip + 2) - header;
  const size_t unit = get16(ip + 6) & kOffsetMask, at = unit * 8;
  const bool last = (get16(ip + 6) & kMoreFragments) == 0;
  uint8_t key[11];
  std::memcpy(key, ip + 12, 8);
  key[8] = ip[9];
  std::memcpy(key + 9, ip + 4, 2);
  Datagram& d = find(key, now_ms);

  const size_t units = (size + 7) / 8;
  bool wrong = size == 0 || at + size > kMaxBytes || (!last && size % 8 != 0) ||
               (last && (d.bytes != 0 || d.payload.size() > at + size)) ||
               (d.bytes != 0 && at + size > d.bytes);
  for (size_t i = unit; !wrong && i < unit + units; ++i) wrong = d.have[i];
  if (wrong) {
    d.used = false;
    return {};
  }
  for (size_t i = unit; i < unit + units; ++i) d.have.set(i);
  d.units += units;
  if (last) d.bytes = at + size;
  if (d.payload.size() < at + size) d.payload.resize(at + size);
  std::memcpy(&d.payload[at], ip + header, size);
  if (at == 0) d.header.assign(frame, ip + header);
  if (d.bytes == 0 || d.units != (d.bytes + 7) / 8) return {};

  d.used = false;
  const size_t total = d.header.size() - ip_at + d.bytes;
  if (total > 65535) return {};
  whole_ = d.header;
  whole_.insert(whole_.end(), d.payload.begin(), d.payload.end());
  uint8_t* out = &whole_[ip_at];
  put16(out + 2, total);
  put16(out + 6, 0);
  put16(out + 10, 0);
  uint32_t sum = 0;
  for (size_t i = 0; i < d.header.size() - ip_at; i += 2)
    sum += static_cast<uint32_t>(get16(out + i));
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  put16(out + 10, ~sum & 0xffff);
  return whole_;
}

}  // namespace trapline::virtio
