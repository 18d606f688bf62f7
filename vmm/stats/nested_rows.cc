#include "vmm/stats/nested_rows.h"

#include <fmt/format.h>

#include <iterator>

namespace trapline {
namespace {

std::string name_of_trap(const NestedLedger& ledger, uint32_t what) {
  const auto found = ledger.names.find(what);
  return found != ledger.names.end() ? found->second : fmt::format("{:#x}", what);
}
// "read" or "write" of a register; empty of anything else.
const char* way_of(uint32_t what) {
  const bool is_register = what < kNestedEret && (what >> 14 & 3) >= 2;
  return !is_register ? "" : (what & kNestedWrite) != 0 ? "write" : "read";
}

}  // namespace

std::vector<NestedRow> nested_rows(const NestedLedger& ledger) {
  std::vector<NestedRow> rows;
  for (unsigned i = 0; i < std::size(ledger.exits); ++i) {
    const NestedCounts& c = ledger.exits[i];
    rows.push_back({.exit = nested_exit_name(static_cast<NestedExit>(i)),
                    .exits = c.exits,
                    .moved = c.moved,
                    .stays = c.stays,
                    .traps_nv = c.traps_nv,
                    .traps_nv2 = c.traps_nv2,
                    .erets = c.erets,
                    .tlbis = c.tlbis,
                    .ats = c.ats,
                    .instructions = c.instructions,
                    .traps = {}});
  }
  for (const auto& [key, count] : ledger.traps) {
    rows[static_cast<unsigned>(key.first)].traps.push_back(
        {.name = name_of_trap(ledger, key.second),
         .access = way_of(key.second),
         .nv = count.nv,
         .nv2 = count.nv2});
  }
  return rows;
}

}  // namespace trapline
