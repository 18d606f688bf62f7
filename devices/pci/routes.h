// Which device answers where in the windows behind a bridge. The guest moves its BARs while vCPUs
// are inside: the table is replaced whole, and the old one goes when every vCPU has left it. An
// access takes no lock.
#ifndef TRAPLINE_DEVICES_PCI_ROUTES_H_
#define TRAPLINE_DEVICES_PCI_ROUTES_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "mmio/device.h"

namespace trapline::pci {

struct Route {
  uint64_t first = 0, last = 0;  // bus addresses
  Device* device = nullptr;
  uint64_t offset = 0;  // the device's at `first`
};

// Of ranges that may overlap, each address to the first that claims it; ascending.
std::vector<Route> without_overlaps(const std::vector<Route>& claims);

class Routes {
 public:
  static constexpr unsigned kVcpus = 64;

  Routes() : table_(new std::vector<Route>) {}
  ~Routes() { delete table_.load(); }
  Routes(const Routes&) = delete;
  Routes& operator=(const Routes&) = delete;

  // `table`: without_overlaps(). When it returns no vCPU is inside a device by an older one. By one
  // thread at a time, which is inside no device that it came to by a route.
  void replace(std::vector<Route> table) {
    const std::vector<Route>* old =
        table_.exchange(new std::vector<Route>(std::move(table)), std::memory_order_seq_cst);
    for (const auto& vcpu : inside_) {
      // Whoever came in later has the new one; it was enough to see once that the old one is left.
      const uint32_t entries = vcpu.entries.load(std::memory_order_seq_cst);
      if (entries % 2 == 0) continue;
      while (vcpu.entries.load(std::memory_order_acquire) == entries) std::this_thread::yield();
    }
    delete old;
  }

  // call(device, offset) for the route that holds all of [address, address + size); false: none.
  // A vCPU is inside once at a time: `vcpu` is below kVcpus, and its own thread's.
  template <typename Call>
  bool enter(unsigned vcpu, uint64_t address, unsigned size, Call&& call) {
    std::atomic<uint32_t>& entries = inside_[vcpu % kVcpus].entries;
    const uint32_t outside = entries.load(std::memory_order_relaxed);
    entries.store(outside + 1, std::memory_order_seq_cst);
    const std::vector<Route>& table = *table_.load(std::memory_order_seq_cst);
    const auto above =
        std::upper_bound(table.begin(), table.end(), address,
                         [](uint64_t value, const Route& route) { return value < route.first; });
    bool found = false;
    if (above != table.begin()) {
      const Route& route = above[-1];
      found = address <= route.last && route.last - address >= size - 1;
      if (found) call(*route.device, address - route.first + route.offset);
    }
    entries.store(outside + 2, std::memory_order_release);
    return found;
  }

 private:
  struct alignas(64) Vcpu {
    std::atomic<uint32_t> entries{0};  // odd: inside
  };
  std::atomic<const std::vector<Route>*> table_;
  std::array<Vcpu, kVcpus> inside_;
};

}  // namespace trapline::pci

#endif  // TRAPLINE_DEVICES_PCI_ROUTES_H_
