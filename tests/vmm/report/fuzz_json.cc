// Fuzzes what reads a statistics file, and what prints that which it accepts. The first byte says
// how the rest is meant: as the text itself, or as edits of a good one (place, length to cut, byte
// to put).
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/vmm/report/sample.h"
#include "vmm/report/csv_writer.h"
#include "vmm/report/folded_writer.h"
#include "vmm/report/json_reader.h"
#include "vmm/report/json_writer.h"
#include "vmm/report/page_writer.h"
#include "vmm/report/perfetto_writer.h"
#include "vmm/report/pprof_writer.h"
#include "vmm/report/select.h"
#include "vmm/report/text_writer.h"

namespace trapline {
namespace {

std::string edited(const uint8_t* data, size_t size) {
  static const std::string kGood = write_json(sample_profile());
  std::string text = kGood;
  for (; size >= 4; data += 4, size -= 4) {
    const size_t at = (data[0] | size_t{data[1]} << 8) % (text.size() + 1);
    text.replace(at, data[2] % 8, 1, static_cast<char>(data[3]));
  }
  return text;
}

void print_all(const Profile& profile) {
  write_text(profile);
  write_text(profile, profile);
  write_csv({profile});
  write_folded(profile);
  write_pprof(profile);
  write_perfetto({profile});
  page_data({profile, profile});
  // What was read and written is read again.
  Result<Profile> again = read_profile_json(write_json(profile), "again");
  if (!again || again->rows.size() != profile.rows.size()) std::abort();
}

void run(const uint8_t* data, size_t size) {
  if (size == 0) return;
  const std::string text = (data[0] & 1) != 0
                               ? edited(data + 1, size - 1)
                               : std::string(reinterpret_cast<const char*>(data + 1), size - 1);
  Result<Profile> profile = read_profile_json(text, "F");
  if (!profile) {
    if (profile.error().empty() || profile.error().find('\n') != std::string::npos) std::abort();
    return;
  }
  if ((data[0] & 4) == 0) return;  // printing takes a hundred times as long
  print_all(*profile);
  Selection selection;
  selection.filter = "pl011";
  selection.vcpu = (data[0] & 2) != 0 ? 1 : -1;
  Result<Profile> some = select(std::move(*profile), selection);
  if (some) print_all(*some);
}

}  // namespace
}  // namespace trapline

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  trapline::run(data, size);
  return 0;
}
