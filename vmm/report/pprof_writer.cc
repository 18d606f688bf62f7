#include "vmm/report/pprof_writer.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <limits>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <vector>

#include "vmm/report/summary.h"

namespace trapline {
namespace {

using protozero::pbf_writer;

// Field numbers of profile.proto, of pprof's repository.
namespace profile_field {
enum : uint32_t {
  kSampleType = 1,
  kSample = 2,
  kMapping = 3,
  kLocation = 4,
  kFunction = 5,
  kStringTable = 6,
  kDurationNanos = 10,
  kComment = 13,
  kDefaultSampleType = 14
};
}  // namespace profile_field
namespace value_type {
enum : uint32_t { kType = 1, kUnit = 2 };
}
namespace sample {
enum : uint32_t { kLocationId = 1, kValue = 2, kLabel = 3 };
}
namespace label {
enum : uint32_t { kKey = 1, kText = 2, kNumber = 3 };
}
namespace mapping {
enum : uint32_t { kId = 1, kStart = 2, kLimit = 3, kFilename = 5, kHasFunctions = 7 };
}
namespace location {
enum : uint32_t { kId = 1, kMappingId = 2, kAddress = 3, kLine = 4 };
}
namespace line {
enum : uint32_t { kFunctionId = 1 };
}
namespace function {
enum : uint32_t { kId = 1, kName = 2, kSystemName = 3 };
}

constexpr uint64_t kGuestMapping = 1;

int64_t whole(double ns) {
  constexpr double kMost = 9.2e18;
  return ns < kMost ? static_cast<int64_t>(ns) : std::numeric_limits<int64_t>::max();
}

class Pprof {
 public:
  explicit Pprof(const Profile& profile) : profile_(profile), out_(bytes_) {
    put_type("exits", "count");
    put_type("time", "nanoseconds");
    if (profile.stacks.empty()) {
      for (const ProfileRow& row : profile.rows) put_row(row);
    } else {
      for (const StackRow& stack : profile.stacks) put_stack(stack);
    }
    put_tables();
  }
  const std::string& bytes() const { return bytes_; }

 private:
  int64_t text(const std::string& text) {
    const auto [it, fresh] = texts_.try_emplace(text, static_cast<int64_t>(texts_in_order_.size()));
    if (fresh) texts_in_order_.push_back(text);
    return it->second;
  }

  void put_type(const char* type, const char* unit) {
    pbf_writer entry(out_, profile_field::kSampleType);
    entry.add_int64(value_type::kType, text(type));
    entry.add_int64(value_type::kUnit, text(unit));
  }

  uint64_t function_id(const std::string& name) {
    return functions_.try_emplace(name, functions_.size() + 1).first->second;
  }

  // Locations are the same if address and function are.
  uint64_t location_id(uint64_t address, const std::string& name) {
    return locations_.try_emplace({address, function_id(name)}, locations_.size() + 1)
        .first->second;
  }

  void put_label(pbf_writer& to, const char* key, const std::string& value) {
    if (value.empty()) return;
    pbf_writer entry(to, sample::kLabel);
    entry.add_int64(label::kKey, text(key));
    entry.add_int64(label::kText, text(value));
  }

  void put_sample(const std::vector<uint64_t>& locations, uint64_t count, double ns,
                  const ExitKey& key, int vcpu, ProfileRow::Isv isv) {
    pbf_writer entry(out_, profile_field::kSample);
    entry.add_packed_uint64(sample::kLocationId, locations.begin(), locations.end());
    const std::array<int64_t, 2> values{static_cast<int64_t>(count), whole(ns)};
    entry.add_packed_int64(sample::kValue, values.begin(), values.end());
    put_label(entry, "class", key.exit_class);
    put_label(entry, "device", key.device);
    put_label(entry, "register", key.reg);
    if (isv != ProfileRow::Isv::kNotApplicable) {
      put_label(entry, "isv", std::to_string(static_cast<int>(isv)));
    }
    if (vcpu < 0) return;
    pbf_writer number(entry, sample::kLabel);
    number.add_int64(label::kKey, text("vcpu"));
    number.add_int64(label::kNumber, vcpu);
  }

  void put_row(const ProfileRow& row) {
    const std::string name = row.other            ? "(other)"
                             : row.symbol.empty() ? fmt::format("0x{:x}", row.pc)
                                                  : function_of(row.symbol);
    put_sample({location_id(row.pc, name)}, row.count, row.cost_ns(), row.key,
               static_cast<int>(row.vcpu), row.isv);
  }

  void put_stack(const StackRow& stack) {
    std::vector<uint64_t> locations;  // the innermost first
    for (auto frame = stack.frames.rbegin(); frame != stack.frames.rend(); ++frame) {
      locations.push_back(location_id(0, function_of(*frame)));
    }
    put_sample(locations, stack.count, stack.time_ns, stack.key, -1,
               ProfileRow::Isv::kNotApplicable);
  }

  void put_tables() {
    {
      pbf_writer guest(out_, profile_field::kMapping);
      guest.add_uint64(mapping::kId, kGuestMapping);
      guest.add_uint64(mapping::kStart, 0);
      guest.add_uint64(mapping::kLimit, UINT64_MAX);
      guest.add_int64(mapping::kFilename, text("[guest]"));
      guest.add_bool(mapping::kHasFunctions, true);
    }
    for (const auto& [place, id] : locations_) {
      pbf_writer entry(out_, profile_field::kLocation);
      entry.add_uint64(location::kId, id);
      entry.add_uint64(location::kMappingId, kGuestMapping);
      entry.add_uint64(location::kAddress, place.first);
      pbf_writer in(entry, location::kLine);
      in.add_uint64(line::kFunctionId, place.second);
    }
    for (const auto& [name, id] : functions_) {
      pbf_writer entry(out_, profile_field::kFunction);
      entry.add_uint64(function::kId, id);
      entry.add_int64(function::kName, text(name));
      entry.add_int64(function::kSystemName, text(name));
    }
    out_.add_int64(profile_field::kDurationNanos, whole(profile_.duration_ns));
    out_.add_int64(profile_field::kComment, text(profile_.source));
    if (!profile_.stacks.empty()) {
      out_.add_int64(profile_field::kComment,
                     text("the stacks of a sample of the exits; --format csv has exact counts"));
    }
    for (const std::string& note : profile_.notes) {
      out_.add_int64(profile_field::kComment, text(note));
    }
    out_.add_int64(profile_field::kDefaultSampleType, text("exits"));
    for (const std::string& text : texts_in_order_) {
      out_.add_string(profile_field::kStringTable, text);
    }
  }

  const Profile& profile_;
  std::string bytes_;
  pbf_writer out_;
  std::map<std::string, int64_t> texts_{{"", 0}};
  std::vector<std::string> texts_in_order_{""};
  std::map<std::string, uint64_t> functions_;
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> locations_;
};

// Empty: zlib refused, which it does only without memory.
std::string gzip(const std::string& bytes) {
  constexpr int kGzip = 15 + 16, kMemory = 8;
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, kMemory,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return {};
  }
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const bool done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  out.resize(done ? stream.total_out : 0);
  deflateEnd(&stream);
  return out;
}

}  // namespace

std::string write_pprof(const Profile& profile) { return gzip(Pprof(profile).bytes()); }

}  // namespace trapline
