// faulty_replay TRACE FAULT: a replay with a fault that it must find. Prints how many exits differ,
// and the number, PC and text of each difference that is told.
//
//   sign       LDRSB (immediate) is read as LDRB: a sign extension dropped
//   writeback  the immediate of a post-indexed access is off by one
//   stale      writes to code are not heard of, under policy `protect`: a stale entry is kept
#include <cstdio>
#include <string>

#include "vmm/trace/replay.h"

using namespace trapline;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto reader = trace::Reader::open(argv[1]);
  if (!reader) {
    std::fprintf(stderr, "%s\n", reader.error().c_str());
    return 1;
  }
  trace::ReplayOptions options;
  const std::string fault = argv[2];
  if (fault == "sign") {
    options.misread = [](uint32_t word) {
      const bool ldrsb = (word & 0xffc00000) == 0x39800000 || (word & 0xffc00000) == 0x39c00000;
      return ldrsb ? (word & 0x003fffff) | 0x39400000 : word;
    };
  } else if (fault == "writeback") {
    options.misread = [](uint32_t word) {
      const bool post = (word & 0x3b200c00) == 0x38000400;
      return post ? word ^ 1u << 12 : word;
    };
  } else if (fault == "stale") {
    options.icache = CachePolicy::kProtect;
    options.lose_writes = true;
  } else if (fault != "none") {
    return 2;
  }
  auto result = trace::replay(*reader, options);
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().c_str());
    return 1;
  }
  std::printf("%llu\n", static_cast<unsigned long long>(result->differing));
  for (const trace::Difference& d : result->differences) {
    std::printf("%llu %#llx %s\n", static_cast<unsigned long long>(d.exit),
                static_cast<unsigned long long>(d.pc), d.what.c_str());
  }
  return 0;
}
