#include "vmm/control/http.h"

#include <fmt/format.h>

#include <algorithm>

namespace trapline {
namespace {

bool token(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

HttpRequest parse_http(std::string_view bytes) {
  HttpRequest out;
  const size_t end = std::min(bytes.find("\r\n\r\n"), bytes.find("\n\n"));
  if (end == std::string_view::npos) {
    if (bytes.size() >= kMaxHttpHead) out.state = HttpRequest::State::kBad;
    return out;
  }
  out.state = HttpRequest::State::kBad;
  std::string_view line = bytes.substr(0, bytes.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return out;
  const std::string_view method = line.substr(0, first), version = line.substr(last + 1);
  std::string_view target = line.substr(first + 1, last - first - 1);
  target = target.substr(0, target.find('?'));
  if (!token(method) || !token(target) || target[0] != '/') return out;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return out;
  out.method = method;
  out.path = target;
  out.state = HttpRequest::State::kComplete;
  return out;
}

std::string http_response(std::string_view status, std::string_view type, std::string_view body,
                          bool head) {
  std::string out = fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n"
      "Connection: close\r\n\r\n",
      status, type, body.size());
  if (!head) out += body;
  return out;
}

}  // namespace trapline
