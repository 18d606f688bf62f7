// Rows put together: by class, device, register or instruction; and two profiles compared so.
#ifndef TRAPLINE_VMM_REPORT_SUMMARY_H_
#define TRAPLINE_VMM_REPORT_SUMMARY_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "vmm/report/profile.h"

namespace trapline {

enum class GroupBy { kClass, kDevice, kRegister, kInstruction };

// The rows of one class, device, ... of all vCPUs. Of `row` only what all of them share is set (of
// an instruction: pc, key, isv, word, text, symbol), and the sums: count, time, stages, sleep.
struct Group {
  std::string label;  // "DABT_LOW"; "pl011"; "pl011 UARTFR"; "pl011_putc+0x18" or "0xffff..."
  ProfileRow row;
  double cost_ns = 0;  // of all exits, timed or not
};

// The costliest first.
std::vector<Group> group_rows(const Profile& profile, GroupBy by);

// "pl011 UARTFR", else what is known of device, register and class.
std::string key_label(const ExitKey& key);
// "DABT_LOW pl011 UARTFR"
std::string full_label(const ExitKey& key);

// A symbol without its "+0x10".
std::string function_of(const std::string& symbol);

// Nothing but printable text: names of a guest's go to terminals and into line formats.
std::string printable(const std::string& text);

// "61 ns", "1.23 us", "310 ms", "12.3 s": three digits.
std::string format_ns(double ns);
// "30,812"
std::string format_count(uint64_t count);

// Shares of all vCPUs' time, 0 to 1; 0 where the source has no split.
struct TimeShares {
  double guest = 0, exit = 0, idle = 0;
};
TimeShares time_shares(const Profile& profile);

struct Difference {
  std::string label, text;  // text: the instruction, where labels are instructions
  ExitKey key;
  uint64_t count[2] = {0, 0};
  double cost_ns[2] = {0, 0};

  double cost_change() const { return cost_ns[1] - cost_ns[0]; }
  double count_change() const {
    return static_cast<double>(count[1]) - static_cast<double>(count[0]);
  }
};

// What changed from `a` to `b`, the largest change of cost first. Instructions are the same if
// symbol and key are: addresses move from boot to boot.
std::vector<Difference> compare(const Profile& a, const Profile& b, GroupBy by);

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_SUMMARY_H_
