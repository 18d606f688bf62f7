// A profile as the part `profile` of a statistics file, so that it can be read again.
#ifndef TRAPLINE_VMM_REPORT_JSON_WRITER_H_
#define TRAPLINE_VMM_REPORT_JSON_WRITER_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vmm/report/profile.h"

namespace trapline {

// docs/statistics.md: "A distribution".
nlohmann::json distribution_json(const Distribution& distribution);
// The part `profile`.
nlohmann::json profile_part_json(const Profile& profile);
// {"schema", "source", "profile"}. Single events are not in it: sums are all that it has.
std::string write_json(const Profile& profile);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_JSON_WRITER_H_
