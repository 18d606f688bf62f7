#include "vmm/nisv/statistics.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace trapline::nisv {
namespace {

class Text {
 public:
  Text(char* text, size_t size) : text_(text), size_(size) {}
  [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) {
    va_list list;
    va_start(list, format);
    const int n = vsnprintf(text_ + used_, size_ - used_, format, list);
    va_end(list);
    if (n > 0 && static_cast<size_t>(n) < size_ - used_) used_ += static_cast<size_t>(n);
  }
  size_t used() const { return used_; }

 private:
  char* text_;
  size_t size_, used_ = 0;
};

struct Sum {
  const Counts* const* counts;
  unsigned cpus;
  uint64_t operator()(Counter Counts::*member) const {
    uint64_t sum = 0;
    for (unsigned i = 0; i < cpus; ++i) sum += counts[i]->*member;
    return sum;
  }
  uint64_t operator()(Counter (Counts::*member)[2], unsigned which) const {
    uint64_t sum = 0;
    for (unsigned i = 0; i < cpus; ++i) sum += (counts[i]->*member)[which];
    return sum;
  }
};

}  // namespace

size_t statistics_text(const Counts* const* counts, unsigned cpus, double seconds, char* to,
                       size_t size) {
  using C = Counts;
  Text text(to, size);
  const Sum sum{counts, cpus};
  const uint64_t isv0 = sum(&C::nisv, 0) + sum(&C::nisv, 1), isv1 = sum(&C::mmio);
  text.add("{\n  \"schema\": 2,\n  \"backend\": \"kvm\",\n  \"clock\": \"host\",\n");
  text.add("  \"insns\": 0,\n  \"latency_ns\": {},\n  \"cpus\": %u,\n  \"wall_seconds\": %.6f,\n",
           cpus, seconds);
  const auto group = [&text](const char* name, auto&&... pairs) {
    text.add("  \"%s\": {", name);
    const char* comma = "\n";
    const auto one = [&](const char* key, uint64_t value) {
      text.add("%s    \"%s\": %" PRIu64, comma, key, value);
      comma = ",\n";
    };
    (one(pairs.first, pairs.second), ...);
    text.add("\n  },\n");
  };
  struct Pair {
    const char* first;
    uint64_t second;
  };
  group("kvm", Pair{"runs", sum(&C::runs)}, Pair{"interrupted", sum(&C::interrupted)},
        Pair{"mmio", isv1}, Pair{"nisv_hits", sum(&C::nisv, 0)},
        Pair{"nisv_hit_ioctls", sum(&C::nisv_ioctls, 0)}, Pair{"nisv_misses", sum(&C::nisv, 1)},
        Pair{"nisv_miss_ioctls", sum(&C::nisv_ioctls, 1)}, Pair{"aborts_injected", sum(&C::aborts)},
        Pair{"exceptions_written", sum(&C::exceptions)});
  group("nisv", Pair{"performed", sum(&C::performed)}, Pair{"elements", sum(&C::elements)},
        Pair{"ioeventfds", sum(&C::events)}, Pair{"busy", sum(&C::busy)},
        Pair{"dropped", sum(&C::dropped)},
        Pair{"finished_by_immediate_exit", sum(&C::finished_early)},
        Pair{"registers_read_between", sum(&C::seen_between)});
  text.add("  \"exits\": {\n    \"total\": %" PRIu64 ",\n", isv0 + isv1 + sum(&C::other));
  text.add("    \"data_abort\": {\"isv1\": %" PRIu64 ", \"isv0\": %" PRIu64 "},\n", isv1, isv0);
  // Those end inside the kernel.
  text.add("    \"prefetch_abort\": 0,\n    \"sysreg\": 0,\n    \"hvc\": 0,\n    \"wfx\": 0,\n");
  text.add("    \"other\": %" PRIu64 ",\n    \"undefined_sysregs\": 0,\n", sum(&C::other));
  text.add("    \"unmapped_accesses\": 0,\n");
  text.add("    \"retries\": %" PRIu64 ",\n", sum(&C::retries) + sum(&C::busy));
  text.add("    \"disagreements\": %" PRIu64 ",\n", sum(&C::retries));
  text.add("    \"stuck_aborts\": %" PRIu64 ",\n", sum(&C::stuck));
  text.add("    \"external_aborts\": %" PRIu64 ",\n", sum(&C::aborts));
  text.add("    \"unsupported_accesses\": %" PRIu64 ",\n", sum(&C::unsupported));
  text.add("    \"exclusives_stepped\": %" PRIu64 ",\n", sum(&C::stepped));
  text.add("    \"exclusives_beyond_reach\": %" PRIu64 "\n  },\n", sum(&C::beyond));
  text.add("  \"icache\": {\n    \"policy\": \"recheck\",\n");
  text.add("    \"hits\": %" PRIu64 ",\n    \"misses\": %" PRIu64 ",\n", sum(&C::cache_hits),
           sum(&C::cache_misses));
  text.add("    \"invalidations\": %" PRIu64
           ",\n    \"mismatches\": 0,\n    \"overtaken\": 0\n  },\n",
           sum(&C::cache_invalidations));
  text.add("  \"decode\": {\n    \"decoder\": \"native\",\n    \"ok\": %" PRIu64 ",\n",
           sum(&C::nisv, 1));
  text.add("    \"unsupported\": %" PRIu64 ",\n    \"fallback\": 0\n  },\n", sum(&C::unsupported));
  text.add("  \"devices\": {\n");
  const auto device = [&text](const char* name, uint64_t reads, uint64_t writes, const char* end) {
    text.add("    \"%s\": {\"reads\": %" PRIu64 ", \"writes\": %" PRIu64 ", \"registers\": {}}%s\n",
             name, reads, writes, end);
  };
  device("vmm", sum(&C::reads), sum(&C::writes), ",");
  device("ioeventfd", 0, sum(&C::events), ",");
  device("gicd", sum(&C::gicd, 0), sum(&C::gicd, 1), ",");
  device("gicr", sum(&C::gicr, 0), sum(&C::gicr, 1), "");
  text.add("  }\n}\n");
  return text.used();
}

bool Statistics::open(const char* path) {
  const int fd = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
  if (fd < 0) return false;
  struct stat status {};
  // Whoever inherits the environment comes here, and most of them make no VM.
  const bool fits = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  const bool is_ours = fits && static_cast<size_t>(status.st_size) == kBytes;
  void* map = MAP_FAILED;
  if (fits && (is_ours || (ftruncate(fd, 0) == 0 && ftruncate(fd, kBytes) == 0))) {
    map = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  ::close(fd);
  if (map == MAP_FAILED) return false;
  map_ = static_cast<char*>(map);
  if (!is_ours) {
    std::memset(map_, ' ', kBytes - 1);
    map_[kBytes - 1] = '\n';
    std::memcpy(map_, "{}", 2);
  }
  return true;
}

void Statistics::begin() { clock_gettime(CLOCK_MONOTONIC, &began_); }

void Statistics::write(const Counts* const* counts, unsigned cpus) {
  if (map_ == nullptr) return;
  static char text[kBytes];
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const double seconds = static_cast<double>(now.tv_sec - began_.tv_sec) +
                         static_cast<double>(now.tv_nsec - began_.tv_nsec) * 1e-9;
  const size_t used = statistics_text(counts, cpus, seconds, text, sizeof text - 1);
  std::memcpy(map_, text, used);
  std::memset(map_ + used, ' ', kBytes - 1 - used);
  map_[kBytes - 1] = '\n';
}

}  // namespace trapline::nisv
