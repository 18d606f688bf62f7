// Profiles as tables of text. The classes' columns have the names of `perf kvm stat report`.
#ifndef TRAPLINE_VMM_REPORT_TEXT_WRITER_H_
#define TRAPLINE_VMM_REPORT_TEXT_WRITER_H_

#include <string>

#include "vmm/report/profile.h"

namespace trapline {

std::string write_text(const Profile& profile);
// Two beside each other, and what changed from `a` to `b`.
std::string write_text(const Profile& a, const Profile& b);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_TEXT_WRITER_H_
