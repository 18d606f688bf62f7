#include "bench/guest_rig.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "bench/guest/driven.h"
#include "vmm/config/platform.h"

namespace trapline::bench {
namespace {

constexpr uint64_t kRamSize = 64 << 20;  // what the guest maps
constexpr uint64_t kNoLimit = ~uint64_t{0};

[[noreturn]] void fail(const std::string& why) {
  fmt::print(stderr, "bench_cpu: {}\n", why);
  std::exit(1);
}

bool is_return(const Exit& exit) {
  return exit.kind == ExitKind::kHvc && (exit.esr & 0xffff) == kDrivenHvc;
}

}  // namespace

GuestRig::GuestRig(const std::string& image, bool mmu, uint16_t translate_after) {
  std::ifstream file(image, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.empty()) fail(image + ": no benchmark guest there: build the target bench_guest");
  const uint64_t ram = platform::kRamBase, load = ram + platform::kRawOffset;
  if (bytes.size() > kRamSize - platform::kRawOffset) fail(image + ": larger than the guest's RAM");
  if (const auto error = memory_.add(ram, kRamSize, true); !error.empty()) fail(error);
  stage2_.map(ram, kRamSize, memory_.host(ram, kRamSize), kS2Read | kS2Write | kS2Exec | kS2Walk);
  machine_ = soft::make_soft_machine(memory_, stage2_, clock_, 1, false, translate_after);
  memory_.write(load, bytes.data(), bytes.size());
  vcpu().reset(load, 0);
  vcpu().set_register(1, kDriven | (mmu ? 0 : kDrivenMmuOff));

  ExitCatcher catcher;
  vcpu().run(kNoLimit, catcher);
  const Exit& exit = catcher.caught;
  if (!is_return(exit)) fail(image + ": this is not the benchmark guest");
  return_address_ = exit.pc + 4;
  const uint64_t table = vcpu().get_register(0), count = vcpu().get_register(1);
  for (uint64_t i = 0; i < count; ++i) {
    Benchmark entry{};
    memory_.read(table + i * sizeof entry, &entry, sizeof entry);
    loops_.push_back({text(entry.name), entry.loop});
  }
}

std::string GuestRig::text(uint64_t address) {
  std::string found;
  for (char c = 0; memory_.read(address, &c, 1) && c != 0; ++address) found += c;
  return found;
}

uint64_t GuestRig::loop(std::string_view name) {
  for (const Loop& loop : loops_) {
    if (loop.name == name) return loop.entry;
  }
  fail(fmt::format("the guest has no loop `{}`", name));
}

void GuestRig::enter(std::string_view name, uint64_t times, ExitSink& sink) {
  vcpu().set_register(kRegPc, loop(name));
  vcpu().set_register(0, times);
  vcpu().set_register(30, return_address_);
  vcpu().run(kNoLimit, sink);
}

uint64_t GuestRig::call(std::string_view name, uint64_t times) {
  const uint64_t before = vcpu().retired();
  ExitCatcher catcher;
  enter(name, times, catcher);
  const Exit& exit = catcher.caught;
  if (!is_return(exit)) {
    fail(fmt::format("`{}` left by an exit of kind {} at {:#x}", name,
                     static_cast<unsigned>(exit.kind), exit.pc));
  }
  return vcpu().retired() - before;
}

}  // namespace trapline::bench
