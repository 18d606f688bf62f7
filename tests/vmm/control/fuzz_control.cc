// What a control socket and the metrics' socket are sent, whatever bytes it is.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tests/vmm/control/fake_machine.h"
#include "vmm/control/http.h"
#include "vmm/control/verbs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trapline;
  static FakeMachine machine;
  static Verbs verbs(machine, "vm", "1");
  machine.calls.clear();
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string reply = verbs.answer(bytes).line;
  // Always one line, which is JSON.
  if (reply.find('\n') != reply.size() - 1) std::abort();
  if (!nlohmann::json::parse(reply)["ok"].is_boolean()) std::abort();
  const HttpRequest request = parse_http(bytes);
  if (request.state == HttpRequest::State::kComplete && request.path[0] != '/') std::abort();
  return 0;
}
