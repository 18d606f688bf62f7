#include "vmm/control/request.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/vmm/control/fake_machine.h"
#include "vmm/control/events.h"
#include "vmm/control/http.h"
#include "vmm/control/verbs.h"

namespace trapline {
namespace {

TEST(Request, Refused) {
  const struct {
    std::string line;
    const char* error;
  } kRows[] = {
      {"", "no JSON object"},
      {"[]", "no JSON object"},
      {"{\"verb\": \"status\"", "no JSON object"},
      {"{}", "no \"verb\""},
      {"{\"verb\": 1}", "no \"verb\""},
      {"{\"verb\": \"fly\"}", "unknown verb 'fly'"},
      {"{\"verb\": \"\\u001b[2J\"}", "unknown verb '?[2J'"},
      {"{\"verb\": \"status\", \"protocol\": 2}", "protocol 1 only"},
      {"{\"verb\": \"status\", \"protocol\": \"1\"}", "protocol 1 only"},
      {"{\"verb\": \"status\", \"action\": \"x\"}", "has no \"action\""},
      {"{\"verb\": \"profile\"}", "start, stop, reset or report"},
      {"{\"verb\": \"profile\", \"action\": []}", "is no text"},
      {"{\"verb\": \"balloon\"}", "no \"bytes\""},
      {"{\"verb\": \"balloon\", \"bytes\": -1}", "no \"bytes\""},
      {std::string(5000, ' '), "at most 4096"},
      {std::string(4000, '['), "no JSON object"},
  };
  for (const auto& row : kRows) {
    auto request = parse_request(row.line);
    ASSERT_FALSE(request) << row.line;
    EXPECT_NE(request.error().find(row.error), std::string::npos) << request.error();
  }
  EXPECT_TRUE(parse_request(R"({"verb": "status", "protocol": 1, "unknown": {}})"));
}

TEST(Verbs, AnswerWithOneLine) {
  FakeMachine machine;
  Verbs verbs(machine, "vm", "1.0");
  const struct {
    const char *line, *calls;
  } kRows[] = {
      {R"({"verb": "profile", "action": "start"})", "start;"},
      {R"({"verb": "profile", "action": "stop"})", "stop;"},
      {R"({"verb": "profile", "action": "reset"})", "reset;"},
      {R"({"verb": "pause"})", "pause;"},
      {R"({"verb": "resume"})", "resume;"},
      {R"({"verb": "reset"})", "reset_guest;"},
      {R"({"verb": "power-off"})", "end 0;"},
      {R"({"verb": "stop"})", "end 143;"},
      {R"({"verb": "balloon", "bytes": 4096})", "balloon 4096;"},
  };
  for (const auto& row : kRows) {
    machine.calls.clear();
    machine.answer.clear();
    EXPECT_EQ(verbs.answer(row.line).line, "{\"ok\":true}\n") << row.line;
    EXPECT_EQ(machine.calls, row.calls);
    machine.answer = "no";
    EXPECT_EQ(verbs.answer(row.line).line, "{\"ok\":false,\"error\":\"no\"}\n");
  }
  EXPECT_TRUE(verbs.answer(R"({"verb": "events"})").subscribe);
  const auto status = nlohmann::json::parse(verbs.answer(R"({"verb": "status"})").line);
  EXPECT_EQ(status["name"], "vm");
  const auto stat = nlohmann::json::parse(verbs.answer(R"({"verb": "stat"})").line);
  EXPECT_EQ(stat["stat"]["vcpus"].size(), 2u);
  EXPECT_EQ(
      nlohmann::json::parse(verbs.answer(R"({"verb": "profile", "action": "report"})").line)["ok"],
      false);
}

TEST(Verbs, ScreenshotsGoIntoAFile) {
  FakeMachine machine;
  Verbs verbs(machine, "vm", "1.0");
  const std::string line = R"({"verb": "screenshot"})";
  const auto ask = [&](FILE* file) {
    std::vector<Descriptor> passed;
    if (file != nullptr) passed.emplace_back(dup(fileno(file)));
    return nlohmann::json::parse(verbs.answer(line, std::move(passed)).line);
  };
  const std::unique_ptr<FILE, int (*)(FILE*)> file(tmpfile(), fclose);
  EXPECT_FALSE(ask(nullptr)["ok"]);
  EXPECT_EQ(ask(file.get())["error"], "nothing there");
  machine.screen = {2, 1, {0, 0xffffff}};
  const auto reply = ask(file.get());
  EXPECT_TRUE(reply["ok"]);
  EXPECT_EQ(reply["width"], 2);
  EXPECT_EQ(std::fseek(file.get(), 0, SEEK_END), 0);
  EXPECT_EQ(static_cast<size_t>(std::ftell(file.get())), png(machine.screen).size());
}

TEST(Verbs, StatusHasTheBalloon) {
  FakeMachine machine;
  Verbs verbs(machine, "vm", "1.0");
  const auto ask = [&] {
    return nlohmann::json::parse(verbs.answer(R"({"verb": "status"})").line);
  };
  EXPECT_FALSE(ask().contains("balloon"));
  machine.lent.emplace();
  machine.lent->actual_bytes = 8192;
  machine.lent->stats[4] = 77;
  const auto balloon = ask()["balloon"];
  EXPECT_EQ(balloon["actual_bytes"], 8192);
  EXPECT_EQ(balloon["guest"]["free_bytes"], 77);
  EXPECT_FALSE(balloon["guest"].contains("total_bytes"));
}

TEST(Events, TheLastOnesAreKept) {
  EventLog log;
  for (int i = 0; i < 100; ++i) log.add({"boot", std::string(10000, '\xff'), i});
  std::string lines;
  EXPECT_EQ(log.since(0, lines), 100u);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), static_cast<long>(EventLog::kKept));
  EXPECT_LT(lines.size(), EventLog::kKept * 2048);
  lines.clear();
  EXPECT_EQ(log.since(99, lines), 100u);
  const auto last = nlohmann::json::parse(lines);
  EXPECT_EQ(last["seq"], 99);
  EXPECT_EQ(last["status"], 99);
  lines.clear();
  EXPECT_EQ(log.since(100, lines), 100u);
  EXPECT_EQ(lines, "");
}

TEST(Http, Requests) {
  using State = HttpRequest::State;
  const struct {
    std::string bytes;
    State state;
    const char* path;
  } kRows[] = {
      {"", State::kMore, ""},
      {"GET /metrics HTTP/1.1\r\nHost: x\r\n", State::kMore, ""},
      {"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", State::kComplete, "/metrics"},
      {"GET /metrics?a=b HTTP/1.0\n\n", State::kComplete, "/metrics"},
      {"GET /metrics HTTP/2\r\n\r\n", State::kBad, ""},
      {"GET http://x/ HTTP/1.1\r\n\r\n", State::kBad, ""},
      {"GET\r\n\r\n", State::kBad, ""},
      {"GET / \r\n\r\n", State::kBad, ""},
      {"\r\n\r\n", State::kBad, ""},
      {std::string(kMaxHttpHead, 'x'), State::kBad, ""},
  };
  for (const auto& row : kRows) {
    const HttpRequest request = parse_http(row.bytes);
    EXPECT_EQ(request.state, row.state) << row.bytes;
    EXPECT_EQ(request.path, row.path);
  }
  const std::string head = http_response("200 OK", "text/plain", "body", true);
  EXPECT_NE(head.find("Content-Length: 4\r\n"), std::string::npos);
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
}

}  // namespace
}  // namespace trapline
