// The server with clients as bad as they come; the machine is a fake.
#include "vmm/control/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "tests/vmm/control/fake_machine.h"
#include "vmm/control/client.h"
#include "vmm/control/names.h"

namespace trapline {
namespace {

class Server : public testing::Test {
 protected:
  Server() {
    EXPECT_NE(mkdtemp(folder_), nullptr);
    setenv("XDG_RUNTIME_DIR", folder_, 1);
    auto socket = listen_as("vm");
    EXPECT_TRUE(socket) << socket.error();
    ControlServer::Sockets sockets;
    sockets.control = std::move(*socket);
    server_.emplace(std::move(sockets), "vm", "1");
    server_->start(machine_);
  }
  ~Server() override {
    server_.reset();
    EXPECT_TRUE(vm_names().empty());
    rmdir((std::string(folder_) + "/trapline").c_str());
    rmdir(folder_);
  }
  char folder_[32] = "/tmp/control_test.XXXXXX";
  FakeMachine machine_;
  std::optional<ControlServer> server_;
};

TEST_F(Server, AnswersAndGoes) {
  auto client = ControlClient::connect("vm");
  ASSERT_TRUE(client) << client.error();
  auto reply = client->request({{"verb", "status"}});
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ((*reply)["name"], "vm");
  EXPECT_EQ(client->request({{"verb", "fly"}}).error(), "unknown verb 'fly'");
  server_->stop();
  EXPECT_EQ(client->request({{"verb", "status"}}).error(), "the VM named vm is gone");
  EXPECT_EQ(ControlClient::connect("vm").error(), "no VM named vm (none is running)");
}

TEST_F(Server, TheLastEventIsHeard) {
  server_->happened({"boot", "first", {}});
  auto client = ControlClient::connect("vm");
  ASSERT_TRUE(client->request({{"verb", "events"}}));
  server_->happened({"stop", "end", 3});
  server_->stop();
  std::string line;
  ASSERT_TRUE(client->next_line(line, true));
  EXPECT_NE(line.find("\"first\""), std::string::npos) << line;
  ASSERT_TRUE(client->next_line(line, true));
  EXPECT_NE(line.find("\"status\":3"), std::string::npos) << line;
  EXPECT_FALSE(client->next_line(line, true));
}

// Who tells events waits for nobody, however many come.
TEST_F(Server, ASlowSubscriberIsDropped) {
  auto slow = ControlClient::connect("vm");
  ASSERT_TRUE(slow->request({{"verb", "events"}}));
  auto quick = ControlClient::connect("vm");
  constexpr int kEvents = 4000;
  for (int i = 0; i < kEvents; ++i) {
    server_->happened({"reset", std::string(400, 'x'), {}});
    if (i % 10 == 0) {
      ASSERT_TRUE(quick->request({{"verb", "status"}}));
    }
  }
  std::string line;
  int read = 0;
  while (slow->next_line(line, true)) ++read;
  EXPECT_LT(read, kEvents);
}

TEST_F(Server, ClientsAreBounded) {
  std::vector<ControlClient> clients;
  bool refused = false;
  for (size_t i = 0; i < ControlServer::kMaxClients + 2 && !refused; ++i) {
    auto client = ControlClient::connect("vm");
    ASSERT_TRUE(client);
    auto reply = client->request({{"verb", "status"}});
    refused = !reply;
    if (refused) {
      EXPECT_EQ(reply.error(), "too many clients: try again later");
    }
    clients.push_back(std::move(*client));
  }
  EXPECT_TRUE(refused);
  EXPECT_EQ(clients.size(), ControlServer::kMaxClients + 1);
}

}  // namespace
}  // namespace trapline
