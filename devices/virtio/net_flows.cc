#include "devices/virtio/net_flows.h"

#include <algorithm>

namespace trapline::virtio {

std::optional<NetFlows::Key> NetFlows::key_of(const GuestPacket& p) {
  if (p.protocol == IpProtocol::kIcmp) return {};
  if (p.protocol == IpProtocol::kUdp) return Key{p.protocol, p.source, p.source_port, 0, 0};
  return Key{p.protocol, p.source, p.source_port, p.destination, p.destination_port};
}

bool NetFlows::knows(const GuestPacket& packet) const {
  const auto key = key_of(packet);
  return key && by_key_.contains(*key);
}

void NetFlows::begin(const GuestPacket& packet) {
  current_ = key_of(packet);
  within_ = true;
  announced_ = false;
}

void NetFlows::end() {
  if (within_ && !announced_) ++unseen_;
  within_ = false;
  current_.reset();
}

void NetFlows::add(int fd) {
  open_.emplace(fd, std::nullopt);
  total_.fetch_add(1, std::memory_order_relaxed);
  if (open_.size() > most()) most_.store(open_.size(), std::memory_order_relaxed);
}

void NetFlows::opened(int fd) {
  if (fd < 0) return;
  closed(fd);  // the number was used before, and nobody said that it was free
  add(fd);
  announced_ = true;
  if (within_ && current_ && by_key_.emplace(*current_, fd).second) open_[fd] = current_;
}

void NetFlows::polled(int fd) {
  if (!open_.contains(fd)) add(fd);
}

void NetFlows::closed(int fd) {
  const auto it = open_.find(fd);
  if (it == open_.end()) return;
  if (it->second) by_key_.erase(*it->second);
  open_.erase(it);
}

void NetFlows::note_datagram_to_guest(const GuestPacket& p, int64_t now_ms) {
  const Key key{p.protocol, p.destination, p.destination_port, p.source, p.source_port};
  const Peer peer{key, now_ms + kPeerMs};
  const auto it = std::find_if(peers_.begin(), peers_.end(),
                               [&](const Peer& known) { return known.key == key; });
  if (it != peers_.end()) {
    *it = peer;
  } else if (peers_.size() < kMaxPeers) {
    peers_.push_back(peer);
  } else {
    *std::min_element(peers_.begin(), peers_.end(),
                      [](const Peer& a, const Peer& b) { return a.until_ms < b.until_ms; }) = peer;
  }
}

bool NetFlows::answers_datagram(const GuestPacket& p, int64_t now_ms) const {
  if (p.protocol != IpProtocol::kUdp) return false;
  const Key key{p.protocol, p.source, p.source_port, p.destination, p.destination_port};
  return std::any_of(peers_.begin(), peers_.end(), [&](const Peer& known) {
    return known.key == key && known.until_ms > now_ms;
  });
}

}  // namespace trapline::virtio
