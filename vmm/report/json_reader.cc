#include "vmm/report/json_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vmm/report/json_value.h"
#include "vmm/report/nested.h"

namespace trapline {
namespace {

using nlohmann::json;

constexpr unsigned kMaxVcpu = 65535;

ExitKey read_key(const JsonValue& value) {
  return {.exit_class = value.required("class").text(),
          .device = value.optional("device").text(),
          .reg = value.optional("register").text()};
}

// The percentiles are there for other readers: ours come from the buckets.
Distribution read_distribution(const JsonValue& value) {
  Distribution d;
  d.count = value.required("count").whole();
  d.sum_ns = value.required("sum").nanoseconds();
  d.min_ns = value.required("min").nanoseconds();
  d.max_ns = value.required("max").nanoseconds();
  if (d.min_ns > d.max_ns) value.fail("min is more than max");
  value.required("buckets").elements([&](const JsonValue& bucket) {
    double bounds[2] = {0, 0};
    uint64_t count = 0;
    size_t n = 0;
    bucket.elements([&](const JsonValue& number) {
      if (n < 2) bounds[n] = number.nanoseconds();
      if (n == 2) count = number.whole();
      ++n;
    });
    if (bucket.failed()) return;
    if (n != 3 || bounds[0] >= bounds[1]) {
      bucket.fail("is no bucket [low, high, count] with low < high");
    } else if (!d.buckets.empty() && bounds[0] < d.buckets.back().low_ns) {
      bucket.fail("is not in ascending order");
    } else if (count != 0) {
      d.buckets.push_back({bounds[0], bounds[1], count});
    }
  });
  return d;
}

ProfileRow read_row(const JsonValue& value) {
  ProfileRow row;
  row.vcpu = static_cast<unsigned>(value.required("vcpu").whole_to(kMaxVcpu));
  row.other = value.optional("other").boolean();
  row.key = read_key(value);
  row.pc = row.other ? value.optional("pc").address() : value.required("pc").address();
  if (const JsonValue isv = value.optional("isv"); isv.present()) {
    row.isv = isv.whole_to(1) == 1 ? ProfileRow::Isv::kValid : ProfileRow::Isv::kInvalid;
  }
  row.count = value.required("count").whole();
  row.time = read_distribution(value.required("time_ns"));
  value.optional("stages_ns").fields([&](const std::string& name, const JsonValue& stage) {
    row.stages_ns[name] = stage.nanoseconds();
  });
  row.sleep_ns = value.optional("sleep_ns").nanoseconds();
  row.to_user = value.optional("to_user").whole();
  row.text = value.optional("text").text();
  if (const JsonValue word = value.optional("word"); word.present()) {
    const uint64_t bits = word.address();
    if (bits > UINT32_MAX) word.fail("is no instruction word");
    row.word = static_cast<uint32_t>(bits);
  }
  row.symbol = value.optional("symbol").text();
  return row;
}

void read_timeline(const JsonValue& value, Profile& profile) {
  if (!value.present()) return;
  profile.slice_ns = value.required("slice_ns").nanoseconds();
  value.required("series").elements([&](const JsonValue& element) {
    Series series{.key = read_key(element), .counts = {}};
    element.required("counts").elements(
        [&](const JsonValue& count) { series.counts.push_back(count.whole()); });
    profile.series.push_back(std::move(series));
  });
  if (!profile.series.empty() && profile.slice_ns <= 0) value.fail("slice_ns is 0");
}

StackRow read_stack(const JsonValue& value) {
  StackRow stack;
  value.required("frames").elements(
      [&](const JsonValue& frame) { stack.frames.push_back(frame.text()); });
  stack.key = read_key(value);
  stack.count = value.required("count").whole();
  stack.time_ns = value.optional("time_ns").nanoseconds();
  return stack;
}

VcpuTime read_vcpu(const JsonValue& value) {
  return {.vcpu = static_cast<unsigned>(value.required("vcpu").whole_to(kMaxVcpu)),
          .guest_ns = value.required("guest_ns").nanoseconds(),
          .exit_ns = value.required("exit_ns").nanoseconds(),
          .idle_ns = value.required("idle_ns").nanoseconds()};
}

std::map<std::string, uint64_t> read_counts(const JsonValue& value) {
  std::map<std::string, uint64_t> counts;
  value.fields([&](const std::string& name, const JsonValue& count) {
    if (!count.is_text()) counts[name] = count.whole();  // a text: the policy's name
  });
  return counts;
}

void read_profile_part(const JsonValue& value, Profile& profile) {
  profile.duration_ns = value.required("duration_ns").nanoseconds();
  profile.timed_every = static_cast<unsigned>(value.required("timed_every").whole_to(UINT32_MAX));
  value.required("rows").elements(
      [&](const JsonValue& row) { profile.rows.push_back(read_row(row)); });
  value.optional("vcpus").elements(
      [&](const JsonValue& vcpu) { profile.vcpus.push_back(read_vcpu(vcpu)); });
  read_timeline(value.optional("timeline"), profile);
  value.optional("stacks").elements(
      [&](const JsonValue& stack) { profile.stacks.push_back(read_stack(stack)); });
  value.optional("latencies").fields([&](const std::string& name, const JsonValue& latency) {
    profile.latencies[name] = read_distribution(latency);
  });
  profile.icache = read_counts(value.optional("icache"));
  profile.counters = read_counts(value.optional("counters"));
  value.optional("notes").elements(
      [&](const JsonValue& note) { profile.notes.push_back(note.text()); });
}

// "trapline, soft backend, host clock", as far as the file says.
std::string describe_source(const JsonValue& root) {
  if (const JsonValue said = root.optional("source"); said.present()) return said.text();
  std::string source = "trapline";
  if (const JsonValue version = root.optional("version"); version.present()) {
    source += " " + version.text();
  }
  for (const char* part : {"backend", "clock"}) {
    if (const JsonValue value = root.optional(part); value.present()) {
      source += fmt::format(", {} {}", value.text(), part);
    }
  }
  return source;
}

std::string place_of_byte(std::string_view text, size_t byte) {
  const std::string_view before = text.substr(0, byte == 0 ? 0 : byte - 1);
  const size_t line_start = before.rfind('\n') + 1;  // 0 where there is none
  return fmt::format("line {}, column {}", std::count(before.begin(), before.end(), '\n') + 1,
                     before.size() - line_start + 1);
}

// All but what a report needs is skipped while it is parsed.
json parse(std::string_view text, std::string& error) {
  const auto keep = [](int depth, json::parse_event_t event, json& parsed) {
    if (depth != 1 || event != json::parse_event_t::key) return true;
    for (const char* name :
         {"schema", "profile", "source", "version", "backend", "clock", "exits", "nested_ledger"}) {
      if (parsed == name) return true;
    }
    return false;
  };
  try {
    return json::parse(text, keep);
  } catch (const json::parse_error& wrong) {
    error = "not JSON, or cut off: " + place_of_byte(text, wrong.byte);
  } catch (const json::exception&) {
    error = "a number that is too large for JSON's readers";
  }
  return nullptr;
}

}  // namespace

Result<Profile> read_profile_json(std::string_view text, const std::string& name) {
  if (text.size() > kMaxProfileJson) {
    return Error{fmt::format("{}: larger than {} MiB: no statistics of Trapline's", name,
                             kMaxProfileJson >> 20)};
  }
  std::string error;
  const json document = parse(text, error);
  if (!error.empty()) return Error{name + ": " + error};
  const JsonValue root(document, error);
  const JsonValue schema = root.optional("schema"), part = root.optional("profile");
  if (!document.is_object() ||
      (!schema.present() && !document.contains("exits") && !part.present())) {
    return Error{name + ": JSON, but no statistics of Trapline's"};
  }
  Profile profile;
  profile.file = name;
  const uint64_t version = schema.whole();
  if (error.empty() && version > kProfileSchema) {
    return Error{fmt::format("{}: schema {} is newer than this program knows ({}): use a newer one",
                             name, version, kProfileSchema)};
  }
  profile.nested = read_nested(root.optional("nested_ledger"));
  if (error.empty() && !part.present() && profile.nested.empty()) {
    return Error{name + ": no part 'profile': made without --profile"};
  }
  if (error.empty() && !schema.present()) root.fail("no field 'schema'");
  if (part.present()) {
    read_profile_part(part, profile);
  } else {
    profile.notes.emplace_back("made without --profile: what nesting would cost, and no exits");
  }
  profile.source = describe_source(root);
  if (!error.empty()) return Error{name + ": " + error};
  return profile;
}

}  // namespace trapline
