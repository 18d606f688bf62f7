// `trapline top NAME`, `trapline top --kvm`: plain ANSI on the alternate screen. Each picture is
// written whole, so that a library that knows what changed would have nothing to do.
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "vmm/cli/live.h"
#include "vmm/cli/live_view.h"
#include "vmm/cli/run.h"
#include "vmm/control/client.h"
#include "vmm/host/terminal.h"
#include "vmm/kvm/host_events.h"
#include "vmm/report/ftrace_exits.h"

namespace trapline {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l";
constexpr char kLeave[] = "\x1b[?25h\x1b[?1049l";
constexpr char kKeys[] = "keys: c count  t time  l p99  n name  p pause  q quit";

volatile std::sig_atomic_t ended_by = 0;

void put(const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    done += static_cast<size_t>(n);
  }
}

class Screen {
 public:
  Screen() : terminal_(STDIN_FILENO) {
    for (int number : {SIGTERM, SIGHUP, SIGINT}) {
      struct sigaction action {};
      action.sa_handler = [](int n) { ended_by = n; };
      sigaction(number, &action, nullptr);  // without SA_RESTART: poll() ends
    }
    struct sigaction changed {};
    changed.sa_handler = [](int) {};
    sigaction(SIGWINCH, &changed, nullptr);
    terminal_.take();
    put(kEnter);
  }
  ~Screen() {
    put(kLeave);
    terminal_.release();
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  static size_t rows() { return size().ws_row != 0 ? size().ws_row : 24; }
  static void show(const std::vector<std::string>& lines) {
    const size_t columns = size().ws_col != 0 ? size().ws_col : 80;
    std::string text = "\x1b[H";
    for (size_t i = 0; i < lines.size(); ++i) {
      if (i != 0) text += "\r\n";
      text += lines[i].substr(0, columns) + "\x1b[K";
    }
    put(text + "\x1b[J");
  }

 private:
  static winsize size() {
    winsize now{};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &now);
    return now;
  }
  Terminal terminal_;
};

std::string vcpus_text(size_t n) { return fmt::format("{} vCPU{}", n, n == 1 ? "" : "s"); }

// Where the figures come from.
class LiveSource {
 public:
  virtual ~LiveSource() = default;
  struct Look {
    std::string title;
    LiveSample sample;
  };
  // As of now, since the beginning; the error: there is nothing to look at any more.
  virtual Result<Look> look() = 0;
};

class OfVm final : public LiveSource {
 public:
  OfVm(ControlClient client, std::string name)
      : client_(std::move(client)), name_(std::move(name)) {}

  Result<Look> look() override {
    auto status = client_.request({{"verb", "status"}});
    if (!status) return Error{status.error()};
    auto reply = client_.request({{"verb", "stat"}});
    if (!reply) return Error{reply.error()};
    Look out;
    out.sample = live_sample((*reply)["stat"]);
    out.title = fmt::format("{}: {}, {}, up {}, profile {}", name_, text_of(*status, "state"),
                            vcpus_text(out.sample.vcpus.size()), duration_text(out.sample.wall_s),
                            text_of(*status, "profile"));
    return out;
  }

 private:
  ControlClient client_;
  std::string name_;
};

class OfHost final : public LiveSource {
 public:
  OfHost(std::unique_ptr<kvm::HostEvents> events, int pid)
      : events_(std::move(events)), pid_(pid) {}

  Result<Look> look() override {
    if (pid_ != 0 && kill(pid_, 0) != 0) {
      return Error{fmt::format("top --kvm {}: the process has ended", pid_)};
    }
    events_->drain([this](std::string_view line) { exits_.take(parse_trace_line(line)); }, false);
    Profile profile;
    TraceExits(exits_).finish(profile);
    Look out;
    out.sample = live_sample(profile);
    out.sample.wall_s = std::chrono::duration<double>(Clock::now() - began_).count();
    const uint64_t lost = profile.counters["lost_events"];
    out.title = fmt::format(
        "kvm{}: {}, {} of {} exits to user space{}", pid_ == 0 ? "" : fmt::format(" {}", pid_),
        vcpus_text(out.sample.vcpus.size()), profile.counters["kvm_userspace_exit"],
        out.sample.exits, lost == 0 ? "" : fmt::format(", {} events lost", lost));
    return out;
  }

 private:
  std::unique_ptr<kvm::HostEvents> events_;
  int pid_;
  Clock::time_point began_ = Clock::now();
  TraceExits exits_{DevicesMap::virt(), 0};  // of which each look takes a copy
};

class Top {
 public:
  Top(LiveSource& source, const LiveOptions& options)
      : source_(source), interval_(options.interval_s > 0 ? options.interval_s : 1.0) {}

  // The next sample, and what is new in it; the error: the VM is gone.
  std::string look() {
    auto seen = source_.look();
    if (!seen) return seen.error();
    title_ = std::move(seen->title);
    LiveSample now = std::move(seen->sample);
    shown_ = last_ ? between(*last_, now) : now;
    last_ = std::move(now);
    ++looks_;
    return {};
  }

  std::vector<std::string> picture(size_t most_lines) const {
    LiveViewOptions view{.order = order_, .rates = looks_ > 1, .most_lines = most_lines};
    return live_view(title_, shown_, view);
  }

  int once() {
    for (int i = 0; i < 2; ++i) {
      if (i != 0) std::this_thread::sleep_for(interval_);
      if (std::string error = look(); !error.empty()) return fail(error);
    }
    std::string text;
    for (const std::string& line : picture(1000)) text += line + "\n";
    std::fputs(text.c_str(), stdout);
    return 0;
  }

  int watch() {
    std::string error = look();
    if (!error.empty()) return fail(error);
    {
      Screen screen;
      auto next = Clock::now() + std::chrono::duration_cast<Clock::duration>(interval_);
      while (ended_by == 0) {
        const size_t rows = std::max<size_t>(Screen::rows(), 4);
        std::vector<std::string> lines = picture(rows - 2);
        lines.resize(rows - 2);
        lines.push_back(
            fmt::format("{}   by {}{}", kKeys, order_name(order_), paused_ ? "   PAUSED" : ""));
        Screen::show(lines);
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now()).count();
        pollfd keys{STDIN_FILENO, POLLIN, 0};
        const int ready = poll(&keys, 1, std::max<int>(0, static_cast<int>(left) + 1));
        if (ready > 0 && !key()) break;
        if (Clock::now() < next) continue;
        next = Clock::now() + std::chrono::duration_cast<Clock::duration>(interval_);
        if (paused_) continue;
        error = look();
        if (!error.empty()) break;
      }
    }
    if (!error.empty()) return fail(error);
    constexpr int kBySignal = 128;
    return ended_by == 0 ? 0 : kBySignal + ended_by;
  }

 private:
  // False: leave.
  bool key() {
    char pressed = 'q';  // at the end of input
    if (read(STDIN_FILENO, &pressed, 1) < 0) return errno == EINTR || errno == EAGAIN;
    constexpr char kCtrlC = 3;
    switch (pressed) {
      case 'q':
      case kCtrlC:
        return false;
      case 'p':
      case ' ':
        paused_ = !paused_;
        break;
      case 'c':
        order_ = LiveOrder::kCount;
        break;
      case 't':
        order_ = LiveOrder::kTime;
        break;
      case 'l':
        order_ = LiveOrder::kLatency;
        break;
      case 'n':
        order_ = LiveOrder::kName;
        break;
      default:
        break;
    }
    return true;
  }

  LiveSource& source_;
  std::chrono::duration<double> interval_;
  std::string title_;
  std::optional<LiveSample> last_;
  LiveSample shown_;
  int looks_ = 0;
  LiveOrder order_ = LiveOrder::kCount;
  bool paused_ = false;
};

}  // namespace

int top_command(const LiveOptions& options) {
  if (!options.once && (isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0)) {
    return fail("top: standard input or output is no terminal: use --once, or trapline stat");
  }
  std::unique_ptr<LiveSource> source;
  if (options.kvm) {
    auto events = kvm::HostEvents::start(options.pid);
    if (!events) return fail("top --kvm: " + events.error());
    source = std::make_unique<OfHost>(std::move(*events), options.pid);
  } else {
    auto client = ControlClient::connect(options.name);
    if (!client) return fail(client.error());
    source = std::make_unique<OfVm>(std::move(*client), options.name);
  }
  Top top(*source, options);
  return options.once ? top.once() : top.watch();
}

}  // namespace trapline
