// Prints a Perfetto trace of single exits, for formats_test.py to decode.
#include <cstdio>

#include "tests/vmm/report/sample.h"
#include "vmm/report/perfetto_writer.h"

int main() {
  const std::string trace = trapline::write_perfetto({trapline::sample_with_events()});
  return std::fwrite(trace.data(), 1, trace.size(), stdout) == trace.size() ? 0 : 1;
}
