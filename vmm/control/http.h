// As much HTTP/1.1 as a scraper of metrics speaks: one request a connection, no body.
#ifndef TRAPLINE_VMM_CONTROL_HTTP_H_
#define TRAPLINE_VMM_CONTROL_HTTP_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace trapline {

inline constexpr size_t kMaxHttpHead = 8192;  // bytes of a request

struct HttpRequest {
  enum class State { kMore, kBad, kComplete };
  State state = State::kMore;
  std::string method, path;  // kComplete; the path without its query
};

// Of all that has come so far.
HttpRequest parse_http(std::string_view bytes);

// The whole response; `status` is "200 OK". The connection closes behind it. `head`: no body, but
// its length.
std::string http_response(std::string_view status, std::string_view type, std::string_view body,
                          bool head);

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_HTTP_H_
