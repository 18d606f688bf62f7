#include "devices/virtio/net.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

#include "devices/virtio/net_features.h"
#include "devices/virtio/net_process.h"

namespace trapline::virtio {
namespace {

constexpr unsigned kReceiveQueue = 0;
constexpr unsigned kTransmitQueue = 1;
constexpr unsigned kControlQueue = 2;
constexpr unsigned kQueueSize = 256;
constexpr unsigned kMaxMergedChains = 256;  // for one frame
constexpr size_t kMaxPending = 256;         // frames that wait for the guest's buffers
constexpr size_t kMaxPendingBytes = 4 << 20;
constexpr uint16_t kLinkUp = 1;

// Control commands, 5.1.6.5.
enum ControlClass : uint8_t { kControlRx = 0, kControlMac = 1 };
enum ControlMac : uint8_t { kMacTableSet = 0, kMacAddressSet = 1 };
constexpr uint8_t kLastRxCommand = 5;  // NOBCAST
constexpr uint8_t kControlOk = 0;
constexpr uint8_t kControlError = 1;

// struct virtio_net_config, 5.1.4.
struct Config {
  uint8_t mac[6];
  uint16_t status;
  uint16_t max_virtqueue_pairs;
  uint16_t mtu;
};
static_assert(sizeof(Config) == 12, "as on the wire");

class Net final : public Function {
 public:
  Net(std::unique_ptr<NetBackend> backend, const MacAddress& mac)
      : backend_(std::move(backend)), initial_mac_(mac), mac_(mac), frame_(NetBackend::kMaxFrame) {
    backend_->set_receive([this](const NetHeader& header, const uint8_t* frame, size_t size) {
      return receive(header, frame, size);
    });
  }

  uint32_t device_id() const override { return 1; }
  uint32_t pci_class() const override { return 0x020000; }  // network, Ethernet
  uint64_t features() const override {
    return net::kMac | net::kStatus | net::kMergeableBuffers | net::kControlQueue |
           net::kControlRx | net::kControlMacAddress | backend_->offloads() |
           (backend_->mtu() != NetBackend::kUsualMtu ? net::kMtu : 0);
  }
  unsigned queue_count() const override { return 3; }
  uint16_t queue_max(unsigned index) const override {
    return index == kControlQueue ? 64 : kQueueSize;
  }
  unsigned config_bytes() const override { return sizeof(Config); }
  void config_read(unsigned offset, void* out, unsigned size) const override;
  void config_write(unsigned offset, const void* data, unsigned size) override;
  void start(uint64_t features, bool legacy) override;
  void reset() override;
  bool process(unsigned queue) override;
  void wait(int kick_fd, bool block, bool running) override;
  void counters(CounterVisitor visit, void* context) const override {
    backend_->counters(visit, context);
  }
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;

 private:
  struct Frame {
    NetHeader header;
    std::vector<uint8_t> bytes;
  };

  bool transmit();
  void transmit_chain(const Chain& chain);
  bool control();
  uint8_t run_command(const Chain& chain);
  bool receive(const NetHeader& header, const uint8_t* frame, size_t size);
  bool deliver(const NetHeader& header, const uint8_t* frame, size_t size);
  void flush_pending();

  const std::unique_ptr<NetBackend> backend_;
  const MacAddress initial_mac_;
  mutable std::mutex mac_mutex_;
  MacAddress mac_;
  uint64_t features_ = 0;
  bool legacy_ = false;
  size_t header_bytes_ = sizeof(NetHeader);
  bool started_ = false;

  // The I/O thread's.
  std::vector<uint8_t> frame_;
  Chain chain_;
  std::vector<Chain> merged_;
  std::deque<Frame> pending_;
  size_t pending_bytes_ = 0;
  bool refused_ = false;  // the backend was told that there is no room
  std::vector<pollfd> fds_;
};

void Net::config_read(unsigned offset, void* out, unsigned size) const {
  Config config = {};
  {
    std::lock_guard lock(mac_mutex_);
    std::memcpy(config.mac, mac_.data(), mac_.size());
  }
  config.status = kLinkUp;
  config.max_virtqueue_pairs = 1;
  config.mtu = backend_->mtu();
  std::memcpy(out, reinterpret_cast<const uint8_t*>(&config) + offset, size);
}

void Net::config_write(unsigned offset, const void* data, unsigned size) {
  // 5.1.4.1: only a legacy driver sets the MAC address here.
  if (started_ && !legacy_) return;
  std::lock_guard lock(mac_mutex_);
  if (offset + size <= mac_.size()) std::memcpy(mac_.data() + offset, data, size);
}

void Net::start(uint64_t features, bool legacy) {
  features_ = features;
  legacy_ = legacy;
  // 5.1.6.1: num_buffers is there always but for legacy drivers without mergeable buffers.
  const bool has_buffers = !legacy || (features & net::kMergeableBuffers) != 0;
  header_bytes_ = has_buffers ? sizeof(NetHeader) : offsetof(NetHeader, num_buffers);
  backend_->set_offloads(features);
  started_ = true;
}

void Net::reset() {
  started_ = false;
  features_ = 0;
  legacy_ = false;
  header_bytes_ = sizeof(NetHeader);
  pending_.clear();
  pending_bytes_ = 0;
  std::lock_guard lock(mac_mutex_);
  mac_ = initial_mac_;
}

bool Net::process(unsigned queue) {
  switch (queue) {
    case kReceiveQueue:
      flush_pending();
      host_->publish(kReceiveQueue);
      return false;
    case kTransmitQueue:
      return transmit();
    default:
      return control();
  }
}

bool Net::transmit() {
  Queue& queue = host_->queue(kTransmitQueue);
  for (unsigned budget = kQueueSize; budget > 0;) {
    const Queue::Pop popped = queue.pop(chain_);
    if (popped == Queue::Pop::kBroken) host_->fail(queue.error());
    if (popped != Queue::Pop::kChain) {
      if (queue.enable_notifications()) continue;
      break;
    }
    --budget;
    transmit_chain(chain_);
    queue.push(chain_.head, 0);
  }
  host_->publish(kTransmitQueue);
  // The backend may have answered at once.
  host_->publish(kReceiveQueue);
  return queue.has_available();
}

void Net::transmit_chain(const Chain& chain) {
  NetHeader header;
  const size_t got = chain.read(0, &header, header_bytes_);
  const uint64_t size = chain.readable_bytes - got;
  if (got != header_bytes_ || size < 14 || size > frame_.size()) {
    return host_->report().add("frame of impossible length");
  }
  // Only what was negotiated has a meaning.
  if ((features_ & net::kCsum) == 0) header = {};
  if ((features_ & (net::kHostTso4 | net::kHostTso6)) == 0) header.gso_type = 0;
  header.num_buffers = 0;
  chain.read(header_bytes_, frame_.data(), size);
  backend_->send(header, frame_.data(), size);
}

bool Net::control() {
  Queue& queue = host_->queue(kControlQueue);
  for (unsigned budget = 64; budget > 0;) {
    const Queue::Pop popped = queue.pop(chain_);
    if (popped == Queue::Pop::kBroken) host_->fail(queue.error());
    if (popped != Queue::Pop::kChain) {
      if (queue.enable_notifications()) continue;
      break;
    }
    --budget;
    uint32_t written = 0;
    if (chain_.writable_bytes > 0) {
      const uint8_t ack = run_command(chain_);
      chain_.write(host_->dma(), 0, &ack, 1);
      written = 1;
    }
    queue.push(chain_.head, written);
  }
  host_->publish(kControlQueue);
  return queue.has_available();
}

// Frames are not filtered, so modes and tables have nothing to change: they are checked and taken.
uint8_t Net::run_command(const Chain& chain) {
  uint8_t command[2];  // class, command
  if ((features_ & net::kControlQueue) == 0 || chain.read(0, command, 2) != 2) return kControlError;
  const uint64_t bytes = chain.readable_bytes - 2;
  if (command[0] == kControlRx) {
    return command[1] <= kLastRxCommand && bytes == 1 ? kControlOk : kControlError;
  }
  if (command[0] != kControlMac) return kControlError;
  if (command[1] == kMacTableSet) {
    // Two tables, unicast and multicast: a count and as many addresses.
    uint64_t at = 2;
    for (int table = 0; table < 2; ++table) {
      uint32_t entries;
      if (chain.read(at, &entries, sizeof entries) != sizeof entries) return kControlError;
      at += sizeof entries + uint64_t{entries} * 6;
    }
    return at == chain.readable_bytes ? kControlOk : kControlError;
  }
  if (command[1] == kMacAddressSet && bytes == 6) {
    std::lock_guard lock(mac_mutex_);
    chain.read(2, mac_.data(), mac_.size());
    return kControlOk;
  }
  return kControlError;
}

// A frame from the backend. True: it is the guest's, or it waits, or nobody wants it.
bool Net::receive(const NetHeader& header, const uint8_t* frame, size_t size) {
  if (!started_) return true;
  if (pending_.empty() && deliver(header, frame, size)) return true;
  if (pending_.size() >= kMaxPending || pending_bytes_ >= kMaxPendingBytes) {
    refused_ = true;
    return false;
  }
  pending_bytes_ += size;
  pending_.push_back({header, std::vector<uint8_t>(frame, frame + size)});
  return true;
}

// Puts a frame in the guest's buffers. False: there are not enough of them.
bool Net::deliver(const NetHeader& header, const uint8_t* frame, size_t size) {
  Queue& queue = host_->queue(kReceiveQueue);
  if (!queue.enabled() || queue.error() != nullptr) return true;  // dropped
  const bool mergeable = (features_ & net::kMergeableBuffers) != 0;
  const uint64_t total = header_bytes_ + size;
  uint64_t room = 0;
  uint16_t chains = 0;
  while (room < total) {
    if (chains == (mergeable ? kMaxMergedChains : 1)) {
      // 5.1.6.3: the driver must give buffers that are large enough.
      host_->report().add("receive buffers too small for a frame");
      queue.unpop(chains);
      return true;
    }
    if (merged_.size() == chains) merged_.emplace_back();
    const Queue::Pop popped = queue.pop(merged_[chains]);
    if (popped == Queue::Pop::kBroken) {
      host_->fail(queue.error());
      return true;
    }
    if (popped == Queue::Pop::kEmpty) {
      if (queue.enable_notifications()) continue;
      queue.unpop(chains);
      return false;
    }
    // The header is written in one piece.
    if (merged_[chains].writable_bytes < (chains == 0 ? header_bytes_ : 1)) {
      queue.refuse("receive buffer without room for the header");
      host_->fail(queue.error());
      return true;
    }
    room += merged_[chains].writable_bytes;
    ++chains;
  }
  NetHeader out = header;
  out.num_buffers = chains;
  size_t at = 0;
  for (uint16_t i = 0; i < chains; ++i) {
    uint64_t skip = 0;
    if (i == 0) {
      merged_[0].write(host_->dma(), 0, &out, header_bytes_);
      skip = header_bytes_;
    }
    const size_t n = merged_[i].write(host_->dma(), skip, frame + at, size - at);
    at += n;
    queue.push(merged_[i].head, static_cast<uint32_t>(skip + n));
  }
  return true;
}

void Net::flush_pending() {
  while (!pending_.empty()) {
    const Frame& f = pending_.front();
    if (!deliver(f.header, f.bytes.data(), f.bytes.size())) return;
    pending_bytes_ -= f.bytes.size();
    pending_.pop_front();
  }
  if (refused_) {
    refused_ = false;
    backend_->ready();
  }
}

void Net::wait(int kick_fd, bool block, bool running) {
  fds_.clear();
  fds_.push_back({.fd = kick_fd, .events = POLLIN, .revents = 0});
  int timeout = -1;
  if (running) backend_->fill(fds_, timeout);
  const int ready = poll(fds_.data(), fds_.size(), block ? timeout : 0);
  if (ready > 0 && (fds_[0].revents & POLLIN) != 0) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(kick_fd, &count, sizeof count);
  }
  if (!running) return;
  backend_->dispatch(fds_, 1);
  host_->publish(kReceiveQueue);
}

void Net::save(StateWriter& out) const {
  out.put(mac_);
  // Frames that wait are dropped, as a network may.
}

bool Net::load(StateReader& in) {
  mac_ = in.get<MacAddress>();
  return in.ok();
}

}  // namespace

std::unique_ptr<Function> make_net(std::unique_ptr<NetBackend> backend, const MacAddress& mac) {
  return std::make_unique<Net>(std::move(backend), mac);
}

NetBackendResult make_net_backend(const NetOptions& options) {
  if (options.kind == NetOptions::Kind::kTap) return make_tap_backend(options);
  if (options.kind == NetOptions::Kind::kPasst) return make_passt_backend(options);
  const EnterNetJail jail = user_net_jail();
  return jail != nullptr ? make_user_process(options, jail) : make_user_backend(options);
}

}  // namespace trapline::virtio
