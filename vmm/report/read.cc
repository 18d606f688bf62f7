#include "vmm/report/read.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>

#include "vmm/report/ftrace.h"
#include "vmm/report/json_reader.h"

namespace trapline {
namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

// Up to `most` bytes; fewer at the file's end.
Result<std::string> read_some(std::FILE* file, const std::string& path, size_t most) {
  std::string bytes;
  char piece[1 << 16];
  while (bytes.size() < most) {
    const size_t wanted = std::min(most - bytes.size(), sizeof piece);
    const size_t n = std::fread(piece, 1, wanted, file);
    bytes.append(piece, n);
    if (std::ferror(file) != 0) return Error{path + ": cannot read: " + std::strerror(errno)};
    if (n < wanted) break;
  }
  return bytes;
}

bool looks_like_json(std::string_view bytes) {
  const size_t first = bytes.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (bytes[first] == '{' || bytes[first] == '[');
}

Result<Profile> read_json(std::FILE* file, const std::string& path, std::string text) {
  Result<std::string> rest = read_some(file, path, kMaxProfileJson + 1 - text.size());
  if (!rest) return Error{rest.error()};
  text += *rest;
  return read_profile_json(text, path);
}

}  // namespace

Result<Profile> read_profile(const std::string& path, const HostTraceOptions& host) {
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) return Error{path + ": is a directory"};
  const File file(std::fopen(path.c_str(), "re"));
  if (!file) return Error{path + ": cannot open: " + std::strerror(errno)};
  constexpr size_t kBeginning = 1024;
  Result<std::string> beginning = read_some(file.get(), path, kBeginning);
  if (!beginning) return Error{beginning.error()};
  if (beginning->empty()) return Error{path + ": is empty"};
  if (looks_like_json(*beginning)) return read_json(file.get(), path, std::move(*beginning));
  if (looks_like_host_trace(*beginning)) {
    if (std::filesystem::is_regular_file(path, code)) return read_host_trace(path, host);
    return Error{path + ": a host's trace is read from a file, not from a pipe"};
  }
  return Error{path +
               ": neither statistics (JSON), nor a recording (run --record), nor a host's trace of "
               "kvm events"};
}

}  // namespace trapline
