#include "vmm/cli/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "decode/capstone_adapter.h"
#include "vmm/cli/run.h"
#include "vmm/host/output_file.h"
#include "vmm/stats/report.h"
#include "vmm/trace/replay.h"
#include "vmm/vcpu/host_clock.h"

namespace trapline {

int replay_command(const ReplayCommandOptions& options) {
  auto reader = trace::Reader::open(options.file);
  if (!reader) return fail(reader.error());
  const trace::Configuration& recorded = reader->configuration();
  const std::string& decoder = options.decoder.empty() ? recorded.decoder : options.decoder;
  const std::string& icache = options.icache.empty() ? recorded.icache : options.icache;
  trace::ReplayOptions how = trace::ReplayOptions::named(decoder, icache);
  if (how.decoder == DecoderChoice::kCapstone) {
    const std::string missing = CapstoneDecoder::missing();
    if (!missing.empty()) return fail("--decoder capstone: " + missing + "; use native");
  }
  if (!options.stats.empty()) {
    if (std::string error = check_output(options.stats); !error.empty()) return fail(error);
  }
  const uint64_t start_ns = steady_ns(), start_cycles = host_cycles();
  trace::ReplayResult result;
  const auto ns_per_cycle = [&] {
    return static_cast<double>(steady_ns() - start_ns) /
           static_cast<double>(host_cycles() - start_cycles);
  };
  uint64_t best_cycles = ~uint64_t{0};
  for (unsigned pass = 0; pass < options.repeat; ++pass) {
    auto once = trace::replay(*reader, how);
    if (!once) return fail(once.error());
    best_cycles = std::min(best_cycles, once->handle_cycles);
    if (pass == 0) result = std::move(*once);
  }
  const double exits = result.exits == 0 ? 1 : static_cast<double>(result.exits);
  const double per_exit = static_cast<double>(best_cycles) * ns_per_cycle() / exits;
  std::string text = fmt::format(
      "{}: {} exits of {} vCPUs, recorded with --icache {} --decoder {} --isv {}\n"
      "replayed with --icache {} --decoder {}: {} differ\n"
      "  icache: {} hits, {} misses, {} invalidations; {} words decoded\n"
      "  {:.1f} ns an exit (best of {}; the clock's own two reads included)\n",
      options.file, result.exits, recorded.cpus, recorded.icache, recorded.decoder, recorded.isv,
      name_of(how.icache), decoder, result.differing, result.icache.hits, result.icache.misses,
      result.icache.invalidations, result.counters.counters.decode_ok, per_exit, options.repeat);
  if (result.maintenance != 0) {
    text += fmt::format("  TLB and instruction cache maintenance: {} operations of the guest\n",
                        result.maintenance);
  }
  for (const trace::Difference& d : result.differences) {
    text += fmt::format("  vCPU {} exit {} at pc {:#x}: {}\n", d.vcpu, d.exit, d.pc, d.what);
  }
  if (result.not_compared != 0) {
    text += fmt::format(
        "  {} exits were not compared: a second without progress ended them, or another CPU's "
        "TLBI or write came between\n",
        result.not_compared);
  }
  std::fputs(text.c_str(), stdout);

  if (!options.stats.empty()) {
    // Stages cost the exits around them: a pass of its own.
    how.timed = true;
    auto timed = trace::replay(*reader, how);
    if (!timed) return fail(timed.error());
    RunReport report;
    report.total.merge(timed->counters);
    report.latency = std::move(timed->latency);
    report.icache = timed->icache;
    report.wall_seconds = static_cast<double>(steady_ns() - start_ns) / 1e9;
    report.ns_per_cycle = ns_per_cycle();
    report.cpus = recorded.cpus;
    report.icache_policy = name_of(how.icache);
    report.decoder = decoder;
    report.backend = "replay";
    report.clock = recorded.icount ? "icount" : "host";
    std::string error = write_output(options.stats, report_json(report).dump(2) + "\n");
    if (!error.empty()) return fail(error);
  }
  if (result.differing != 0) {
    return fail(
        fmt::format("{}: {} exits differ from the recording", options.file, result.differing));
  }
  return result.cut_off.empty() ? 0 : fail(result.cut_off);
}

}  // namespace trapline
