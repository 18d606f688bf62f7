#include "vmm/report/ftrace.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "vmm/report/ftrace_exits.h"
#include "vmm/report/ftrace_line.h"
#include "vmm/report/ftrace_reader.h"
#include "vmm/report/ftrace_symbols.h"

namespace trapline {
namespace {

std::string shown(std::string_view text) {
  std::string s;
  for (const char c : text.substr(0, 60)) s += c >= ' ' && c <= '~' ? c : '?';
  return text.size() > 60 ? s + "..." : s;
}

Result<DevicesMap> devices_of(const HostTraceOptions& options) {
  if (options.dtb.empty() && options.map.empty()) return DevicesMap::virt();
  DevicesMap all;
  for (const bool map : {false, true}) {
    const std::string& path = map ? options.map : options.dtb;
    if (path.empty()) continue;
    Result<DevicesMap> some = map ? DevicesMap::of_text(path) : DevicesMap::of_dtb(path);
    if (!some) return Error{some.error()};
    for (const DevicesMap::Window& w : some->windows()) all.add(w.base, w.size, w.name);
  }
  return all;
}

// The beginning of what gzip'd bytes hold.
std::string inflated(std::string_view bytes) {
  std::string out(4096, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return {};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  inflate(&stream, Z_SYNC_FLUSH);
  out.resize(out.size() - stream.avail_out);
  inflateEnd(&stream);
  return out;
}

}  // namespace

bool looks_like_host_trace(std::string_view first) {
  std::string unpacked;
  if (first.starts_with("\x1f\x8b")) {
    unpacked = inflated(first.substr(0, size_t{1} << 16));
    first = unpacked;
  }
  if (first.starts_with("# tracer: ")) return true;
  while (!first.empty()) {
    const size_t end = std::min(first.find('\n'), first.size());
    const TraceLine line = parse_trace_line(first.substr(0, end));
    if (line.kind == TraceLine::Kind::kEvent || line.kind == TraceLine::Kind::kLost) return true;
    first.remove_prefix(std::min(end + 1, first.size()));
  }
  return false;
}

Result<Profile> read_host_trace(const std::string& path, const HostTraceOptions& options) {
  // What else is asked for first: a wrong name there need not wait for a gigabyte.
  Result<DevicesMap> devices = devices_of(options);
  if (!devices) return Error{devices.error()};
  Result<TraceSymbols> symbols = TraceSymbols::load(options);
  if (!symbols) return Error{symbols.error()};

  TraceReader reader(path);
  TraceExits exits(std::move(*devices));
  bool perf = false;
  uint64_t unknown = 0, first_unknown = 0, foreign = 0;
  std::string_view text;
  while (reader.next(text)) {
    const TraceLine line = parse_trace_line(text);
    if (line.kind == TraceLine::Kind::kNothing) continue;
    TraceExits::Took took = TraceExits::Took::kNotUnderstood;
    if (line.kind != TraceLine::Kind::kUnknown) {
      took = exits.take(line);
      perf = perf || line.perf;
    }
    if (took == TraceExits::Took::kYes) continue;
    if (took == TraceExits::Took::kForeign && exits.exits() == 0 && ++foreign == 16) {
      return Error{
          fmt::format("{}: line {}: recorded on another architecture than arm64: 'kvm_exit: {}'",
                      path, reader.number(), shown(line.text))};
    }
    if (unknown++ == 0) first_unknown = reader.number();
  }
  if (!reader.error().empty()) return Error{reader.error()};
  if (exits.exits() == 0 && foreign != 0) {
    return Error{fmt::format("{}: line {}: recorded on another architecture than arm64", path,
                             first_unknown)};
  }
  if (exits.exits() == 0) {
    return Error{path + ": has no kvm_exit in it (record kvm:* on the host)"};
  }
  Profile profile;
  profile.file = path;
  profile.source = perf ? "perf script" : "ftrace";
  exits.finish(profile);
  if (unknown != 0) {
    profile.notes.push_back(fmt::format("{} line{} not understood (first: line {})", unknown,
                                        unknown == 1 ? "" : "s", first_unknown));
  }
  symbols->name(profile);
  return profile;
}

}  // namespace trapline
