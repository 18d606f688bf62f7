#include "devices/virtio/report.h"

#include <cstdio>

namespace trapline {
namespace {

Report::Sink& sink() {
  static Report::Sink instance = [](std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  return instance;
}

bool power_of_ten(uint64_t n) {
  while (n % 10 == 0) n /= 10;
  return n == 1;
}

}  // namespace

void Report::add(std::string_view what) {
  const uint64_t n = count_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (!power_of_ten(n)) return;
  std::string line = "trapline: " + device_ + ": ";
  line += what;
  if (n > 1) line += " (" + std::to_string(n) + " reports so far)";
  sink()(line);
}

void Report::set_sink(Sink replacement) { sink() = std::move(replacement); }

}  // namespace trapline
