// Any file that holds a profile: its first bytes say which reader takes it.
#ifndef TRAPLINE_VMM_REPORT_READ_H_
#define TRAPLINE_VMM_REPORT_READ_H_

#include <string>

#include "vmm/config/result.h"
#include "vmm/report/profile.h"

namespace trapline {

// For sources that do not know it themselves; empty: not given.
struct ReadOptions {
  std::string symbols, image, dtb, map;
};

Result<Profile> read_profile(const std::string& path, const ReadOptions& options);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_READ_H_
