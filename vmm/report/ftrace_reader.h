// The lines of a large text file, gzip'd or not, in memory of a fixed size.
#ifndef TRAPLINE_VMM_REPORT_FTRACE_READER_H_
#define TRAPLINE_VMM_REPORT_FTRACE_READER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct gzFile_s;

namespace trapline {

class TraceReader {
 public:
  explicit TraceReader(const std::string& path);
  ~TraceReader();
  TraceReader(const TraceReader&) = delete;
  TraceReader& operator=(const TraceReader&) = delete;

  // The next line, without its end; it lives until the next call. False: there is none, or error().
  // Of a line that is longer than any event's the rest is left out.
  bool next(std::string_view& line);
  uint64_t number() const { return number_; }  // of the last line, from 1 on
  // Empty: all was well.
  const std::string& error() const { return error_; }

 private:
  bool fill();

  std::string path_, error_;
  gzFile_s* file_ = nullptr;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;
  uint64_t number_ = 0;
  bool skip_ = false, ended_ = false;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_FTRACE_READER_H_
