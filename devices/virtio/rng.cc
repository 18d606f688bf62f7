#include "devices/virtio/rng.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace trapline::virtio {
namespace {

constexpr unsigned kBudget = 64;

// SplitMix64: a fixed sequence of good statistical quality, and no more than that.
uint64_t next(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

bool Rng::process(unsigned index) {
  Queue& queue = host_->queue(index);
  for (unsigned budget = kBudget; budget > 0;) {
    const Queue::Pop popped = queue.pop(chain_);
    if (popped == Queue::Pop::kBroken) host_->fail(queue.error());
    if (popped != Queue::Pop::kChain) {
      if (queue.enable_notifications()) continue;
      break;
    }
    --budget;
    uint32_t written = 0;
    for (const Segment& s : chain_.writable) {
      const uint32_t n = std::min(s.size, kMaxBytes - written);
      if (n == 0 || !fill(s.host, n)) break;
      host_->dma().done(s.ipa, n);
      written += n;
    }
    queue.push(chain_.head, written);
  }
  host_->publish(index);
  return queue.has_available();
}

bool Rng::fill(uint8_t* out, uint32_t size) {
  if (!seed_) {
    while (size > 0) {
      const ssize_t n = getrandom(out, size, 0);
      if (n < 0) {
        if (errno == EINTR) continue;
        host_->report().add("getrandom failed");
        return false;
      }
      out += n;
      size -= static_cast<uint32_t>(n);
    }
    return true;
  }
  while (size > 0) {
    const uint64_t word = next(state_);
    const uint32_t n = std::min<uint32_t>(size, sizeof word);
    std::memcpy(out, &word, n);
    out += n;
    size -= n;
  }
  return true;
}

void Rng::save(StateWriter& out) const { out.put(state_); }

bool Rng::load(StateReader& in) {
  state_ = in.get<uint64_t>();
  return in.ok();
}

}  // namespace trapline::virtio
