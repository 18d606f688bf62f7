#include "vmm/report/folded_writer.h"

#include <fmt/format.h>

#include <array>
#include <map>

#include "vmm/report/summary.h"

namespace trapline {
namespace {

// What separates frames and counts may be in no frame.
std::string frame_text(const std::string& name) {
  std::string out = printable(name);
  for (char& c : out) {
    if (c == ';') c = ':';
  }
  return out.empty() ? "-" : out;
}

std::string line_of(const StackRow& stack) {
  std::string line;
  for (const std::string& frame : stack.frames) {
    if (!line.empty()) line += ';';
    line += frame_text(frame);
  }
  return line;
}

}  // namespace

std::vector<StackRow> stacks_or_rows(const Profile& profile) {
  std::vector<StackRow> out = profile.stacks;
  for (StackRow& stack : out) {
    // A caller is one frame, wherever in it the call stands.
    for (size_t i = 0; i + 1 < stack.frames.size(); ++i) {
      stack.frames[i] = function_of(stack.frames[i]);
    }
    stack.frames.push_back("[" + stack.key.exit_class + "] " + key_label(stack.key));
  }
  if (!out.empty()) return out;
  for (const ProfileRow& row : profile.rows) {
    StackRow stack{.frames = {row.key.exit_class},
                   .key = row.key,
                   .count = row.count,
                   .time_ns = row.cost_ns()};
    if (!row.key.device.empty()) stack.frames.push_back(row.key.device);
    if (!row.key.reg.empty()) stack.frames.push_back(row.key.reg);
    stack.frames.push_back(row.other            ? "(other)"
                           : row.symbol.empty() ? fmt::format("0x{:x}", row.pc)
                                                : row.symbol);
    out.push_back(std::move(stack));
  }
  return out;
}

std::string write_folded(const Profile& profile) {
  std::map<std::string, uint64_t> lines;
  for (const StackRow& stack : stacks_or_rows(profile)) lines[line_of(stack)] += stack.count;
  std::string out;
  for (const auto& [line, count] : lines) out += fmt::format("{} {}\n", line, count);
  return out;
}

std::string write_folded(const Profile& a, const Profile& b) {
  std::map<std::string, std::array<uint64_t, 2>> lines;
  for (const StackRow& stack : stacks_or_rows(a)) lines[line_of(stack)][0] += stack.count;
  for (const StackRow& stack : stacks_or_rows(b)) lines[line_of(stack)][1] += stack.count;
  std::string out;
  for (const auto& [line, counts] : lines) {
    out += fmt::format("{} {} {}\n", line, counts[0], counts[1]);
  }
  return out;
}

}  // namespace trapline
