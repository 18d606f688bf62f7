// Fuzz target: a host's trace of any bytes is read or refused, and what is read adds up.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

#include "vmm/report/ftrace.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trapline;
  static const std::string path = "/tmp/fuzz_ftrace." + std::to_string(getpid());
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)looks_like_host_trace(bytes);
  std::ofstream(path, std::ios::binary) << bytes;
  HostTraceOptions options;
  // One half of the inputs are maps and device trees, too.
  if (size % 4 == 1) options.map = path;
  if (size % 4 == 3) options.dtb = path;
  Result<Profile> profile = read_host_trace(path, options);
  unlink(path.c_str());
  if (!profile) return profile.error().find('\n') == std::string::npos ? 0 : (std::abort(), 0);
  uint64_t timed = 0, in_series = 0;
  for (const ProfileRow& row : profile->rows) timed += row.time.count;
  for (const Series& series : profile->series) {
    for (const uint64_t count : series.counts) in_series += count;
  }
  if (timed > profile->exits() || in_series != profile->exits()) std::abort();
  return 0;
}
