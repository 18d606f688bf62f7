// Files that a test writes, gone with it.
#ifndef TRAPLINE_TESTS_VMM_REPORT_FTRACE_TRACE_FILES_H_
#define TRAPLINE_TESTS_VMM_REPORT_FTRACE_TRACE_FILES_H_

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace trapline {

class TraceFiles : public testing::Test {
 protected:
  TraceFiles() { std::filesystem::create_directory(folder_); }
  ~TraceFiles() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, std::string_view text) {
    std::ofstream(folder_ + name, std::ios::binary) << text;
    return folder_ + name;
  }
  std::string gzip(const std::string& name, std::string_view text) {
    gzFile out = gzopen((folder_ + name).c_str(), "wb");
    gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
    gzclose(out);
    return folder_ + name;
  }
  static std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string folder_ = testing::TempDir() + "trace_files." + std::to_string(getpid()) + "/";
};

}  // namespace trapline

#endif  // TRAPLINE_TESTS_VMM_REPORT_FTRACE_TRACE_FILES_H_
