#include "vmm/report/page_writer.h"

#include <nlohmann/json.hpp>

#include "vmm/report/page_template.h"

namespace trapline {

std::string write_page(const std::vector<Profile>& profiles) {
  const std::string data =
      page_data(profiles).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string page(kPageBeforeData);
  page.reserve(page.size() + data.size() + kPageAfterData.size());
  for (char c : data) {
    // "</script>" or "<!--" in a guest's symbol would end the element that holds the data.
    if (c == '<') {
      page += "\\u003c";
    } else {
      page += c;
    }
  }
  return page.append(kPageAfterData);
}

}  // namespace trapline
