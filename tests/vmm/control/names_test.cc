#include "vmm/control/names.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <string>

#include "vmm/control/sockets.h"

namespace trapline {
namespace {

TEST(Names, LettersDigitsAndThree) {
  for (const char* good : {"a", "debian-12", "A_b.c", "0", "a."}) {
    EXPECT_EQ(check_vm_name(good), "") << good;
  }
  EXPECT_EQ(check_vm_name(std::string(64, 'x')), "");
  for (const std::string& bad :
       {std::string(), std::string(65, 'x'), std::string("a/b"), std::string(".."),
        std::string(".a"), std::string("a b"), std::string("a\0b", 3), std::string("\xc3\xa4")}) {
    EXPECT_NE(check_vm_name(bad), "") << bad;
    EXPECT_EQ(check_vm_name(bad).find('\n'), std::string::npos);
  }
}

TEST(Names, FolderByEnvironment) {
  setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  EXPECT_EQ(vm_socket_path("x"), "/run/user/7/trapline/x.sock");
  for (const char* none : {"", "relative"}) {
    setenv("XDG_RUNTIME_DIR", none, 1);
    EXPECT_EQ(runtime_folder().find("/tmp/trapline-"), 0u);
  }
}

TEST(Names, MetricsAddresses) {
  for (const char* good : {"unix:/x", "unix:x", "tcp:1", "tcp:65535"}) {
    EXPECT_EQ(check_metrics_address(good), "") << good;
  }
  for (const char* bad : {"", "unix:", "tcp:", "tcp:0", "tcp:65536", "tcp:1x", "udp:1", "/x"}) {
    EXPECT_NE(check_metrics_address(bad), "") << bad;
  }
}

TEST(Sockets, OneListenerAPathAndItsFileGoesWithIt) {
  char folder[] = "/tmp/control_test.XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/s";
  struct stat info {};
  {
    auto first = ListeningSocket::at_path(path, "taken");
    ASSERT_TRUE(first) << first.error();
    ASSERT_EQ(lstat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600u);
    auto second = ListeningSocket::at_path(path, "taken");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error(), "taken");
  }
  EXPECT_NE(lstat(path.c_str(), &info), 0);
  FILE* file = std::fopen(path.c_str(), "w");
  std::fclose(file);
  EXPECT_FALSE(ListeningSocket::at_path(path, "taken")) << "a file is nobody's to remove";
  std::remove(path.c_str());
  std::remove(folder);
}

}  // namespace
}  // namespace trapline
