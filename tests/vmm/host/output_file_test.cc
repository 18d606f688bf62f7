#include "vmm/host/output_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace trapline {
namespace {

namespace fs = std::filesystem;

class OutputFile : public testing::Test {
 protected:
  OutputFile() {
    std::string name = (fs::temp_directory_path() / "trapline-output-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~OutputFile() override { fs::remove_all(folder_); }
  std::string path(const char* name) const { return (folder_ / name).string(); }
  static std::string content(const std::string& path) {
    std::stringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }

  fs::path folder_;
};

TEST_F(OutputFile, IsWrittenWhole) {
  EXPECT_EQ(check_output(path("a")), "");
  EXPECT_EQ(files(), 0u) << "checking leaves nothing";
  EXPECT_EQ(write_output(path("a"), "one"), "");
  EXPECT_EQ(write_output(path("a"), "two"), "");
  EXPECT_EQ(content(path("a")), "two");
  EXPECT_EQ(files(), 1u);
}

TEST_F(OutputFile, AFailureLeavesTheOldContent) {
  ASSERT_EQ(write_output(path("a"), "old"), "");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{100, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string error = write_output(path("a"), std::string(1000, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_NE(error.find(path("a")), std::string::npos) << error;
  EXPECT_EQ(content(path("a")), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(OutputFile, WhatCannotBeWrittenIsNamed) {
  EXPECT_NE(check_output(folder_.string()).find("is a directory"), std::string::npos);
  EXPECT_NE(check_output(path("none/a")).find(path("none/a")), std::string::npos);
  EXPECT_NE(write_output("/dev/full", "x").find("/dev/full"), std::string::npos);
}

}  // namespace
}  // namespace trapline
