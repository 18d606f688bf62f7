#include "vmm/cli/display.h"

#include <string_view>
#include <utility>

#include "vmm/config/size.h"

namespace trapline {
namespace {

constexpr std::string_view kVnc = "vnc:", kUnix = "vnc:unix:";

}  // namespace

std::string check_display(const std::string& where) {
  if (where.empty() || where == "none") return {};
  if (where.starts_with(kUnix)) {
    return where.size() > kUnix.size() ? std::string() : "vnc:unix: needs a path behind it";
  }
  uint64_t port = 0;
  if (where.starts_with(kVnc)) return parse_number(where.substr(kVnc.size()), 1, 65535, port);
  return "give none, vnc:unix:PATH or vnc:PORT";
}

Result<Display> open_display(const std::string& where, Viewers::EnterJail enter) {
  Display display;
  if (!where.starts_with(kVnc)) return display;
  const auto failed = [&where](const std::string& why) {
    return Error{"--display " + where + ": " + why};
  };
  uint64_t port = 0;
  if (!where.starts_with(kUnix)) parse_number(where.substr(kVnc.size()), 1, 65535, port);
  auto socket = port != 0 ? ListeningSocket::at_port(static_cast<unsigned>(port))
                          : ListeningSocket::at_path(
                                where.substr(kUnix.size()),
                                where.substr(kUnix.size()) + ": somebody listens there already");
  if (!socket) return failed(socket.error());
  auto viewers = Viewers::start(socket->fd(), enter);
  if (!viewers) return failed(viewers.error());
  display.socket = std::move(*socket);
  display.viewers = std::move(*viewers);
  return display;
}

}  // namespace trapline
