// Counts what a guest did wrong (or what a host refused) and says so, at a bounded rate.
#ifndef TRAPLINE_DEVICES_VIRTIO_REPORT_H_
#define TRAPLINE_DEVICES_VIRTIO_REPORT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace trapline {

// Thread-safe. A line is printed for the 1st, 10th, 100th, ... report: the rate is bounded without
// a clock, so that a deterministic run prints the same lines.
class Report {
 public:
  using Sink = std::function<void(std::string_view line)>;

  explicit Report(std::string device) : device_(std::move(device)) {}

  // "trapline: DEVICE: WHAT (N so far)" on the sink.
  void add(std::string_view what);
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }

  // Where all lines of the process go; standard error by default. Assembly time only.
  static void set_sink(Sink sink);

 private:
  const std::string device_;
  std::atomic<uint64_t> count_{0};
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_VIRTIO_REPORT_H_
