// The guest's screen as it goes to viewers, and what they type and point at on its way back. A
// thread copies what changed; where the backend says which pages were written, it sleeps until some
// of the framebuffer's are. Without viewers it does nothing.
#ifndef TRAPLINE_VMM_DISPLAY_SCREEN_H_
#define TRAPLINE_VMM_DISPLAY_SCREEN_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "devices/ramfb.h"
#include "devices/virtio/input.h"
#include "devices/virtio/report.h"
#include "vmm/display/viewers.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/vcpu/vcpu.h"

namespace trapline {

class Screen final : private GuestMemory::Observer {
 public:
  struct Parts {
    Ramfb& ramfb;
    GuestMemory& memory;
    Backend& backend;
    virtio::Input* keyboard;  // null: what is typed goes nowhere
    virtio::Input* tablet;
  };
  // At assembly: it observes the memory from now on.
  explicit Screen(const Parts& parts);
  ~Screen() override { stop(); }

  // Once; `viewers` outlives stop().
  void show_to(Viewers& viewers);
  // Its thread is gone when this returns. Again is harmless.
  void stop();

 private:
  static constexpr uint64_t kMostPages =
      uint64_t{Ramfb::kMostWidth} * Ramfb::kMostHeight * 4 / kPageSize + 1;

  struct Pages {
    uint64_t first, count;  // page numbers
  };
  Pages watched() const;
  void memory_written(uint64_t ipa, uint64_t size) override;
  void wake();
  void run();
  bool take_messages();
  void act(const ViewerMessage& message);
  void type(uint32_t keysym, bool down);
  void point(const ViewerMessage& message);
  void release_all();
  void frame();
  void show_anew(const std::optional<Ramfb::Surface>& now);
  void watch();
  void unwatch();
  std::vector<uint64_t> take_written();
  void show_rows(uint32_t first, uint32_t end);
  bool copy_row(uint32_t y, uint32_t& left, uint32_t& right);
  void send_rest();

  const Parts p_;
  Report report_;
  Viewers* viewers_ = nullptr;
  int wake_fd_ = -1;
  std::atomic<bool> ending_{false};

  // Pages that lose kShown and get a bit as somebody writes them: the number of the first one in
  // the upper half, how many in the lower.
  std::atomic<uint64_t> watched_{0};
  std::array<std::atomic<uint64_t>, (kMostPages + 63) / 64> written_{};
  std::atomic<bool> due_{false};  // a frame: something was written, or the surface is another

  // The thread's own.
  unsigned count_ = 0;  // viewers
  std::optional<Ramfb::Surface> shown_;
  uint32_t width_ = Viewers::kFirstWidth, height_ = Viewers::kFirstHeight;  // as they know
  ViewerMessage rest_;       // a rectangle that could not be sent yet; c == 0: none
  std::set<uint16_t> down_;  // keys
  uint32_t buttons_ = 0;
  std::thread thread_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_DISPLAY_SCREEN_H_
