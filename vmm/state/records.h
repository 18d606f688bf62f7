// Records on their way through a channel.
#ifndef TRAPLINE_VMM_STATE_RECORDS_H_
#define TRAPLINE_VMM_STATE_RECORDS_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/config/result.h"
#include "vmm/machine/machine.h"
#include "vmm/state/channel.h"
#include "vmm/state/format.h"

namespace trapline::state {

using Bytes = std::span<const uint8_t>;
inline Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// False: Channel::why(). `head` and `body` are one payload.
bool put_record(Channel& out, std::string_view name, Bytes head, Bytes body = {},
                uint32_t flags = 0);
bool put_header(Channel& out, const FileHeader& header, std::string_view config);

struct Record {
  RecordHeader header;
  std::vector<uint8_t> payload;
  std::string_view name() const { return name_of(header); }
  std::string text() const { return {payload.begin(), payload.end()}; }
};

// `what`, the file's or the channel's name, begins every error.
std::string read_header(Channel& in, const std::string& what, std::string_view reader,
                        FileHeader& header, std::string& config);
std::string read_record(Channel& in, const std::string& what, Record& record, int timeout_ms = -1);

// All of a machine but its RAM, by name.
struct Sections {
  std::map<std::string, Record, std::less<>> by_name;

  // Each component in order, and the files that it has. While held. False: Channel::why().
  static bool put(Channel& out, Machine& machine);
  // Takes a record that is a section. An error if there is one of the name.
  std::string take(const std::string& what, Record record);
  // Empty, or what stands in the way of loading them into this machine. With `changed_files_do`
  // its files may be others than they were.
  std::string check(const std::string& what, Machine& machine, bool times_too,
                    bool changed_files_do) const;
  // Into a machine that check() found fit, whose RAM is there.
  std::string load(const std::string& what, Machine& machine, bool changed_files_do,
                   bool copied) const;
};

}  // namespace trapline::state

#endif  // TRAPLINE_VMM_STATE_RECORDS_H_
