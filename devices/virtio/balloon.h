// The memory balloon (virtio 1.2, 5.5): pages that the guest lends, and, by free page reporting,
// pages that it does not use just now, go back to the host.
#ifndef TRAPLINE_DEVICES_VIRTIO_BALLOON_H_
#define TRAPLINE_DEVICES_VIRTIO_BALLOON_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string_view>

#include "devices/virtio/function.h"

namespace trapline::virtio {

class Balloon final : public Function {
 public:
  static constexpr uint64_t kPageBytes = 4096;  // of what the balloon is counted in
  // 5.5.6.3: what the guest tells of its memory, by tag.
  static constexpr std::array<std::string_view, 10> kStatNames = {
      "swap_in_bytes",       "swap_out_bytes",  "major_faults",    "minor_faults",
      "free_bytes",          "total_bytes",     "available_bytes", "disk_caches_bytes",
      "hugetlb_allocations", "hugetlb_failures"};

  struct Shown {
    uint64_t target_bytes = 0;    // as it is asked for
    uint64_t actual_bytes = 0;    // as the guest says
    uint64_t reported_bytes = 0;  // by free page reporting, since the start
    std::array<std::optional<uint64_t>, kStatNames.size()> stats;  // the last ones told
  };

  // Makes [ipa, ipa + size) of RAM, whole pages, the host's again: whatever the guest reads there
  // afterwards is zero, or what it was when it was restored. Any thread.
  using GiveBack = std::function<void(uint64_t ipa, uint64_t size)>;
  explicit Balloon(GiveBack give_back) : give_back_(std::move(give_back)) {}

  // The guest is asked to have so much in the balloon, a multiple of kPageBytes. Any thread.
  void set_target(uint64_t bytes);
  // Any thread; the guest is asked for new statistics, for the next one.
  Shown shown();

  uint32_t device_id() const override { return 5; }
  uint64_t features() const override;
  // Inflate, deflate, statistics; free page reporting is 4 (5.5.2), and 3 for drivers that count
  // only what there is (Linux).
  unsigned queue_count() const override { return 5; }
  uint16_t queue_max(unsigned) const override { return 128; }
  unsigned config_bytes() const override { return 8; }
  void config_read(unsigned offset, void* out, unsigned size) const override;
  void config_write(unsigned offset, const void* data, unsigned size) override;
  void reset() override;
  bool process(unsigned queue) override;
  void counters(CounterVisitor visit, void* context) const override;
  void save(StateWriter& out) const override;
  bool load(StateReader& in) override;

 private:
  void inflate();
  void report_free();
  bool take_statistics();
  void read_statistics();

  const GiveBack give_back_;
  std::atomic<uint32_t> target_{0}, actual_{0};      // pages
  std::atomic<uint64_t> inflated_{0}, reported_{0};  // bytes
  std::atomic<bool> wants_statistics_{false};
  bool statistics_read_ = false;  // those in the buffer that is in the ring
  mutable std::mutex statistics_mutex_;
  std::array<std::optional<uint64_t>, kStatNames.size()> statistics_;
  Chain chain_;
};

}  // namespace trapline::virtio

#endif  // TRAPLINE_DEVICES_VIRTIO_BALLOON_H_
