// fuzz_cpu: see README.md.
#include <fmt/format.h>
#include <sys/time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdint>
#include <cstdio>

#include "tools/fuzz_cpu/fuzz_machine.h"

extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

volatile uint64_t g_seed = 0;

void report_seed() { std::fprintf(stderr, "fuzz_cpu: seed %llu\n", (unsigned long long)g_seed); }

// Of CPU time, so that a busy host ends nothing.
void limit(time_t seconds) {
  const itimerval timer = {{0, 0}, {seconds, 0}};
  setitimer(ITIMER_PROF, &timer, nullptr);
}

void on_signal(int number) {
  std::fprintf(stderr, "fuzz_cpu: signal %d%s, seed %llu\n", number,
               number == SIGPROF ? " (the program does not end)" : "", (unsigned long long)g_seed);
  std::signal(number, SIG_DFL);
  if (number == SIGPROF) _exit(1);
  std::raise(number);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t programs = 10'000, seed = 1, budget = 400;
  CLI::App app{"Random words as programs on the software CPU"};
  app.add_option("--programs", programs, "how many");
  app.add_option("--seed", seed, "of the first; the next has the next number");
  bool el2 = false, novhe = false;
  app.add_flag("--el2", el2, "the CPU has EL2");
  app.add_flag("--novhe", novhe, "without FEAT_VHE");
  app.add_option("--budget", budget, "instructions a program")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(report_seed);
  } else {
    std::signal(SIGSEGV, on_signal);
  }
  std::signal(SIGPROF, on_signal);
  std::signal(SIGABRT, on_signal);

  trapline::fuzz::FuzzMachine machine(false, {el2 || novhe, !novhe});
  trapline::fuzz::Totals totals;
  for (uint64_t i = 0; i < programs; ++i) {
    g_seed = seed + i;
    if ((i & 1023) == 0) limit(60);
    machine.run(seed + i, budget, totals);
  }
  limit(0);
  fmt::print("{} programs, {} instructions, {} crashed vectors; exits:", totals.programs,
             totals.instructions, totals.crashed);
  for (uint64_t count : totals.exits) fmt::print(" {}", count);
  fmt::print("\n");
  return 0;
}
