// The ledger of nested virtualisation, as a run prints it and a report shows it.
#ifndef TRAPLINE_VMM_REPORT_NESTED_H_
#define TRAPLINE_VMM_REPORT_NESTED_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vmm/report/profile.h"

namespace trapline {

class JsonValue;

// The part `nested_ledger` of the statistics, and what it says.
nlohmann::json nested_json(const std::vector<NestedRow>& rows);
std::vector<NestedRow> read_nested(const JsonValue& value);

// A table for people, of what FEAT_NV, FEAT_NV2 or both trap: a row an exit class, then the
// registers that cost most.
std::string nested_text(const std::vector<NestedRow>& rows, bool nv, bool nv2);
// A line an exit class and register, and one an exit class with its sums.
std::string nested_csv(const std::vector<Profile>& profiles);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_NESTED_H_
