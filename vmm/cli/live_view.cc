#include "vmm/cli/live_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace trapline {
namespace {

constexpr double kNsPerS = 1e9;

struct Row {
  std::string name;
  double count;  // a second, or in all
  double share;  // of a CPU's time
  const Distribution* time;
};

double p99(const Row& row) { return row.time->quantile_ns(0.99); }

std::vector<Row> rows_of(const std::map<std::string, LiveCount>& counts, const LiveSample& sample,
                         const LiveViewOptions& options) {
  std::vector<Row> rows;
  const double scale = options.rates && sample.wall_s > 0 ? 1 / sample.wall_s : 1;
  const double wall_ns = sample.wall_s * kNsPerS;
  for (const auto& [name, count] : counts) {
    if (count.count == 0) continue;
    const auto n = static_cast<double>(count.count);
    rows.push_back(
        {name, n * scale, wall_ns > 0 ? count.time.mean_ns() * n / wall_ns : 0, &count.time});
  }
  const auto before = [&](const Row& a, const Row& b) {
    switch (options.order) {
      case LiveOrder::kCount:
        return a.count > b.count;
      case LiveOrder::kTime:
        return a.share > b.share;
      case LiveOrder::kLatency:
        return p99(a) > p99(b);
      case LiveOrder::kName:
        return false;  // as they come
    }
    return false;
  };
  std::stable_sort(rows.begin(), rows.end(), before);
  return rows;
}

std::string time_text(double ns) {
  if (ns < 1e4) return fmt::format("{:.0f}ns", ns);
  if (ns < 1e7) return fmt::format("{:.1f}us", ns / 1e3);
  if (ns < 1e10) return fmt::format("{:.1f}ms", ns / 1e6);
  return fmt::format("{:.1f}s", ns / 1e9);
}

std::string row_text(const Row& row) {
  std::string line =
      fmt::format("{:<32.32} {:>12.0f} {:>6.2f}%", row.name, row.count, 100 * row.share);
  if (row.time->count == 0)
    return line + fmt::format(" {:>9} {:>9} {:>9} {:>9}", "-", "-", "-", "-");
  for (const double q : {0.5, 0.9, 0.99}) {
    line += fmt::format(" {:>9}", time_text(row.time->quantile_ns(q)));
  }
  return line + fmt::format(" {:>9}", time_text(row.time->max_ns));
}

std::string heading(const char* what, bool rates) {
  return fmt::format("{:<32} {:>12} {:>7} {:>9} {:>9} {:>9} {:>9}", what,
                     rates ? "EXITS/s" : "EXITS", "CPU", "p50", "p90", "p99", "max");
}

}  // namespace

const char* order_name(LiveOrder order) {
  static constexpr const char* kNames[] = {"count", "time", "p99", "name"};
  return kNames[static_cast<size_t>(order)];
}

std::vector<std::string> live_view(const std::string& title, const LiveSample& sample,
                                   const LiveViewOptions& options) {
  std::vector<std::string> lines{title};
  const double scale = options.rates && sample.wall_s > 0 ? 1 / sample.wall_s : 1;
  const char* per = options.rates ? "/s" : "";
  lines.push_back(fmt::format("exits{} {:.0f}   instructions{} {:.1f} million", per,
                              static_cast<double>(sample.exits) * scale, per,
                              static_cast<double>(sample.instructions) * scale / 1e6));
  lines.emplace_back();
  lines.push_back(fmt::format("{:<6} {:<6} {:>8} {:>8} {:>8} {:>12}", "VCPU", "STATE", "GUEST",
                              "EXITS", "IDLE", options.rates ? "EXITS/s" : "EXITS"));
  for (size_t i = 0; i < sample.vcpus.size(); ++i) {
    const LiveVcpu& vcpu = sample.vcpus[i];
    const double all = vcpu.guest_ns + vcpu.exit_ns + vcpu.idle_ns;
    const auto percent = [all](double ns) { return all > 0 ? 100 * ns / all : 0; };
    lines.push_back(fmt::format("{:<6} {:<6} {:>7.1f}% {:>7.1f}% {:>7.1f}% {:>12.0f}", i,
                                vcpu.state, percent(vcpu.guest_ns), percent(vcpu.exit_ns),
                                percent(vcpu.idle_ns), static_cast<double>(vcpu.exits) * scale));
  }
  lines.emplace_back();
  lines.push_back(heading("CLASS", options.rates));
  for (const Row& row : rows_of(sample.classes, sample, options)) lines.push_back(row_text(row));
  lines.emplace_back();
  lines.push_back(heading("REGISTER", options.rates));
  for (const Row& row : rows_of(sample.registers, sample, options)) {
    if (lines.size() >= options.most_lines) break;
    lines.push_back(row_text(row));
  }
  lines.resize(std::min(lines.size(), options.most_lines));
  return lines;
}

std::string duration_text(double seconds) {
  const auto s = static_cast<uint64_t>(std::clamp(seconds, 0.0, 1e12));
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

double number_of(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return 0;
  const auto at = object.find(key);
  return at != object.end() && at->is_number() ? at->get<double>() : 0;
}

std::string text_of(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return "?";
  const auto at = object.find(key);
  if (at == object.end() || !at->is_string()) return "?";
  std::string text = at->get<std::string>();
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

}  // namespace trapline
