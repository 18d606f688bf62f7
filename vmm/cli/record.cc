// `trapline record --kvm [--pid P] -o F`: what other VMMs' guests cost this host.
#include <fmt/format.h>
#include <poll.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "vmm/cli/live.h"
#include "vmm/cli/run.h"
#include "vmm/host/output_file.h"
#include "vmm/kvm/host_events.h"

namespace trapline {
namespace {

constexpr int kIntervalMs = 100;
volatile std::sig_atomic_t ended = 0;

void end_on_signals() {
  for (int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    action.sa_handler = [](int) { ended = 1; };
    sigaction(number, &action, nullptr);  // without SA_RESTART: poll() ends
  }
}

}  // namespace

int record_command(const LiveOptions& options) {
  if (std::string error = check_output(options.output); !error.empty()) return fail(error);
  end_on_signals();
  auto events = kvm::HostEvents::start(options.pid);
  if (!events) return fail("record --kvm: " + events.error());
  FILE* file = std::fopen(options.output.c_str(), "we");
  if (file == nullptr) return fail(fmt::format("{}: {}", options.output, std::strerror(errno)));
  std::fputs("# tracer: nop\n#\n# trapline record --kvm\n", file);

  uint64_t exits = 0, lines = 0, lost_places = 0;
  const auto put = [&](std::string_view line) {
    ++lines;
    exits += line.find(": kvm_exit: ") != std::string_view::npos;
    lost_places += line.starts_with("CPU:");
    std::fwrite(line.data(), 1, line.size(), file);
    std::fputc('\n', file);
  };
  std::fprintf(stderr, "trapline: recording kvm:* events into %s; Ctrl-C ends it\n",
               options.output.c_str());
  bool written = true;
  while (written && ended == 0 && (options.pid == 0 || kill(options.pid, 0) == 0)) {
    poll(nullptr, 0, kIntervalMs);
    (*events)->drain(put, false);
    written = std::fflush(file) == 0 && std::ferror(file) == 0;
  }
  const int why = errno;
  if (written) (*events)->drain(put, true);
  events->reset();
  if (std::fclose(file) != 0 || !written) {
    return fail(fmt::format("{}: {}: the recording ends there", options.output,
                            std::strerror(written ? errno : why)));
  }
  std::fprintf(
      stderr, "trapline: %llu events, %llu exits%s: %s\n",
      static_cast<unsigned long long>(lines - lost_places), static_cast<unsigned long long>(exits),
      lost_places == 0 ? "" : ", some lost (the report says how many)", options.output.c_str());
  return 0;
}

}  // namespace trapline
