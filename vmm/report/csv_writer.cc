#include "vmm/report/csv_writer.h"

#include <fmt/format.h>

#include <iterator>
#include <set>

namespace trapline {

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

namespace {

void put_row(std::string& out, const Profile& profile, const ProfileRow& row,
             const std::set<std::string>& stages) {
  const bool isv = row.isv != ProfileRow::Isv::kNotApplicable;
  fmt::format_to(std::back_inserter(out), "{},{},{},{},{},{},{},{},{},{},{:.1f}",
                 csv_field(profile.file), row.vcpu, row.other ? "" : fmt::format("0x{:x}", row.pc),
                 csv_field(row.key.exit_class), csv_field(row.key.device), csv_field(row.key.reg),
                 isv ? fmt::to_string(static_cast<int>(row.isv)) : "", row.other ? 1 : 0, row.count,
                 row.time.count, row.cost_ns());
  const Distribution& t = row.time;
  for (double ns : {t.min_ns, t.mean_ns(), t.quantile_ns(0.5), t.quantile_ns(0.9),
                    t.quantile_ns(0.99), t.quantile_ns(0.999), t.max_ns, row.sleep_ns}) {
    fmt::format_to(std::back_inserter(out), ",{:.1f}", ns);
  }
  out += fmt::format(",{}", row.to_user);
  for (const std::string& stage : stages) {
    const auto it = row.stages_ns.find(stage);
    out += it == row.stages_ns.end() ? "," : fmt::format(",{:.1f}", it->second);
  }
  out += fmt::format(",{},{},{}\r\n", row.text.empty() ? "" : fmt::format("0x{:08x}", row.word),
                     csv_field(row.text), csv_field(row.symbol));
}

}  // namespace

std::string write_csv(const std::vector<Profile>& profiles) {
  std::set<std::string> stages;
  for (const Profile& profile : profiles) {
    for (const ProfileRow& row : profile.rows) {
      for (const auto& [name, ns] : row.stages_ns) stages.insert(name);
    }
  }
  std::string out =
      "file,vcpu,pc,class,device,register,isv,other,count,timed,cost_ns,min_ns,mean_ns,p50_ns,"
      "p90_ns,p99_ns,p999_ns,max_ns,sleep_ns,to_user";
  for (const std::string& stage : stages) out += "," + csv_field("stage_" + stage + "_ns");
  out += ",word,text,symbol\r\n";
  for (const Profile& profile : profiles) {
    for (const ProfileRow& row : profile.rows) put_row(out, profile, row, stages);
  }
  return out;
}

}  // namespace trapline
