#include "vmm/jail/broker.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "vmm/host/output_file.h"

namespace trapline::jail {
namespace {

class BrokerTest : public testing::Test {
 protected:
  BrokerTest() {
    char name[] = "/tmp/trapline-broker-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~BrokerTest() override { std::filesystem::remove_all(folder_); }
  std::string path(const char* name) const { return folder_ + "/" + name; }
  static std::string content(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void listen_at(const std::string& path) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    close(fd);
  }
  std::string folder_;
};

TEST_F(BrokerTest, DoesWhatWasNamedAndNothingElse) {
  std::ofstream(path("kernel")) << "bytes";
  std::ofstream(path("secret")) << "no";
  const auto broker = Broker::start();
  ASSERT_NE(broker, nullptr);
  broker->may_read(path("kernel"));
  broker->may_write(path("stats"));
  ASSERT_EQ(broker->seal(), "");

  const int fd = broker->open(path("kernel"));
  char bytes[8] = {};
  EXPECT_EQ(read(fd, bytes, sizeof bytes), 5);
  EXPECT_STREQ(bytes, "bytes");
  close(fd);
  EXPECT_LT(broker->open(path("secret")), 0);
  EXPECT_EQ(errno, EACCES);
  EXPECT_LT(broker->open(path("stats")), 0);  // is for writing

  EXPECT_EQ(broker->write(path("stats"), "first"), "");
  EXPECT_EQ(broker->write(path("stats"), "second"), "");
  EXPECT_EQ(content(path("stats")), "second");
  EXPECT_NE(broker->write(path("kernel"), "mine"), "");
  EXPECT_EQ(content(path("kernel")), "bytes");
  // Nothing is left beside it.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 3);

  broker->may_read(path("secret"));  // too late
  EXPECT_LT(broker->open(path("secret")), 0);
}

TEST_F(BrokerTest, SaysWhyNot) {
  const auto broker = Broker::start();
  ASSERT_NE(broker, nullptr);
  broker->may_write(path("none/stats"));
  broker->may_read(path("none"));
  ASSERT_EQ(broker->seal(), "");
  EXPECT_EQ(broker->write(path("none/stats"), "x"),
            path("none/stats") + ": cannot make a file there: No such file or directory");
  EXPECT_LT(broker->open(path("none")), 0);
  EXPECT_EQ(errno, ENOENT);
}

TEST_F(BrokerTest, WritesAPipeAsItIs) {
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const int reader = open(path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  const auto broker = Broker::start();
  broker->may_write(path("pipe"));
  ASSERT_EQ(broker->seal(), "");
  EXPECT_EQ(broker->write(path("pipe"), "text"), "");
  char bytes[8] = {};
  EXPECT_EQ(read(reader, bytes, sizeof bytes), 4);
  close(reader);
}

TEST_F(BrokerTest, RemovesSocketsOfAKilledVm) {
  listen_at(path("kept"));
  listen_at(path("gone"));
  const pid_t child = fork();
  if (child == 0) {
    const auto broker = Broker::start();
    broker->may_remove(path("gone"));
    broker->may_remove(path("kept"));
    if (!broker->seal().empty()) _exit(1);
    // Another's by now.
    unlink(path("kept").c_str());
    listen_at(path("kept"));
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  while (access(path("gone").c_str(), F_OK) == 0) usleep(1000);
  EXPECT_EQ(access(path("kept").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace trapline::jail
