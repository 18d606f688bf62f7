// The sockets that the user-mode network holds for its guest: how many, and which packets belong to
// them.
#ifndef TRAPLINE_DEVICES_VIRTIO_NET_FLOWS_H_
#define TRAPLINE_DEVICES_VIRTIO_NET_FLOWS_H_

#include <atomic>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "devices/virtio/net_filter.h"

namespace trapline::virtio {

// Of the network device's thread, but for the counters.
class NetFlows {
 public:
  explicit NetFlows(unsigned limit) : limit_(limit) {}

  // A new socket would be one too many.
  bool full() const { return open_.size() + unseen_ >= limit_; }
  // The packet belongs to a socket that is open: libslirp has one for a TCP connection, and one for
  // all that a UDP port of the guest sends.
  bool knows(const GuestPacket& packet) const;

  // Around libslirp's work on a packet from the guest that may open a socket.
  void begin(const GuestPacket& packet);
  void end();
  // What libslirp says of its descriptors. polled() knows those that it did not announce.
  void opened(int fd);
  void polled(int fd);
  void closed(int fd);
  // All sockets were polled, or announced.
  void all_seen() { unseen_ = 0; }

  // The host sent a datagram to the guest's forwarded port: for a while the guest may answer it.
  void note_datagram_to_guest(const GuestPacket& packet, int64_t now_ms);
  bool answers_datagram(const GuestPacket& packet, int64_t now_ms) const;

  size_t open() const { return open_.size(); }
  unsigned limit() const { return limit_; }
  // Any thread.
  uint64_t most() const { return most_.load(std::memory_order_relaxed); }
  uint64_t total() const { return total_.load(std::memory_order_relaxed); }

 private:
  struct Key {
    IpProtocol protocol;
    uint32_t source;
    uint16_t source_port;
    uint32_t destination;  // 0 for UDP
    uint16_t destination_port;
    auto operator<=>(const Key&) const = default;
  };
  struct Peer {
    Key key;  // as an answer's
    int64_t until_ms;
  };
  static constexpr size_t kMaxPeers = 256;
  static constexpr int64_t kPeerMs = 240'000;  // as long as libslirp keeps a UDP socket

  static std::optional<Key> key_of(const GuestPacket& packet);
  void add(int fd);

  const unsigned limit_;
  std::map<int, std::optional<Key>> open_;
  std::map<Key, int> by_key_;
  std::optional<Key> current_;
  bool within_ = false;
  bool announced_ = false;  // since begin()
  size_t unseen_ = 0;       // packets that may have opened a socket that nobody announced
  std::vector<Peer> peers_;
  std::atomic<uint64_t> most_{0}, total_{0};
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_NET_FLOWS_H_
