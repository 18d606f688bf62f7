#include "devices/virtio/host_routes.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>

namespace trapline::virtio {
namespace {

// rtnetlink(7): a route to one address.
struct Request {
  nlmsghdr header;
  rtmsg route;
  rtattr attribute;
  uint32_t destination;
};
static_assert(sizeof(Request) == NLMSG_LENGTH(sizeof(rtmsg)) + RTA_LENGTH(sizeof(uint32_t)));

}  // namespace

HostRoutes::~HostRoutes() {
  if (fd_ >= 0) close(fd_);
}

int HostRoutes::open() {
  fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  return fd_ < 0 ? -errno : 0;
}

bool HostRoutes::is_own(uint32_t address) {
  Request request = {};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.header.nlmsg_seq = ++sequence_;
  request.route.rtm_family = AF_INET;
  request.route.rtm_dst_len = 32;
  request.attribute.rta_type = RTA_DST;
  request.attribute.rta_len = RTA_LENGTH(sizeof request.destination);
  request.destination = htonl(address);
  if (send(fd_, &request, sizeof request, 0) != sizeof request) return true;
  alignas(nlmsghdr) char answer[4096];
  // The kernel answers within send(). An answer to an earlier question may stand before ours.
  for (;;) {
    const ssize_t size = recv(fd_, answer, sizeof answer, MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < static_cast<ssize_t>(sizeof(nlmsghdr))) return true;
    nlmsghdr header;
    std::memcpy(&header, answer, sizeof header);
    if (header.nlmsg_seq != sequence_) continue;
    if (header.nlmsg_type == NLMSG_ERROR) return false;  // no route
    if (header.nlmsg_type != RTM_NEWROUTE ||
        size < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(rtmsg)))) {
      return true;
    }
    rtmsg route;
    std::memcpy(&route, answer + NLMSG_HDRLEN, sizeof route);
    return route.rtm_type != RTN_UNICAST;
  }
}

bool HostRoutes::is_own_lately(uint32_t address, int64_t now_ms) {
  constexpr int64_t kKeepMs = 1000;
  Known& known = known_[address % std::size(known_)];
  if (known.address != address || known.until_ms < now_ms) {
    known = {address, is_own(address), now_ms + kKeepMs};
  }
  return known.own;
}

}  // namespace trapline::virtio
