#include "vmm/report/ftrace_reader.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace trapline {
namespace {

constexpr size_t kBuffer = size_t{1} << 20;
constexpr size_t kLongestLine = 8192;

}  // namespace

TraceReader::TraceReader(const std::string& path) : path_(path), buffer_(kBuffer) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    error_ = path + ": is a folder";
    return;
  }
  // Plain text, too: zlib hands it through.
  file_ = gzopen(path.c_str(), "rbe");
  if (file_ == nullptr) {
    error_ = path + ": " + std::strerror(errno);
    return;
  }
  gzbuffer(file_, 1u << 18);
}

TraceReader::~TraceReader() {
  if (file_ != nullptr) gzclose(file_);
}

bool TraceReader::fill() {
  if (ended_ || file_ == nullptr) return false;
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  errno = 0;
  const int got = gzread(file_, buffer_.data() + end_, static_cast<unsigned>(kBuffer - end_));
  int status = Z_OK;
  const char* why = gzerror(file_, &status);
  // A file that ends within a stream gives its bytes first, and Z_BUF_ERROR then.
  if (got < 0 || (got == 0 && status == Z_BUF_ERROR)) {
    error_ = status == Z_ERRNO
                 ? fmt::format("{}: {}", path_, std::strerror(errno))
                 : fmt::format("{}: damaged or truncated gzip data (behind line {}: {})", path_,
                               number_, why);
    ended_ = true;
    return false;
  }
  if (got == 0) ended_ = true;
  end_ += static_cast<size_t>(got);
  return got > 0;
}

bool TraceReader::next(std::string_view& line) {
  for (;;) {
    const char* from = buffer_.data() + begin_;
    const auto* newline = static_cast<const char*>(std::memchr(from, '\n', end_ - begin_));
    if (newline == nullptr) {
      if (end_ - begin_ >= kLongestLine) {
        const bool first = !skip_;
        line = {from, kLongestLine};
        begin_ = end_;
        skip_ = true;
        if (first) {
          ++number_;
          return true;
        }
        continue;
      }
      if (fill()) continue;
      if (!error_.empty() || begin_ == end_) return false;
      from = buffer_.data() + begin_;   // fill() has moved it
      newline = buffer_.data() + end_;  // the last line has no end
    }
    const auto size = static_cast<size_t>(newline - from);
    begin_ = std::min(begin_ + size + 1, end_);
    if (skip_) {
      skip_ = false;
      continue;
    }
    ++number_;
    line = {from, std::min(size, kLongestLine)};
    return true;
  }
}

}  // namespace trapline
