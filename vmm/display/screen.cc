#include "vmm/display/screen.h"

#include <linux/input-event-codes.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>

#include "vmm/display/keys.h"

namespace trapline {
namespace {

using std::chrono::milliseconds;
using Time = std::chrono::steady_clock::time_point;
Time now_is() { return std::chrono::steady_clock::now(); }

constexpr milliseconds kFrame{40};
constexpr unsigned kMessagesPerTurn = 256;

// A pointer's bits, RFC 6143, 7.5.5.
constexpr uint16_t kButtons[] = {BTN_LEFT, BTN_MIDDLE, BTN_RIGHT};
constexpr unsigned kWheelUp = 3, kWheelDown = 4;

}  // namespace

Screen::Screen(const Parts& parts)
    : p_(parts), report_("display"), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  p_.memory.add_observer(this);
  p_.ramfb.on_change([this] {
    due_ = true;
    wake();
  });
}

void Screen::show_to(Viewers& viewers) {
  viewers_ = &viewers;
  thread_ = std::thread([this] { run(); });
}

void Screen::stop() {
  ending_ = true;
  wake();
  if (thread_.joinable()) thread_.join();
  if (wake_fd_ >= 0) close(wake_fd_);
  wake_fd_ = -1;
}

void Screen::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof one);
}

Screen::Pages Screen::watched() const {
  const uint64_t both = watched_.load(std::memory_order_seq_cst);
  return {both >> 32, both & 0xffffffff};
}

// The flag goes before the bit comes: who takes the bit flags the page again afterwards.
void Screen::memory_written(uint64_t ipa, uint64_t size) {
  const Pages pages = watched();
  const uint64_t last = (ipa + size - 1) >> kPageLog2;
  bool news = false;
  for (uint64_t page = std::max(ipa >> kPageLog2, pages.first);
       page <= last && page - pages.first < pages.count; ++page) {
    std::atomic<uint8_t>& flags = *p_.memory.page_flags(page << kPageLog2);
    if ((flags.load(std::memory_order_seq_cst) & GuestMemory::kShown) == 0) continue;
    flags.fetch_and(static_cast<uint8_t>(~GuestMemory::kShown), std::memory_order_seq_cst);
    const uint64_t n = page - pages.first;
    written_[n / 64].fetch_or(uint64_t{1} << n % 64, std::memory_order_seq_cst);
    news = true;
  }
  if (news && !due_.exchange(true)) wake();
}

// --- the thread ---

void Screen::run() {
  prctl(PR_SET_NAME, "display");
  const bool hears = p_.backend.why_no_state().empty();  // of writes
  Time next = now_is();                                  // no frame before
  while (!ending_) {
    const auto left = std::chrono::ceil<milliseconds>(next - now_is());
    const bool rests = left.count() > 0;
    pollfd fds[] = {{viewers_->fd(), POLLIN, 0}, {rests ? -1 : wake_fd_, POLLIN, 0}};
    if (poll(fds, 2, rests ? static_cast<int>(left.count()) : -1) < 0) continue;
    uint64_t count;
    if (fds[1].revents != 0) [[maybe_unused]]
      const ssize_t n = read(wake_fd_, &count, 8);
    const unsigned before = count_;
    if (fds[0].revents != 0 && !take_messages()) break;
    if (before == 0 && count_ != 0) due_ = true;
    if (before != 0 && count_ == 0) unwatch();
    if (count_ == 0 || now_is() < next) continue;
    if (!due_.exchange(false) && hears && rest_.c == 0) continue;  // until somebody says so
    frame();
    send_rest();
    next = now_is() + kFrame;
  }
  unwatch();
  release_all();
}

// False: the process is gone.
bool Screen::take_messages() {
  bool ended = false;
  for (unsigned i = 0; i < kMessagesPerTurn; ++i) {
    const std::optional<ViewerMessage> message = viewers_->receive(ended);
    if (ended) {
      report_.add("the viewers' process has ended: nobody sees the guest's screen any more");
      return false;
    }
    if (!message.has_value()) break;
    act(*message);
  }
  return true;
}

void Screen::act(const ViewerMessage& message) {
  switch (message.kind) {
    case ViewerMessage::kViewers:
      count_ = std::min(message.a, Viewers::kMost);
      if (count_ == 0) release_all();
      break;
    case ViewerMessage::kKey:
      type(message.a, message.b != 0);
      break;
    case ViewerMessage::kPointer:
      point(message);
      break;
    default:
      break;
  }
}

// --- input ---

void Screen::type(uint32_t keysym, bool down) {
  const uint16_t key = key_of(keysym);
  if (key == 0 || p_.keyboard == nullptr) return;
  // A viewer that repeats says down again: the guest repeats by itself.
  const bool news = down ? down_.insert(key).second : down_.erase(key) != 0;
  if (!news) return;
  const virtio::InputEvent event{EV_KEY, key, down ? 1u : 0u};
  p_.keyboard->send({&event, 1});
}

void Screen::point(const ViewerMessage& message) {
  if (p_.tablet == nullptr || width_ < 2 || height_ < 2) return;
  const auto axis = [](uint32_t at, uint32_t size) {
    return static_cast<uint32_t>(uint64_t{std::min(at, size - 1)} * virtio::Input::kAxisMost /
                                 (size - 1));
  };
  std::vector<virtio::InputEvent> events = {{EV_ABS, ABS_X, axis(message.a, width_)},
                                            {EV_ABS, ABS_Y, axis(message.b, height_)}};
  const uint32_t changed = buttons_ ^ message.c;
  buttons_ = message.c;
  for (unsigned i = 0; i < std::size(kButtons); ++i) {
    if ((changed >> i & 1) != 0) events.push_back({EV_KEY, kButtons[i], buttons_ >> i & 1});
  }
  const uint32_t pressed = changed & buttons_;
  if ((pressed >> kWheelUp & 1) != 0) events.push_back({EV_REL, REL_WHEEL, 1});
  if ((pressed >> kWheelDown & 1) != 0) events.push_back({EV_REL, REL_WHEEL, ~0u});
  p_.tablet->send(events);
}

// The last viewer has gone, whatever it held.
void Screen::release_all() {
  for (const uint16_t key : down_) {
    const virtio::InputEvent event{EV_KEY, key, 0};
    p_.keyboard->send({&event, 1});
  }
  down_.clear();
  if (p_.tablet == nullptr || buttons_ == 0) return;
  std::vector<virtio::InputEvent> events;
  for (const uint16_t button : kButtons) events.push_back({EV_KEY, button, 0});
  p_.tablet->send(events);
  buttons_ = 0;
}

// --- pixels ---

void Screen::frame() {
  const std::optional<Ramfb::Surface> now = p_.ramfb.surface();
  if (now != shown_ || watched().count == 0) return show_anew(now);
  const std::vector<uint64_t> pages = take_written();
  // What is copied from here on was there after the pages were flagged, or will be told of.
  uint32_t first = 0, end = 0;  // rows
  for (const uint64_t page : pages) {
    const uint64_t from = std::max(page << kPageLog2, now->ipa) - now->ipa;
    const auto top = static_cast<uint32_t>(from / now->stride);
    const uint64_t to = ((page + 1) << kPageLog2) - 1 - now->ipa;
    const uint32_t bottom = std::min(static_cast<uint32_t>(to / now->stride) + 1, now->height);
    if (top > end) {
      show_rows(first, end);
      first = top;
    }
    end = std::max(end, bottom);
  }
  show_rows(first, end);
}

void Screen::show_anew(const std::optional<Ramfb::Surface>& now) {
  unwatch();
  shown_ = now;
  if (!now.has_value()) {
    std::memset(viewers_->pixels(), 0, size_t{width_} * height_ * sizeof(uint32_t));
    rest_ = {ViewerMessage::kChanged, 0, 0, width_, height_};
    return;
  }
  watch();
  for (uint32_t y = 0; y < now->height; ++y) {
    std::memcpy(viewers_->pixels() + size_t{y} * now->width, now->host + size_t{y} * now->stride,
                size_t{now->width} * sizeof(uint32_t));
  }
  if (width_ != now->width || height_ != now->height) {
    if (!viewers_->send({ViewerMessage::kSize, now->width, now->height})) {
      shown_.reset();  // once more
      due_ = true;
      return;
    }
    width_ = now->width;
    height_ = now->height;
    rest_.c = 0;  // viewers get all of what has another size
    return;
  }
  rest_ = {ViewerMessage::kChanged, 0, 0, width_, height_};
}

// The numbers of pages that may have changed, in order; flagged again.
std::vector<uint64_t> Screen::take_written() {
  const Pages all = watched();
  std::vector<uint64_t> pages;
  if (!p_.backend.why_no_state().empty()) {
    for (uint64_t n = 0; n < all.count; ++n) pages.push_back(all.first + n);
    return pages;
  }
  for (size_t word = 0; word < written_.size(); ++word) {
    if (written_[word].load(std::memory_order_relaxed) == 0) continue;
    uint64_t bits = written_[word].exchange(0, std::memory_order_seq_cst);
    for (; bits != 0; bits &= bits - 1) {
      pages.push_back(all.first + word * 64 + static_cast<unsigned>(std::countr_zero(bits)));
      p_.memory.page_flags(pages.back() << kPageLog2)->fetch_or(GuestMemory::kShown);
    }
  }
  if (!pages.empty()) p_.backend.track_writes();
  return pages;
}

void Screen::watch() {
  const uint64_t first = shown_->ipa >> kPageLog2;
  const uint64_t last = (shown_->ipa + uint64_t{shown_->stride} * shown_->height - 1) >> kPageLog2;
  for (auto& word : written_) word = 0;
  watched_ = first << 32 | (last - first + 1);
  for (uint64_t page = first; page <= last; ++page) {
    p_.memory.page_flags(page << kPageLog2)->fetch_or(GuestMemory::kShown);
  }
  p_.backend.track_writes();
}

// A page that keeps its flag would be slow to write for ever.
void Screen::unwatch() {
  const Pages all = watched();
  watched_ = 0;
  for (uint64_t n = 0; n < all.count; ++n) {
    p_.memory.page_flags((all.first + n) << kPageLog2)
        ->fetch_and(static_cast<uint8_t>(~GuestMemory::kShown));
  }
}

// Pages may be written without a pixel's being another.
void Screen::show_rows(uint32_t first, uint32_t end) {
  uint32_t left = width_, right = 0, top = end, bottom = first;
  for (uint32_t y = first; y < end; ++y) {
    if (!copy_row(y, left, right)) continue;
    top = std::min(top, y);
    bottom = y + 1;
  }
  if (left >= right) return;
  const ViewerMessage changed{ViewerMessage::kChanged, left, top, right - left, bottom - top};
  send_rest();
  if (rest_.c == 0 && viewers_->send(changed)) return;
  // What waits is one rectangle, which holds them all.
  const uint32_t x = std::min(rest_.c == 0 ? left : rest_.a, left);
  const uint32_t y = std::min(rest_.c == 0 ? top : rest_.b, top);
  rest_ = {ViewerMessage::kChanged, x, y, std::max(rest_.a + rest_.c, right) - x,
           std::max(rest_.b + rest_.d, bottom) - y};
}

// Widens [left, right) by what of the row is another than before; false: nothing.
bool Screen::copy_row(uint32_t y, uint32_t& left, uint32_t& right) {
  const uint8_t* const from = shown_->host + size_t{y} * shown_->stride;
  uint32_t* const to = viewers_->pixels() + size_t{y} * width_;
  if (std::memcmp(to, from, size_t{width_} * sizeof(uint32_t)) == 0) return false;
  const auto differs = [&](uint32_t x) {
    return std::memcmp(to + x, from + size_t{x} * sizeof(uint32_t), sizeof(uint32_t)) != 0;
  };
  uint32_t first = 0, last = width_;
  while (first < last && !differs(first)) ++first;
  while (last > first && !differs(last - 1)) --last;
  std::memcpy(to, from, size_t{width_} * sizeof(uint32_t));
  left = std::min(left, first);
  right = std::max(right, last);
  return true;
}

void Screen::send_rest() {
  if (rest_.c != 0 && viewers_->send(rest_)) rest_.c = 0;
}

}  // namespace trapline
