// The ledger of nested virtualisation, as --nested-ledger prints and writes it.
#ifndef TRAPLINE_VMM_STATS_NESTED_REPORT_H_
#define TRAPLINE_VMM_STATS_NESTED_REPORT_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vmm/config/options.h"
#include "vmm/vcpu/nested_ledger.h"

namespace trapline {

// The part `nested_ledger` of the statistics.
nlohmann::json nested_ledger_json(const NestedLedger& ledger);
// A table for people, of what `shown` says: a row an exit class, then the registers that cost most.
std::string nested_ledger_table(const NestedLedger& ledger, NestedLedgerChoice shown);

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_NESTED_REPORT_H_
