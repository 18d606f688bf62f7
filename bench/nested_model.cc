// When is a decoded-instruction cache worth it, for guests and for guests of guests? Puts measured
// software costs and published trap costs into one table, and says how each published one was
// confirmed.
//
// nested_model [PUBLISHED_COSTS.json [BENCH_EXIT.json BENCH_WALK.json]] [--repetitions N] [--ghz N]
// The last two files are what bench_exit and bench_walk print with --benchmark_format=json, better
// with --benchmark_repetitions=N. Without them the model runs the two, which stand beside it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/nested_trace.h"
#include "bench/walk_rig.h"

namespace trapline::bench {
namespace {

using nlohmann::json;

// The library writes NaN where a counter's variation is 0/0, which JSON does not know.
json parse(std::string text) {
  for (const char* word : {": NaN", ": -NaN", ": Infinity", ": -Infinity"}) {
    const size_t length = std::string_view(word).size();
    for (size_t at = 0; (at = text.find(word, at)) != std::string::npos;) {
      text.replace(at, length, ": null");
    }
  }
  return json::parse(text);
}

json load(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot read " + path);
  return parse({std::istreambuf_iterator<char>(in), {}});
}

// What `program`, beside ours, prints of the benchmarks that `filter` names.
json run(const std::string& directory, const char* program, const char* filter,
         unsigned repetitions) {
  const std::string command = fmt::format(
      "'{}/{}' --benchmark_format=json --benchmark_repetitions={} "
      "--benchmark_enable_random_interleaving=true --benchmark_filter='{}' 2> /dev/null",
      directory, program, repetitions, filter);
  fmt::print(stderr, "nested_model: {} runs\n", program);
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error(std::string("cannot run ") + program);
  std::string text;
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
  if (pclose(pipe) != 0) {
    throw std::runtime_error(
        fmt::format("{}/{} failed: build it, or name its JSON", directory, program));
  }
  return parse(std::move(text));
}

// A figure, and between what it lies.
struct Range {
  double mid = 0, low = 0, high = 0;
};
Range operator*(const Range& a, double by) { return {a.mid * by, a.low * by, a.high * by}; }
Range operator+(const Range& a, const Range& b) {
  return {a.mid + b.mid, a.low + b.low, a.high + b.high};
}
// Of costs, of which the smaller is a part of the larger: never below 0.
Range operator-(const Range& a, const Range& b) {
  return {std::max(0.0, a.mid - b.mid), std::max(0.0, a.low - b.high), a.high - b.low};
}

// Why the measurement should be repeated: one line, or none.
class Doubts {
 public:
  void add(const std::string& reason) {
    if (std::find(reasons_.begin(), reasons_.end(), reason) == reasons_.end()) {
      reasons_.push_back(reason);
    }
  }
  void print() const {
    if (reasons_.empty()) return;
    fmt::print(stderr, "nested_model: warning: {}: measure again, on an idle machine\n",
               fmt::join(reasons_, "; "));
  }

 private:
  std::vector<std::string> reasons_;
};

// The machine's load when the measurement began, in units of its CPUs; 0 if unknown.
double load_of(const json& runs) {
  const json context = runs.value("context", json::object());
  const json load = context.value("load_avg", json::array());
  if (load.empty() || !context.contains("num_cpus")) return 0;
  return load.at(0).get<double>() / context.at("num_cpus").get<double>();
}

// Nanoseconds of a benchmark: the median of its repetitions and the middle half of them; of a swept
// one each repetition counts by the median of its iterations.
Range measured(const json& runs, const std::string& name, bool swept, Doubts& doubts) {
  constexpr double kMostWaiting = 1.1;
  const double most_spread = swept ? 0.3 : 0.1;
  std::vector<double> samples;
  for (const json& run : runs.at("benchmarks")) {
    const std::string run_name = run.at("name");
    const bool same = run_name == name || run_name.rfind(name + "/iterations:", 0) == 0;
    if (!same || run.value("run_type", "iteration") != "iteration") continue;
    samples.push_back(run.at(swept ? "median_ns" : "cpu_time"));
    if (!swept && run.value("real_time", 0.0) > kMostWaiting * samples.back()) {
      doubts.add("others took the CPU (real time exceeds CPU time)");
    }
  }
  if (samples.empty()) throw std::runtime_error("no benchmark " + name);
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  const Range range{(samples[(n - 1) / 2] + samples[n / 2]) / 2, samples[n / 4],
                    samples[n - 1 - n / 4]};
  if (n == 1) doubts.add("no interval from one repetition (--benchmark_repetitions=5)");
  if (range.high - range.low > most_spread * range.mid) {
    doubts.add(
        fmt::format("{} varies by {:.0f} %", name, 100 * (range.high - range.low) / range.mid));
  }
  return range;
}

// Two significant digits: no figure here is known better.
std::string rounded(double value) {
  if (value == 0) return "0";
  const double unit = std::pow(10, std::floor(std::log10(std::fabs(value))) - 1);
  return fmt::format("{:.0f}", std::round(value / unit) * unit);
}

std::string text(const Range& range) {
  const std::string low = rounded(range.low), high = rounded(range.high);
  return low == high ? low : low + " to " + high;
}

std::string percent(double low, double high) {
  const auto one = [](double value) {
    const double magnitude = std::fabs(value);
    if (magnitude < 0.05) return std::string("0");
    return magnitude < 1 ? fmt::format("{:.1f}", value) : fmt::format("{:.0f}", value);
  };
  const std::string from = one(low), to = one(high);
  return (from == to ? from : from + " to " + to) + " %";
}

// A cited cost in cycles. Its source bounds it by a factor each way, common to all figures of the
// source, so that differences of two scale by it, too.
struct Cited {
  double cycles = 0, least_factor = 1, most_factor = 1;
  Range range() const { return {cycles, cycles * least_factor, cycles * most_factor}; }
};

// What our software does in an exit, and the traps on registers that it takes with it, which scale
// as the cited cost does.
struct Software {
  Range cycles;
  double traps = 0;
  Range total(const Cited& cited) const {
    return cycles + Range{traps, traps * cited.least_factor, traps * cited.most_factor};
  }
};

void row(const char* who, const Cited& cited, const Software& with, const Software& without) {
  double share_low = 1e9, share_high = -1e9, saved_low = 1e18, saved_high = -1e18;
  for (const double factor : {cited.least_factor, cited.most_factor}) {
    for (const auto& [off, hit] : {std::pair{without.cycles.low, with.cycles.high},
                                   std::pair{without.cycles.high, with.cycles.low}}) {
      const double total_off = off + without.traps * factor;
      const double saved = total_off - hit - with.traps * factor;
      const double share = 100 * saved / (cited.cycles * factor + total_off);
      share_low = std::min(share_low, share);
      share_high = std::max(share_high, share);
      saved_low = std::min(saved_low, saved);
      saved_high = std::max(saved_high, saved);
    }
  }
  fmt::print("| {} | {} | {} | {} | {} | {} |\n", who, text(cited.range()),
             text(without.total(cited)), text(with.total(cited)), text({0, saved_low, saved_high}),
             percent(share_low, share_high));
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

// What `status` lets us believe: a figure that was not read at its source holds to its order of
// magnitude.
Cited cited(const json& figures, const char* name) {
  constexpr double kSecondHand = 3;
  const json& f = figures.at(name);
  Cited result;
  if (f.contains("cycles")) {
    result.cycles = f.at("cycles");
  } else {
    const double ghz = f.at("assumed_ghz");
    result.cycles = f.at("nanoseconds").get<double>() * ghz;
    if (f.contains("ghz_range")) {
      result.least_factor = f.at("ghz_range").at(0).get<double>() / ghz;
      result.most_factor = f.at("ghz_range").at(1).get<double>() / ghz;
    }
  }
  if (f.at("status") != "confirmed") {
    result.least_factor /= kSecondHand;
    result.most_factor *= kSecondHand;
  }
  return result;
}

int model(const json& published, const json& exits, const json& walks, double ghz) {
  const json& figures = published.at("figures");
  const auto figure = [&](const char* name, const char* field) -> double {
    return figures.at(name).at(field);
  };
  const auto cost = [&](const char* name) { return cited(figures, name); };
  Doubts doubts;
  const double load = std::max(load_of(exits), load_of(walks));
  if (load > 1) doubts.add(fmt::format("the machine was busy (load {:.1f} a CPU)", load));

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
  const Cited v83_vhe_cited = cost("nested_v83_vhe_hypercall");
  Cited late = v83_vhe_cited;
  late.cycles -= 2 * saved_registers * register_trap;

  for (const bool swept : {false, true}) {
    const char* end = swept ? "/swept" : "/hot";
    const auto cycles = [&](const json& runs, const std::string& name) {
      return measured(runs, name + end, swept, doubts) * ghz;
    };
    const Range hit = cycles(exits, "Exit/isv0/recheck/native/hit");
    const Range off = cycles(exits, "Exit/isv0/off/native/miss");
    // L1's own walk finds L2's tables and its own: more than a plain guest's, by as much as the
    // bench says; L0's part of it is done by hardware.
    const Range two_dim = cycles(walks, "Walk/two_dim");
    const Range nested = cycles(walks, "Walk/nested");

    fmt::print("## {}\n\n",
               swept ? "Host caches swept before each exit" : "Everything in the host's caches");
    fmt::print(
        "Measured, in cycles: exit in the VMM with a hit {}, without a cache {}; fetch of an L1 "
        "guest's instruction {}, of an L2 guest's by L0 {}.\n\n",
        text(hit), text(off), text(two_dim), text(nested));
    fmt::print(
        "| exit, in cycles | traps and switches (cited) | VMM without cache | with cache | saved | "
        "share of the exit |\n|---|---|---|---|---|---|\n");
    const auto plain = [&](const char* who, const char* name) {
      row(who, cost(name), {hit}, {off});
    };
    plain("L1 guest, in the kernel, VHE", "kvm_io_kernel_vhe");
    plain("L1 guest, in user space, VHE", "kvm_io_user_vhe");
    plain("L1 guest, in the kernel, Ampere Altra", "altra_mmio_read_vgic");
    plain("L1 guest, in user space, Ampere Altra", "altra_mmio_read_user");
    plain("L1 guest, in the kernel, split mode", "kvm_io_kernel_split");
    plain("L1 guest, in user space, split mode", "kvm_io_user_split");
    // The share of the walk that is the nested guest's.
    const Range off_l2 = off + (nested - two_dim);
    row("L2 guest, L1 emulates, ARMv8.3, no VHE", cost("nested_v83_hypercall"), {hit}, {off_l2});
    row("L2 guest, L1 emulates, ARMv8.3, VHE, registers saved", v83_vhe_cited, {hit}, {off_l2});
    const Software hit_late{hit, kContextRegisters * register_trap};
    row("the same, but each register read traps (estimated)", late, hit_late,
        {off_l2, walk_registers * register_trap});
    row("the same, and AT S12E1R instead of a walk (estimated)", late, hit_late,
        {off - two_dim, kAddressTranslate * register_trap});
    row("L2 guest, L1 emulates, NEVE (FEAT_NV2)", cost("nested_neve_io"), {hit}, {off_l2});
    row("L2 guest, L0 emulates a device passed through", cost("kvm_io_kernel_vhe"), {hit},
        {off_l2});
    fmt::print("\n");
  }

  fmt::print("## Assumptions\n\n");
  fmt::print(
      "- A range of measured costs is the middle half of the repetitions.\n"
      "- A cited figure that was not read at its source is good to its order of magnitude: a third "
      "of it to three times it, the same way for all figures of a source. Where a source gives "
      "nanoseconds and no clock, the range is over the clocks that the processor is sold with. No "
      "more than two digits are printed.\n");
  fmt::print(
      "- Measured software costs are this host's, at {:.1f} GHz, as cycles; an arm64 core is "
      "taken to need as many.\n",
      ghz);
  fmt::print(
      "- The cited costs hold a little emulation of their own, and in the kernel our code is taken "
      "to need what it needs in user space.\n");
  fmt::print(
      "- A trap of L1 on a register costs some {} cycles: what ARMv8.3 with VHE costs above NEVE, "
      "by "
      "the traps that NEVE avoids. A plain VM's hypercall on that host took {}.\n",
      rounded(register_trap), rounded(figure("nested_vm_hypercall", "cycles")));
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
  std::fflush(stdout);
  doubts.print();
  return 0;
}

}  // namespace
}  // namespace trapline::bench

int main(int argc, char** argv) {
  double ghz = 0;
  unsigned repetitions = 5;
  std::vector<std::string> files;
  bool good = true;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--ghz" && i + 1 < argc) {
      good = (ghz = std::atof(argv[++i])) > 0 && good;
    } else if (word == "--repetitions" && i + 1 < argc) {
      repetitions = static_cast<unsigned>(std::atoi(argv[++i]));
      good = repetitions >= 1 && repetitions <= 1000 && good;
    } else {
      good = !word.starts_with("-") && good;
      files.push_back(word);
    }
  }
  if (!good || files.size() == 2 || files.size() > 3) {
    fmt::print(stderr,
               "usage: nested_model [PUBLISHED_COSTS.json [BENCH_EXIT.json BENCH_WALK.json]] "
               "[--repetitions N] [--ghz N]\n");
    return 1;
  }
  using namespace trapline::bench;
  try {
    const json published = load(files.empty() ? TRAPLINE_PUBLISHED_COSTS : files[0]);
    const std::string self = argv[0];
    const size_t slash = self.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : self.substr(0, slash);
    const json exits =
        files.size() == 3
            ? load(files[1])
            : run(directory, "bench_exit",
                  "^Exit/isv0/(recheck/native/hit|off/native/miss)/(hot|swept)", repetitions);
    const json walks = files.size() == 3 ? load(files[2])
                                         : run(directory, "bench_walk",
                                               "^Walk/(two_dim|nested)/(hot|swept)", repetitions);
    if (ghz == 0) ghz = exits.at("context").at("mhz_per_cpu").get<double>() / 1000;
    return model(published, exits, walks, ghz);
  } catch (const std::exception& error) {
    fmt::print(stderr, "nested_model: {}\n", error.what());
    return 1;
  }
}
