#include "devices/virtio/net_options.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace trapline::virtio {
namespace {

std::string quoted(std::string_view text) { return "`" + std::string(text) + "`"; }

// Cuts `text` at the first `separator`; the rest stays in `text`, empty at the end.
std::string_view take(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view first = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
  return first;
}

bool parse_port(std::string_view text, uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && port != 0;
}

// Leaves `address` alone when the text is empty.
bool parse_address(std::string_view text, uint32_t& address) {
  if (text.empty()) return true;
  in_addr parsed;
  if (inet_pton(AF_INET, std::string(text).c_str(), &parsed) != 1) return false;
  address = ntohl(parsed.s_addr);
  return true;
}

bool parse_mac(std::string_view text, MacAddress& mac) {
  if (text.size() != 17) return false;
  for (size_t i = 0; i < 6; ++i) {
    const char* p = text.data() + 3 * i;
    if (i < 5 && p[2] != ':') return false;
    const auto [end, error] = std::from_chars(p, p + 2, mac[i], 16);
    if (error != std::errc{} || end != p + 2) return false;
  }
  return (mac[0] & 1) == 0;  // not a group address
}

bool parse_forward(std::string_view text, HostForward& forward) {
  const std::string_view protocol = take(text, ':');
  if (protocol != "tcp" && protocol != "udp") return false;
  forward.udp = protocol == "udp";
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return false;
  std::string_view host = text.substr(0, dash);
  std::string_view guest = text.substr(dash + 1);
  if (host.find(':') == std::string_view::npos || guest.find(':') == std::string_view::npos) {
    return false;
  }
  return parse_address(take(host, ':'), forward.host_address) &&
         parse_port(host, forward.host_port) &&
         parse_address(take(guest, ':'), forward.guest_address) &&
         parse_port(guest, forward.guest_port);
}

bool parse_model(std::string_view text, NetOptions::Model& model) {
  static constexpr std::string_view kNames[] = {"virtio", "e1000", "ne2000"};
  const auto* const found = std::find(std::begin(kNames), std::end(kNames), text);
  model = static_cast<NetOptions::Model>(found - std::begin(kNames));
  return found != std::end(kNames);
}

bool parse_flows(std::string_view text, unsigned& flows) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), flows);
  return error == std::errc{} && end == text.data() + text.size() && flows >= 1 &&
         flows <= NetOptions::kMaxFlows;
}

}  // namespace

std::string parse_net(std::string_view text, NetOptions& options) {
  options = {};
  std::string_view rest = text;
  const std::string_view kind = take(rest, ',');
  if (kind == "user") {
    options.kind = NetOptions::Kind::kUser;
  } else if (kind == "passt") {
    options.kind = NetOptions::Kind::kPasst;
  } else if (kind == "tap") {
    options.kind = NetOptions::Kind::kTap;
  } else {
    return "--net: unknown kind " + quoted(kind) + "; it is user, passt or tap";
  }
  if (!text.empty() && text.back() == ',') return "--net: " + quoted(text) + " ends in a comma";
  const bool user = options.kind == NetOptions::Kind::kUser;
  const bool tap = options.kind == NetOptions::Kind::kTap;
  while (!rest.empty()) {
    const std::string_view item = take(rest, ',');
    std::string_view value = item;
    const std::string_view key = take(value, '=');
    if (key == "mac") {
      if (!parse_mac(value, options.mac)) return "--net: bad MAC address in " + quoted(item);
    } else if (key == "model") {
      if (!parse_model(value, options.model)) {
        return "--net: " + quoted(item) + ": give model=virtio|e1000|ne2000";
      }
    } else if (key == "hostfwd" && !tap) {
      HostForward forward;
      if (!parse_forward(value, forward)) {
        return "--net: bad port forward " + quoted(item) +
               "; it is hostfwd=tcp|udp:[HOST]:PORT-[GUEST]:PORT";
      }
      options.forwards.push_back(forward);
    } else if (item == "host-access" && !tap) {
      options.host_access = true;
    } else if (item == "restrict" && !tap) {
      options.restricted = true;
    } else if (key == "flows" && user) {
      if (!parse_flows(value, options.flows)) {
        return "--net: " + quoted(item) + ": give flows=N, from 1 to " +
               std::to_string(NetOptions::kMaxFlows);
      }
    } else if (key == "ifname" && tap) {
      if (value.empty() || value.size() > 15 || value.find('/') != std::string_view::npos) {
        return "--net: bad interface name in " + quoted(item);
      }
      options.interface = value;
    } else {
      return "--net: unknown option " + quoted(item) + " for " + std::string(kind) +
             "; there are " +
             (tap ? "ifname=NAME, mac=M, model=virtio|e1000|ne2000, bus=mmio|pci, slot=N"
                  : std::string(
                        "hostfwd=tcp|udp:[HOST]:PORT-[GUEST]:PORT, host-access, restrict, ") +
                        (user ? "flows=N, " : "") +
                        "mac=M, model=virtio|e1000|ne2000, bus=mmio|pci, slot=N");
    }
  }
  if (options.host_access && options.restricted) {
    return "--net: host-access and restrict exclude each other";
  }
  if (tap && options.interface.empty()) {
    return "--net: tap needs ifname=NAME";
  }
  return {};
}

}  // namespace trapline::virtio
