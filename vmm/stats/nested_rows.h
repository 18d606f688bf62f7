// The ledger of nested virtualisation, as rows for reports.
#ifndef TRAPLINE_VMM_STATS_NESTED_ROWS_H_
#define TRAPLINE_VMM_STATS_NESTED_ROWS_H_

#include <vector>

#include "vmm/report/profile.h"
#include "vmm/vcpu/nested_ledger.h"

namespace trapline {

// One for each NestedExit, in its order.
std::vector<NestedRow> nested_rows(const NestedLedger& ledger);

}  // namespace trapline

#endif  // TRAPLINE_VMM_STATS_NESTED_ROWS_H_
