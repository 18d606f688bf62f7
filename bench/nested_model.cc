// When is a decoded-instruction cache worth it, for guests and for guests of guests? Puts measured
// software costs and published trap costs into one table, and says how each published one was
// confirmed.
//
// nested_model PUBLISHED_COSTS.json BENCH_EXIT.json BENCH_WALK.json [--ghz N]
// The last two are what bench_exit and bench_walk print with --benchmark_format=json.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
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

// A figure of others may be used only if it says how far it was confirmed, and where.
void check_provenance(const json& figures) {
  for (const auto& [name, f] : figures.items()) {
    const std::string status = f.at("status");
    if (status != "confirmed" && status != "secondary" && status != "unconfirmed") {
      throw std::runtime_error(fmt::format("{}: status '{}' is not known", name, status));
    }
    if (f.at("where").get<std::string>().empty()) {
      throw std::runtime_error(name + ": 'where' is empty");
    }
  }
}

void print_provenance(const json& figures) {
  size_t confirmed = 0;
  for (const json& f : figures) {
    confirmed += f.at("status") == "confirmed" ? 1 : 0;
  }
  fmt::print("\n## Cited figures\n\n{} of {} were read at their source:\n\n", confirmed,
             figures.size());
  for (const auto& [name, f] : figures.items()) {
    fmt::print("- {}:", name);
    for (const char* unit : {"cycles", "nanoseconds", "traps", "registers"}) {
      if (f.contains(unit)) fmt::print(" {} {}", f.at(unit).get<double>(), unit);
    }
    fmt::print(" [{}]: {}; {}\n", f.at("status").get<std::string>(),
               f.at("citation").get<std::string>(), f.at("where").get<std::string>());
  }
}

int model(const json& published, const json& exits, const json& walks, double ghz) {
  const auto figure = [&](const char* name, const char* field) -> double {
    return published.at("figures").at(name).at(field);
  };
  const auto cycles = [&](double ns) { return ns * ghz; };

  check_provenance(published.at("figures"));

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

  // What an exact cache must compare is what the walk depends on: SCTLR, TCR, MAIR and the TTBR of
  // the PC's half (HalfContext in icache/icache.h). EL and VMID L1 has anyhow.
  constexpr double kContextRegisters = 4;
  const double walk_registers = static_cast<double>(trace.registers.size());
  constexpr double kAddressTranslate = 1;  // AT S12E1R; the read of PAR_EL1 does not trap

  // Of two machines that differ in the traps on registers only, the difference prices such a trap.
  // The plain average would spread the switches between L1 and L2 over them.
  const double v83_vhe = figure("nested_v83_vhe_hypercall", "cycles");
  const double register_trap =
      (v83_vhe - figure("nested_neve_hypercall", "cycles")) /
      (figure("nested_v83_vhe_hypercall", "traps") - figure("nested_neve_hypercall", "traps"));
  const double saved_registers = figure("nested_v83_vhe_saved_registers", "registers");
  const double v83_vhe_late = v83_vhe - 2 * saved_registers * register_trap;
  const auto altra = [&](const char* name) {
    return figure(name, "nanoseconds") * figure(name, "assumed_ghz");
  };

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
        "L1 guest's instruction {:.0f}, of an L2 guest's by L0 {:.0f}.\n\n",
        hit, off, two_dim, nested);
    fmt::print(
        "| exit | traps and switches (cited) | without cache | with cache | saved | share |\n");
    fmt::print("|---|---|---|---|---|---|\n");
    row("L1 guest, in the kernel, VHE", figure("kvm_io_kernel_vhe", "cycles"), hit, off);
    row("L1 guest, in user space, VHE", figure("kvm_io_user_vhe", "cycles"), hit, off);
    row("L1 guest, in the kernel, Ampere Altra", altra("altra_mmio_read_vgic"), hit, off);
    row("L1 guest, in user space, Ampere Altra", altra("altra_mmio_read_user"), hit, off);
    row("L1 guest, in the kernel, split mode", figure("kvm_io_kernel_split", "cycles"), hit, off);
    row("L1 guest, in user space, split mode", figure("kvm_io_user_split", "cycles"), hit, off);
    // The share of the walk that is the nested guest's.
    const double off_l2 = off - two_dim + nested;
    row("L2 guest, L1 emulates, ARMv8.3, no VHE", figure("nested_v83_hypercall", "cycles"), hit,
        off_l2);
    row("L2 guest, L1 emulates, ARMv8.3, VHE, registers saved", v83_vhe, hit, off_l2);
    row("the same, but each register read traps (estimated)", v83_vhe_late,
        hit + kContextRegisters * register_trap, off_l2 + walk_registers * register_trap);
    row("the same, and AT S12E1R instead of a walk (estimated)", v83_vhe_late,
        hit + kContextRegisters * register_trap, off - two_dim + kAddressTranslate * register_trap);
    row("L2 guest, L1 emulates, NEVE (FEAT_NV2)", figure("nested_neve_io", "cycles"), hit, off_l2);
    row("L2 guest, L0 emulates a device passed through", figure("kvm_io_kernel_vhe", "cycles"), hit,
        off_l2);
    fmt::print("\n");
  }

  fmt::print("## Assumptions\n\n");
  fmt::print(
      "- Measured software costs are this host's, at {:.2f} GHz, as cycles; an arm64 core is "
      "taken to need as many.\n",
      ghz);
  fmt::print(
      "- The cited costs hold a little emulation of their own, and in the kernel our code is taken "
      "to need what it needs in user space.\n");
  fmt::print(
      "- A trap of L1 on a register costs {:.0f} cycles: what ARMv8.3 with VHE costs above NEVE, "
      "by "
      "the traps that NEVE avoids. A plain VM's hypercall on that host took {:.0f}.\n",
      register_trap, figure("nested_vm_hypercall", "cycles"));
  fmt::print(
      "- The authors' kernel with VHE, which the cited ARMv8.3 run is taken to be of, saves L2's "
      "registers at each exit, so that reading them costs nothing more. Saved late, as Linux with "
      "VHE does now, {:.0f} reads and as many writes of *_EL12 registers fall away from each exit, "
      "and each read traps.\n",
      saved_registers);
  fmt::print(
      "- To compare contexts in full, the cache reads {:.0f} registers; the walk reads {:.0f}.\n",
      kContextRegisters, walk_registers);
  fmt::print("- AT is charged as one trap; what L0 then does to emulate it is not charged.\n");
  fmt::print(
      "- A nested ARMv8.3 I/O exit costs what the nested hypercall does (its own figure was not "
      "found), and emulation in L1's kernel.\n");
  fmt::print(
      "- Under NEVE reads of the EL1 registers of L2 by L1 are loads from memory: no trap.\n");
  fmt::print(
      "- L1's walk of its own stage 2 is charged as the nested walk of bench_walk, which holds "
      "L0's levels too: an upper bound. L1 drops entries itself when it changes its stage 2.\n");
  fmt::print(
      "- L0 emulates for L2 only what L1 passed through, and its walk of L1's stage 2 at each "
      "abort of L2, which tells whose it is, is not charged.\n");
  fmt::print("- Every exit hits.\n");
  print_provenance(published.at("figures"));
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
