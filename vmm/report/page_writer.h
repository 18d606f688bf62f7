// Profiles as one HTML page that needs nothing else: style, scripts, D3 and data are in it.
#ifndef TRAPLINE_VMM_REPORT_PAGE_WRITER_H_
#define TRAPLINE_VMM_REPORT_PAGE_WRITER_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vmm/report/profile.h"

namespace trapline {

// One profile, or two beside each other.
std::string write_page(const std::vector<Profile>& profiles);

// What page/*.js draws: groups, not rows, and no more of them than a page can show.
nlohmann::json page_data(const std::vector<Profile>& profiles);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_PAGE_WRITER_H_
