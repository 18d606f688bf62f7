#include "vmm/stats/nested_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

namespace trapline {
namespace {

constexpr unsigned kExits = static_cast<unsigned>(NestedExit::kCount);

std::string name_of_trap(const NestedLedger& ledger, uint32_t what) {
  const auto found = ledger.names.find(what);
  return found != ledger.names.end() ? found->second : fmt::format("{:#x}", what);
}
// "read" or "write" of a register; empty of anything else.
const char* way_of(uint32_t what) {
  const bool is_register = what < kNestedEret && (what >> 14 & 3) >= 2;
  return !is_register ? "" : (what & kNestedWrite) != 0 ? "write" : "read";
}

double each(uint64_t sum, uint64_t exits) {
  return exits == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(exits);
}

}  // namespace

nlohmann::json nested_ledger_json(const NestedLedger& ledger) {
  using nlohmann::json;
  json out = json::object();
  for (unsigned i = 0; i < kExits; ++i) {
    const NestedCounts& c = ledger.exits[i];
    json traps = json::array();
    for (const auto& [key, count] : ledger.traps) {
      if (static_cast<unsigned>(key.first) != i) continue;
      traps.push_back({{"name", name_of_trap(ledger, key.second)},
                       {"access", way_of(key.second)},
                       {"nv", count.nv},
                       {"nv2", count.nv2}});
    }
    out[nested_exit_name(static_cast<NestedExit>(i))] = {{"exits", c.exits},
                                                         {"moved", c.moved},
                                                         {"stays_at_el2", c.stays},
                                                         {"traps_nv", c.traps_nv},
                                                         {"traps_nv2", c.traps_nv2},
                                                         {"erets", c.erets},
                                                         {"tlbis", c.tlbis},
                                                         {"ats", c.ats},
                                                         {"instructions", c.instructions},
                                                         {"traps", traps}};
  }
  return out;
}

std::string nested_ledger_table(const NestedLedger& ledger, bool nv, bool nv2) {
  std::string out = "what nesting would cost: traps to the host an exit of the inner guest\n";
  out += fmt::format("  {:<14}{:>10}{:>7}", "exit", "exits", "moved");
  if (nv) out += fmt::format("{:>9}", "NV");
  if (nv2) out += fmt::format("{:>9}", "NV2");
  out += fmt::format("{:>8}{:>8}{:>8}{:>8}{:>11}\n", "stays", "ERET", "TLBI", "AT", "insns");
  for (unsigned i = 0; i < kExits; ++i) {
    const NestedCounts& c = ledger.exits[i];
    const bool foreign = static_cast<NestedExit>(i) == NestedExit::kForeign;
    if (c.exits == 0 && c.moved == 0 && (!foreign || c.traps_nv == 0)) continue;
    const uint64_t n = foreign ? 1 : c.exits;  // no exits: sums
    out += fmt::format("  {:<14}{:>10}{:>7}", nested_exit_name(static_cast<NestedExit>(i)),
                       foreign ? "in all" : std::to_string(c.exits), c.moved);
    if (nv) out += fmt::format("{:>9.1f}", each(c.traps_nv, n));
    if (nv2) out += fmt::format("{:>9.1f}", each(c.traps_nv2, n));
    out += fmt::format("{:>8.1f}{:>8.1f}{:>8.1f}{:>8.1f}{:>11.0f}\n", each(c.stays, n),
                       each(c.erets, n), each(c.tlbis, n), each(c.ats, n), each(c.instructions, n));
  }

  // Over all exits: the registers and instructions that trap most.
  struct Row {
    uint32_t what;
    NestedTrapCount count;
  };
  std::map<uint32_t, NestedTrapCount> sums;
  for (const auto& [key, count] : ledger.traps) {
    if (key.first == NestedExit::kForeign) continue;
    sums[key.second].nv += count.nv;
    sums[key.second].nv2 += count.nv2;
  }
  std::vector<Row> rows;
  for (const auto& [what, count] : sums) {
    if ((nv ? count.nv : count.nv2) != 0) rows.push_back({what, count});
  }
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    return (nv ? a.count.nv : a.count.nv2) > (nv ? b.count.nv : b.count.nv2);
  });
  constexpr size_t kShown = 20;
  if (rows.size() > kShown) rows.resize(kShown);
  out += fmt::format("  {:<24}", "by register");
  if (nv) out += fmt::format("{:>12}", "NV");
  if (nv2) out += fmt::format("{:>12}", "NV2");
  out += '\n';
  for (const Row& row : rows) {
    out += fmt::format("  {:<24}",
                       fmt::format("{} {}", name_of_trap(ledger, row.what), way_of(row.what)));
    if (nv) out += fmt::format("{:>12}", row.count.nv);
    if (nv2) out += fmt::format("{:>12}", row.count.nv2);
    out += '\n';
  }
  return out;
}

}  // namespace trapline
