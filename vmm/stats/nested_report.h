// The ledger of nested virtualisation, as --nested-ledger prints and writes it.
#ifndef TRAPLINE_VMM_STATS_NESTED_REPORT_H_
#define TRAPLINE_VMM_STATS_NESTED_REPORT_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vmm/vcpu/nested_ledger.h"

namespace trapline {

// The part `nested_ledger` of the statistics.
nlohmann::json nested_ledger_json(const NestedLedger& ledger);
// A table for people, of what FEAT_NV, FEAT_NV2 or both trap: a row an exit class, then the
// registers that cost most.
std::string nested_ledger_table(const NestedLedger& ledger, bool nv, bool nv2);

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_NESTED_REPORT_H_
