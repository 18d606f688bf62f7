// When is a decoded-instruction cache worth it, for guests and for guests of guests? Puts measured
// software costs and published trap costs into one table.
//
// nested_model PUBLISHED_COSTS.json BENCH_EXIT.json BENCH_WALK.json [--ghz N]
// The last two are what bench_exit and bench_walk print with --benchmark_format=json.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/nested_trace.h"
#include "bench/walk_rig.h"

namespace trapline::bench {
namespace {

using nlohmann::json;

json load(const char* path) {
  std::ifstream in(path);
  if (!in) {
    fmt::print(stderr, "nested_model: cannot read {}\n", path);
    std::exit(1);
  }
  return json::parse(in, nullptr, true);
}

// Nanoseconds of a benchmark: the median if it was repeated; of a swept one the median of its
// iterations.
double measured(const json& runs, const std::string& name, bool swept) {
  double found = -1;
  for (const json& run : runs.at("benchmarks")) {
    const std::string run_name = run.at("name");
    if (run_name.compare(0, name.size(), name) != 0) continue;
    const std::string rest = run_name.substr(name.size());
    if (!rest.empty() && rest[0] != '_' && rest.compare(0, 12, "/iterations:") != 0) continue;
    const bool median = rest.find("_median") != std::string::npos;
    if (rest.find("_mean") != std::string::npos || rest.find("_stddev") != std::string::npos ||
        rest.find("_cv") != std::string::npos) {
      continue;
    }
    if (found >= 0 && !median) continue;
    found = run.at(swept ? "median_ns" : "cpu_time");
  }
  if (found < 0) {
    fmt::print(stderr, "nested_model: no benchmark {}\n", name);
    std::exit(1);
  }
  return found;
}

void row(const char* who, double trap, double with, double without) {
  fmt::print("| {} | {:.0f} | {:.0f} | {:.0f} | {:.0f} | {:.2f} % |\n", who, trap, trap + without,
             trap + with, without - with, 100 * (without - with) / (trap + without));
}

int model(const json& published, const json& exits, const json& walks, double ghz) {
  const auto figure = [&](const char* name, const char* field) -> double {
    return published.at("figures").at(name).at(field);
  };
  const auto cycles = [&](double ns) { return ns * ghz; };

  WalkRig rig;
  const WalkTrace trace = trace_walk(rig);
  const bool reached = rig.by_l1() == WalkRig::kWord;
  const WalkCounts l1 = rig.counts();
  if (!trace.found || !reached) {
    fmt::print(stderr, "nested_model: the walker did not find the instruction\n");
    return 1;
  }

  fmt::print("## Counted in a run of our walker\n\n");
  fmt::print("One instruction fetch of a guest (4 KiB pages, four levels):\n");
  fmt::print("- system registers read: {} (", trace.registers.size());
  for (size_t i = 0; i < trace.registers.size(); ++i) {
    fmt::print("{}{}", i == 0 ? "" : ", ", trace.registers[i]);
  }
  fmt::print("), {} uses in the code\n", trace.register_uses);
  fmt::print("- stage-1 descriptors read: {}\n", trace.descriptors);
  fmt::print(
      "An L1 hypervisor that does it for its L2 guest reads {} descriptors of L2's stage 1 and {} "
      "of its own stage 2 ({} addresses translated), in its own memory: no trap.\n\n",
      l1.stage1, l1.l1_stage2, l1.l1_stage2 / 4);

  // Registers that an exact cache must compare (icache::Context): SCTLR, TCR, MAIR, TTBR0, TTBR1.
  constexpr double kContextRegisters = 5;
  const double walk_registers = static_cast<double>(trace.registers.size());
  constexpr double kAddressTranslate = 2;  // AT S12E1R, then PAR_EL1

  const double v83 = figure("nested_v83_hypercall", "cycles");
  const double v83_vhe = figure("nested_v83_vhe_hypercall", "cycles");
  const double neve = figure("nested_neve_io", "cycles");
  const double trap_v83_vhe = v83_vhe / figure("nested_v83_vhe_hypercall", "traps");

  for (const bool swept : {false, true}) {
    const char* end = swept ? "/swept" : "/hot";
    const auto ns = [&](const std::string& name) { return measured(exits, name + end, swept); };
    const double hit = cycles(ns("Exit/isv0/recheck/native/hit"));
    const double off = cycles(ns("Exit/isv0/off/native/miss"));
    // L1's own walk finds L2's tables and its own: more than a plain guest's, by as much as the
    // bench says; L0's part of it is done by hardware.
    const double two_dim = cycles(measured(walks, std::string("Walk/two_dim") + end, swept));
    const double nested = cycles(measured(walks, std::string("Walk/nested") + end, swept));

    fmt::print("## {}\n\n",
               swept ? "Host caches swept before each exit" : "Everything in the host's caches");
    fmt::print(
        "Measured: exit in the VMM with a hit {:.0f} cycles, without a cache {:.0f}; fetch of an "
        "L1 "
        "guest's instruction {:.0f}, of an L2 guest's by L0 {:.0f}.\n\n",
        hit, off, two_dim, nested);
    fmt::print(
        "| exit | traps and switches (cited) | without cache | with cache | saved | share |\n");
    fmt::print("|---|---|---|---|---|---|\n");
    row("L1 guest, emulation in the kernel, VHE", figure("kvm_io_kernel_vhe", "cycles"), hit, off);
    row("L1 guest, emulation in user space, VHE", figure("kvm_io_user_vhe", "cycles"), hit, off);
    row("L1 guest, in the kernel, split mode", figure("kvm_io_kernel_split", "cycles"), hit, off);
    row("L1 guest, in user space, split mode", figure("kvm_io_user_split", "cycles"), hit, off);
    // The share of the walk that is the nested guest's.
    const double off_l2 = off - two_dim + nested;
    row("L2 guest, L1 emulates, ARMv8.3, L1 saves all registers anyhow", v83, hit, off_l2);
    row("L2 guest, L1 emulates, ARMv8.3, VHE, L1 reads registers to walk", v83_vhe,
        hit + kContextRegisters * trap_v83_vhe, off_l2 + walk_registers * trap_v83_vhe);
    row("the same, but a cache that trusts the PC and VMID alone (wrong: rule 4)", v83_vhe, hit,
        off_l2 + walk_registers * trap_v83_vhe);
    row("L2 guest, L1 emulates, ARMv8.3, VHE, L1 uses AT S12E1R", v83_vhe,
        hit + kContextRegisters * trap_v83_vhe, hit + kAddressTranslate * trap_v83_vhe);
    row("L2 guest, L1 emulates, NEVE (FEAT_NV2)", neve, hit, off_l2);
    row("L2 guest, L0 emulates, NEVE host", figure("kvm_io_kernel_vhe", "cycles"), hit, off_l2);
    fmt::print("\n");
  }

  fmt::print("## Assumptions\n\n");
  fmt::print(
      "- Measured software costs are this host's, at {:.2f} GHz, as cycles; an arm64 core is "
      "taken to need as many.\n",
      ghz);
  fmt::print("- One trap from L1 to L0 on ARMv8.3 costs {:.0f} cycles: {:.0f} / {:.0f} traps.\n",
             trap_v83_vhe, v83_vhe, figure("nested_v83_vhe_hypercall", "traps"));
  fmt::print(
      "- A nested ARMv8.3 I/O exit costs what the nested hypercall does (only that is "
      "published), and emulation in L1's kernel.\n");
  fmt::print(
      "- Under NEVE reads of the EL1 registers of L2 by L1 are loads from memory: no trap.\n");
  fmt::print(
      "- To compare contexts in full, the cache reads {:.0f} registers; the walk reads {:.0f}. "
      "Where each read traps, an exact cache in L1 loses.\n",
      kContextRegisters, walk_registers);
  fmt::print(
      "- L1's walk of its own stage 2 is charged as the nested walk of bench_walk, which holds "
      "L0's levels too: an upper bound.\n");
  fmt::print("- Every exit hits. The cited figures, with their state of confirmation:\n");
  for (const auto& [name, f] : published.at("figures").items()) {
    fmt::print("  - {}: {} [{}]\n", name, f.at("citation").get<std::string>(),
               f.at("status").get<std::string>());
  }
  return 0;
}

}  // namespace
}  // namespace trapline::bench

int main(int argc, char** argv) {
  double ghz = 0;
  if (argc == 6 && std::strcmp(argv[4], "--ghz") == 0) ghz = std::atof(argv[5]);
  if ((argc != 4 && argc != 6) || (argc == 6 && ghz <= 0)) {
    fmt::print(stderr,
               "usage: nested_model PUBLISHED_COSTS.json BENCH_EXIT.json BENCH_WALK.json "
               "[--ghz N]\n");
    return 1;
  }
  using trapline::bench::load;
  try {
    const auto exits = load(argv[2]);
    if (ghz == 0) ghz = exits.at("context").at("mhz_per_cpu").get<double>() / 1000;
    return trapline::bench::model(load(argv[1]), exits, load(argv[3]), ghz);
  } catch (const std::exception& error) {
    fmt::print(stderr, "nested_model: {}\n", error.what());
    return 1;
  }
}
