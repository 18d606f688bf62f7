#include "vmm/report/nested.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "vmm/report/csv_writer.h"
#include "vmm/report/json_value.h"
#include "vmm/report/summary.h"

namespace trapline {
namespace {

using nlohmann::json;

// The fields of a row that are counts, by their names in the JSON and in CSV.
struct Count {
  const char* name;
  uint64_t NestedRow::*field;
};
constexpr Count kCounts[] = {{"exits", &NestedRow::exits},
                             {"moved", &NestedRow::moved},
                             {"stays_at_el2", &NestedRow::stays},
                             {"traps_nv", &NestedRow::traps_nv},
                             {"traps_nv2", &NestedRow::traps_nv2},
                             {"erets", &NestedRow::erets},
                             {"tlbis", &NestedRow::tlbis},
                             {"ats", &NestedRow::ats},
                             {"instructions", &NestedRow::instructions}};

double each(uint64_t sum, uint64_t exits) {
  return exits == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(exits);
}

void put_exits(std::string& out, const NestedRow& row, bool nv, bool nv2) {
  const uint64_t n = row.foreign() ? 1 : row.exits;  // no exits: sums
  out += fmt::format("  {:<14}{:>10}{:>7}", printable(row.exit),
                     row.foreign() ? "in all" : std::to_string(row.exits), row.moved);
  if (nv) out += fmt::format("{:>9.1f}", each(row.traps_nv, n));
  if (nv2) out += fmt::format("{:>9.1f}", each(row.traps_nv2, n));
  out += fmt::format("{:>8.1f}{:>8.1f}{:>8.1f}{:>8.1f}{:>11.0f}\n", each(row.stays, n),
                     each(row.erets, n), each(row.tlbis, n), each(row.ats, n),
                     each(row.instructions, n));
}

// Over all exits of the inner guest: the registers and instructions that trap most.
std::vector<NestedRow::Trap> dearest(const std::vector<NestedRow>& rows, bool nv, size_t most) {
  std::map<std::pair<std::string, std::string>, NestedRow::Trap> sums;
  for (const NestedRow& row : rows) {
    if (row.foreign()) continue;
    for (const NestedRow::Trap& trap : row.traps) {
      NestedRow::Trap& sum = sums[{trap.name, trap.access}];
      sum.name = trap.name;
      sum.access = trap.access;
      sum.nv += trap.nv;
      sum.nv2 += trap.nv2;
    }
  }
  std::vector<NestedRow::Trap> out;
  const auto of = [nv](const NestedRow::Trap& trap) { return nv ? trap.nv : trap.nv2; };
  for (auto& [key, sum] : sums) {
    if (of(sum) != 0) out.push_back(std::move(sum));
  }
  std::stable_sort(out.begin(), out.end(),
                   [&](const auto& a, const auto& b) { return of(a) > of(b); });
  if (out.size() > most) out.resize(most);
  return out;
}

}  // namespace

json nested_json(const std::vector<NestedRow>& rows) {
  json out = json::object();
  for (const NestedRow& row : rows) {
    json& one = out[row.exit];
    for (const Count& count : kCounts) one[count.name] = row.*count.field;
    one["traps"] = json::array();
    for (const NestedRow::Trap& trap : row.traps) {
      one["traps"].push_back(
          {{"name", trap.name}, {"access", trap.access}, {"nv", trap.nv}, {"nv2", trap.nv2}});
    }
  }
  return out;
}

std::vector<NestedRow> read_nested(const JsonValue& value) {
  std::vector<NestedRow> rows;
  if (!value.present()) return rows;
  value.fields([&](const std::string& exit, const JsonValue& part) {
    NestedRow row;
    row.exit = exit;
    for (const Count& count : kCounts) row.*count.field = part.required(count.name).whole();
    part.required("traps").elements([&](const JsonValue& trap) {
      row.traps.push_back({.name = trap.required("name").text(),
                           .access = trap.required("access").text(),
                           .nv = trap.required("nv").whole(),
                           .nv2 = trap.required("nv2").whole()});
    });
    rows.push_back(std::move(row));
  });
  return rows;
}

std::string nested_text(const std::vector<NestedRow>& rows, bool nv, bool nv2) {
  constexpr size_t kRegisters = 20;
  std::string out = "what nesting would cost: traps to the host an exit of the inner guest\n";
  out += fmt::format("  {:<14}{:>10}{:>7}", "exit", "exits", "moved");
  if (nv) out += fmt::format("{:>9}", "NV");
  if (nv2) out += fmt::format("{:>9}", "NV2");
  out += fmt::format("{:>8}{:>8}{:>8}{:>8}{:>11}\n", "stays", "ERET", "TLBI", "AT", "insns");
  for (const NestedRow& row : rows) {
    if (row.exits != 0 || row.moved != 0 || (row.foreign() && row.traps_nv != 0)) {
      put_exits(out, row, nv, nv2);
    }
  }
  out += fmt::format("  {:<24}", "by register");
  if (nv) out += fmt::format("{:>12}", "NV");
  if (nv2) out += fmt::format("{:>12}", "NV2");
  out += '\n';
  for (const NestedRow::Trap& trap : dearest(rows, nv, kRegisters)) {
    out += fmt::format("  {:<24}", printable(trap.name) + " " + printable(trap.access));
    if (nv) out += fmt::format("{:>12}", trap.nv);
    if (nv2) out += fmt::format("{:>12}", trap.nv2);
    out += '\n';
  }
  return out;
}

std::string nested_csv(const std::vector<Profile>& profiles) {
  std::string out = "file,exit,name,access,nv,nv2";
  for (const Count& count : kCounts) out += fmt::format(",{}", count.name);
  out += "\r\n";
  for (const Profile& profile : profiles) {
    for (const NestedRow& row : profile.nested) {
      const std::string start = csv_field(profile.file) + "," + csv_field(row.exit);
      out += fmt::format("{},,,{},{}", start, row.traps_nv, row.traps_nv2);
      for (const Count& count : kCounts) out += fmt::format(",{}", row.*count.field);
      out += "\r\n";
      for (const NestedRow::Trap& trap : row.traps) {
        out += fmt::format("{},{},{},{},{}", start, csv_field(trap.name), csv_field(trap.access),
                           trap.nv, trap.nv2);
        out.append(std::size(kCounts), ',');
        out += "\r\n";
      }
    }
  }
  return out;
}

}  // namespace trapline
