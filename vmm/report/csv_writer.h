// A profile's rows as comma-separated values (RFC 4180), with a line of names; times in ns.
#ifndef TRAPLINE_VMM_REPORT_CSV_WRITER_H_
#define TRAPLINE_VMM_REPORT_CSV_WRITER_H_

#include <string>
#include <vector>

#include "vmm/report/profile.h"

namespace trapline {

// A field, quoted where it needs to be.
std::string csv_field(const std::string& text);

// The first column says which profile a row is of.
std::string write_csv(const std::vector<Profile>& profiles);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_CSV_WRITER_H_
