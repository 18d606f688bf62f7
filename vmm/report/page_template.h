// The report's page, made at build time from page/ (page/embed.cmake): what stands before its data
// and behind it.
#ifndef TRAPLINE_VMM_REPORT_PAGE_TEMPLATE_H_
#define TRAPLINE_VMM_REPORT_PAGE_TEMPLATE_H_

#include <string_view>

namespace trapline {

extern const std::string_view kPageBeforeData, kPageAfterData;

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_PAGE_TEMPLATE_H_
