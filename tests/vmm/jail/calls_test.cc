// docs/sandbox.md and the tables of calls say the same.
#include "vmm/jail/calls.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace trapline::jail {
namespace {

using Lines = std::vector<std::string>;

Lines section(const std::string& title) {
  std::ifstream page(TRAPLINE_SANDBOX_PAGE);
  Lines lines;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("#")) inside = line.ends_with(title);
    if (inside && line.starts_with("| `")) lines.push_back(line);
  }
  return lines;
}

std::string row(const Call& call) {
  static constexpr const char* kNeeds[] = {"", " (KVM)", " (tap)", " (NBD)"};
  const std::string only = *call.only == 0 ? "" : std::string(" ") + call.only;
  return std::string("| `") + call.name + "`" + only + " | " + call.why +
         kNeeds[static_cast<size_t>(call.need)] + " |";
}

Lines rows(std::span<const Call> calls) {
  Lines lines;
  for (const Call& call : calls) lines.push_back(row(call));
  return lines;
}

TEST(Calls, AreThoseOfThePage) {
  EXPECT_EQ(section("The VM"), rows(allowed_calls()));
  EXPECT_EQ(section("The network's process"), rows(network_calls()));
  EXPECT_EQ(section("The viewers' process"), rows(viewers_calls()));
  Lines refused;
  for (const Refused& call : refused_calls()) {
    refused.push_back(std::string("| `") + call.name + "` | " + strerrorname_np(call.error) +
                      " | " + call.why + " |");
  }
  EXPECT_EQ(section("What is refused instead"), refused);
}

}  // namespace
}  // namespace trapline::jail
