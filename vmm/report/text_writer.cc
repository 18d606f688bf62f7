#include "vmm/report/text_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "vmm/report/nested.h"
#include "vmm/report/summary.h"

namespace trapline {
namespace {

constexpr size_t kHottest = 40;
constexpr size_t kRegisters = 30;
constexpr size_t kDifferences = 30;

double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

std::string cut(const std::string& text, size_t width) {
  const std::string clean = printable(text);
  return clean.size() <= width ? clean : clean.substr(0, width - 2) + "..";
}

struct Totals {
  double count = 0, cost_ns = 0;
};

Totals totals(const std::vector<Group>& groups) {
  Totals sum;
  for (const Group& group : groups) {
    sum.count += static_cast<double>(group.row.count);
    sum.cost_ns += group.cost_ns;
  }
  return sum;
}

class Text {
 public:
  template <typename... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    out_ += '\n';
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

void put_head(Text& text, const Profile& p) {
  text.line("{}: {}", printable(p.file), printable(p.source));
  const TimeShares shares = time_shares(p);
  std::string split;
  if (shares.guest + shares.exit + shares.idle > 0) {
    split = fmt::format(", vCPU time: guest {:.2f} %, exit handling {:.2f} %, idle {:.2f} %",
                        100 * shares.guest, 100 * shares.exit, 100 * shares.idle);
  }
  text.line("{} exits in {}{}{}", format_count(p.exits()), format_ns(p.duration_ns), split,
            p.timed_every > 1 ? fmt::format("; one exit in {} timed", p.timed_every) : "");
  for (const std::string& note : p.notes) text.line("note: {}", printable(note));
}

void put_times(Text& text, const char* heading, size_t width, const std::vector<Group>& groups,
               size_t most) {
  const Totals sum = totals(groups);
  text.line("");
  text.line("{:>{}} {:>10} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}", heading, width,
            "Samples", "Samples%", "Time%", "Min Time", "Max Time", "Avg time", "p50", "p99",
            "p99.9");
  for (size_t i = 0; i < std::min(groups.size(), most); ++i) {
    const ProfileRow& row = groups[i].row;
    const Distribution& time = row.time;
    // One register's name may be of two classes.
    const bool full = !row.other && !row.key.device.empty();
    text.line("{:>{}} {:>10} {:>7.2f}% {:>7.2f}% {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
              cut(full ? full_label(row.key) : groups[i].label, width), width,
              format_count(row.count), percent(static_cast<double>(row.count), sum.count),
              percent(groups[i].cost_ns, sum.cost_ns), format_ns(time.min_ns),
              format_ns(time.max_ns), format_ns(time.mean_ns()), format_ns(time.quantile_ns(0.5)),
              format_ns(time.quantile_ns(0.99)), format_ns(time.quantile_ns(0.999)));
  }
  if (groups.size() > most) text.line("{:>{}} ({} more)", "...", width, groups.size() - most);
}

// Where the time of a class goes; sleep is a column of its own.
void put_stages(Text& text, const std::vector<Group>& classes) {
  bool any = false;
  for (const Group& group : classes) {
    std::string parts;
    for (const auto& [name, ns] : group.row.stages_ns) {
      if (group.row.time.count == 0 || ns <= 0) continue;
      parts += fmt::format("  {} {}", printable(name),
                           format_ns(ns / static_cast<double>(group.row.time.count)));
    }
    if (group.row.sleep_ns > 0) parts += "  asleep, in all " + format_ns(group.row.sleep_ns);
    if (group.row.to_user > 0) parts += "  to user space " + format_count(group.row.to_user);
    if (parts.empty()) continue;
    if (!std::exchange(any, true)) {
      text.line("");
      text.line("stages, on average of a timed exit");
    }
    text.line("  {:<10}{}", cut(group.label, 10), parts);
  }
}

void put_hottest(Text& text, const Profile& p) {
  const std::vector<Group> groups = group_rows(p, GroupBy::kInstruction);
  const Totals sum = totals(groups);
  text.line("");
  text.line("hottest instructions, by cost");
  text.line("  {:>8} {:>9} {:>10} {:>8} {:>9} {:>9} {:>9}  {:<32} {:<24} {}", "cost", "Time%",
            "count", "count%", "p50", "p99", "max", "class device register", "instruction",
            "symbol");
  for (size_t i = 0; i < std::min(groups.size(), kHottest); ++i) {
    const ProfileRow& row = groups[i].row;
    std::string key = full_label(row.key);
    if (row.isv == ProfileRow::Isv::kInvalid) key += " ISV=0";
    text.line("  {:>8} {:>8.2f}% {:>10} {:>7.2f}% {:>9} {:>9} {:>9}  {:<32} {:<24} {}",
              format_ns(groups[i].cost_ns), percent(groups[i].cost_ns, sum.cost_ns),
              format_count(row.count), percent(static_cast<double>(row.count), sum.count),
              format_ns(row.time.quantile_ns(0.5)), format_ns(row.time.quantile_ns(0.99)),
              format_ns(row.time.max_ns), cut(key, 40), cut(row.text, 40),
              cut(groups[i].label, 100));
  }
  if (groups.size() > kHottest) {
    text.line("  ... {} more (--format csv has all)", groups.size() - kHottest);
  }
}

void put_rest(Text& text, const Profile& p) {
  text.line("");
  for (const VcpuTime& time : p.vcpus) {
    text.line("vCPU {}: guest {}, exit handling {}, idle {}", time.vcpu, format_ns(time.guest_ns),
              format_ns(time.exit_ns), format_ns(time.idle_ns));
  }
  for (const auto& [name, latency] : p.latencies) {
    text.line("latency {}: {} times, p50 {}, p90 {}, p99 {}, p99.9 {}, max {}", printable(name),
              format_count(latency.count), format_ns(latency.quantile_ns(0.5)),
              format_ns(latency.quantile_ns(0.9)), format_ns(latency.quantile_ns(0.99)),
              format_ns(latency.quantile_ns(0.999)), format_ns(latency.max_ns));
  }
  const auto put_counts = [&](const char* what, const std::map<std::string, uint64_t>& counts) {
    std::string parts;
    for (const auto& [name, count] : counts) {
      parts +=
          fmt::format("{} {} {}", parts.empty() ? "" : ",", format_count(count), printable(name));
    }
    if (!parts.empty()) text.line("{}:{}", what, parts);
  };
  put_counts("icache", p.icache);
  put_counts("counters", p.counters);
}

void put_nested(Text& text, const Profile& p) {
  if (p.nested.empty()) return;
  text.line("");
  const std::string table = nested_text(p.nested, true, true);
  text.line("{}", std::string_view(table).substr(0, table.size() - 1));
}

void put_differences(Text& text, const char* what, const std::vector<Difference>& differences) {
  text.line("");
  text.line("{}, by change of cost", what);
  text.line("  {:>10} {:>10} {:>10} {:>11} {:>11} {:>11}  {}", "cost A", "cost B", "change",
            "count A", "count B", "change", "of");
  for (size_t i = 0; i < std::min(differences.size(), kDifferences); ++i) {
    const Difference& d = differences[i];
    std::string of = d.label;
    if (!d.text.empty()) of += "  " + d.text;
    text.line("  {:>10} {:>10} {:>10} {:>11} {:>11} {:>+11.0f}  {}", format_ns(d.cost_ns[0]),
              format_ns(d.cost_ns[1]),
              (d.cost_change() > 0 ? "+" : "") + format_ns(d.cost_change()),
              format_count(d.count[0]), format_count(d.count[1]), d.count_change(), cut(of, 100));
  }
  if (differences.size() > kDifferences) {
    text.line("  ... {} more", differences.size() - kDifferences);
  }
}

}  // namespace

std::string write_text(const Profile& p) {
  Text text;
  const std::vector<Group> classes = group_rows(p, GroupBy::kClass);
  put_head(text, p);
  put_times(text, "VM-EXIT", 12, classes, classes.size());
  put_times(text, "register", 36, group_rows(p, GroupBy::kRegister), kRegisters);
  put_stages(text, classes);
  put_hottest(text, p);
  put_rest(text, p);
  put_nested(text, p);
  return text.take();
}

std::string write_text(const Profile& a, const Profile& b) {
  Text text;
  for (const Profile* p : {&a, &b}) {
    text.line("{}:", p == &a ? "A" : "B");
    put_head(text, *p);
    const std::vector<Group> classes = group_rows(*p, GroupBy::kClass);
    put_times(text, "VM-EXIT", 12, classes, classes.size());
    put_nested(text, *p);
    text.line("");
  }
  put_differences(text, "classes", compare(a, b, GroupBy::kClass));
  put_differences(text, "registers", compare(a, b, GroupBy::kRegister));
  put_differences(text, "instructions", compare(a, b, GroupBy::kInstruction));
  return text.take();
}

}  // namespace trapline
