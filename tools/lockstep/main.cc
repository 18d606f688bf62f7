// Compares our CPU with QEMU, instruction by instruction, and prints the first difference. Started
// by tools/lockstep/lockstep.sh, which runs QEMU.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "fmt/format.h"
#include "tools/lockstep/follower.h"

namespace {

using namespace trapline;
using namespace trapline::lockstep;

std::string load_memory(GuestMemory& memory, Stage2& stage2, uint64_t base,
                        const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return path + ": cannot open";
  struct stat info {};
  fstat(fileno(file), &info);
  const auto size = static_cast<uint64_t>(info.st_size);
  std::string error = memory.add(base, size, true);
  if (error.empty()) {
    uint8_t* host = memory.host(base, size);
    if (std::fread(host, 1, size, file) != size) error = path + ": cannot read";
    stage2.map(base, size, host, kS2Read | kS2Write | kS2Exec);
  }
  std::fclose(file);
  return error;
}

int compare(std::FILE* log_file, Follower& follower, uint64_t limit) {
  QemuLog log(log_file);
  Record now, next;
  if (!log.next(now)) {
    fmt::print(stderr, "lockstep: the log is empty\n");
    return 1;
  }
  follower.start(now);
  uint64_t n = 0;
  for (; n < limit && log.next(next); ++n) {
    const std::string difference = follower.advance(now, next);
    if (!difference.empty()) {
      fmt::print("difference after instruction {}, at pc {:016x}:\n{}", n, now.pc, difference);
      fmt::print("the instructions before:\n{}", follower.history());
      fmt::print("our system registers:\n{}", follower.system_registers());
      fmt::print("taken over from QEMU so far:\n{}", follower.adoptions());
      return 1;
    }
    now = next;
    if (n % 5'000'000 == 4'999'999) fmt::print(stderr, "{} million equal\n", (n + 1) / 1'000'000);
  }
  fmt::print("{} instructions, no difference; taken over from QEMU:\n{}", n, follower.adoptions());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Lockstep comparison of the software CPU with QEMU"};
  std::string memory_path, log_path;
  uint64_t base = 0x4000'0000, limit = ~uint64_t{0};
  app.add_option("--memory", memory_path, "RAM as QEMU had it at reset")->required();
  app.add_option("--base", base, "where that RAM is")->capture_default_str();
  app.add_option("--log", log_path, "QEMU's -d cpu,int log, or a FIFO of it")->required();
  app.add_option("--max", limit, "stop after so many instructions");
  bool el2 = false;
  app.add_flag("--el2", el2, "the CPU has EL2, without VHE");
  CLI11_PARSE(app, argc, argv);

  std::FILE* log = std::fopen(log_path.c_str(), "r");
  if (log == nullptr) {
    fmt::print(stderr, "lockstep: {}: cannot open\n", log_path);
    return 1;
  }
  GuestMemory memory;
  Stage2 stage2;
  if (std::string error = load_memory(memory, stage2, base, memory_path); !error.empty()) {
    fmt::print(stderr, "lockstep: {}\n", error);
    return 1;
  }
  setvbuf(log, nullptr, _IOFBF, 1 << 20);
  Follower follower(memory, stage2, el2);
  const int status = compare(log, follower, limit);
  std::fclose(log);
  return status;
}
