// Puts the guest's IPv4 fragments together (RFC 791, 3.2), so that what is judged is what is sent,
// and because libslirp 4.7 crashes on a datagram whose last fragment comes first.
#ifndef TRAPLINE_DEVICES_VIRTIO_IP_REASSEMBLY_H_
#define TRAPLINE_DEVICES_VIRTIO_IP_REASSEMBLY_H_

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trapline::virtio {

// Bounded in memory, whatever comes: a fragment that overlaps another drops its datagram, and a new
// datagram the oldest.
class IpReassembly {
 public:
  // `frame` holds a fragment that parse_guest_frame() found well-formed, its IPv4 header at
  // `ip_at`. Returns the whole datagram's frame, unfragmented, when it is complete; valid until the
  // next call. Empty: not yet, or never.
  std::span<uint8_t> add(const uint8_t* frame, size_t ip_at, int64_t now_ms);

 private:
  static constexpr size_t kMaxDatagrams = 16;
  static constexpr size_t kMaxBytes = 65535 - 20;  // of payload
  static constexpr int64_t kKeepMs = 30'000;

  struct Datagram {
    bool used = false;
    uint8_t key[11];  // source, destination, protocol, identification
    int64_t until_ms = 0;
    uint64_t born = 0;                    // by the count of datagrams
    std::vector<uint8_t> header;          // Ethernet's and IPv4's, of the first fragment
    std::vector<uint8_t> payload;         // as far as it is known
    std::bitset<kMaxBytes / 8 + 1> have;  // in units of 8 bytes
    size_t units = 0;                     // of them
    size_t bytes = 0;                     // of the whole; 0: the last fragment is missing
  };

  Datagram& find(const uint8_t (&key)[11], int64_t now_ms);

  Datagram datagrams_[kMaxDatagrams];
  uint64_t count_ = 0;
  std::vector<uint8_t> whole_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_IP_REASSEMBLY_H_
