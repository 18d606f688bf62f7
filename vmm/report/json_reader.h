// The part `profile` of a statistics file (docs/statistics.md), of a run or of `report --format
// json`.
#ifndef TRAPLINE_VMM_REPORT_JSON_READER_H_
#define TRAPLINE_VMM_REPORT_JSON_READER_H_

#include <string>
#include <string_view>

#include "vmm/config/result.h"
#include "vmm/report/profile.h"

namespace trapline {

// The newest `schema` of statistics that is read, and the one that is written.
inline constexpr unsigned kProfileSchema = 2;
// Larger files are refused: parsed, they take some ten times their size.
inline constexpr size_t kMaxProfileJson = size_t{256} << 20;

// `name` is how an error calls the text, and becomes Profile::file.
Result<Profile> read_profile_json(std::string_view text, const std::string& name);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_JSON_READER_H_
