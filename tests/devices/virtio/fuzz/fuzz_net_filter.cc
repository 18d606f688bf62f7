// Fuzzes what judges a guest's frames: any bytes, as they are or under an IPv4 header.
#include <cstdlib>
#include <vector>

#include "devices/virtio/ip_reassembly.h"
#include "devices/virtio/net_filter.h"
#include "tests/devices/virtio/fuzz/input.h"

namespace trapline::virtio {
namespace {

void run(fuzz::Input in) {
  const auto shape = in.take<uint8_t>();
  size_t size = 4096;
  const uint8_t* bytes = in.take_bytes(size);
  std::vector<uint8_t> frame(bytes, bytes + size);  // of its own: ASan sees its ends
  if ((shape & 1) != 0 && size >= 34) {
    frame[12] = 8, frame[13] = 0, frame[14] = static_cast<uint8_t>(0x45 + (shape >> 5));
    frame[16] = static_cast<uint8_t>((size - 14) >> 8), frame[17] = static_cast<uint8_t>(size - 14);
    if ((shape & 2) != 0) frame[20] = frame[21] = 0;
    frame[23] = (shape & 4) != 0 ? 6 : (shape & 8) != 0 ? 17 : 1;
    if ((shape & 16) != 0) frame[30] = 127;
  }
  const GuestPacket p = parse_guest_frame(frame.data(), frame.size());
  for (const Opening opening : {Opening::kOutside, Opening::kEverything, Opening::kNothing}) {
    const Reach reach = judge(p, opening);
    if (p.kind == GuestPacket::Kind::kIgnored && reach != Reach::kIgnore) std::abort();
    if (reach != Reach::kNew || opening == Opening::kEverything) continue;
    if (opening == Opening::kNothing) std::abort();
    const bool dns = p.destination == user_net::kNameServer && p.destination_port == 53;
    if (is_closed_address(p.destination) && !dns) std::abort();
  }
  if (p.kind == GuestPacket::Kind::kIpv4 && p.fragment) {
    static IpReassembly reassembly;
    static int64_t now = 0;
    const auto whole = reassembly.add(frame.data(), p.ip_at, now += shape);
    if (!whole.empty()) {
      const GuestPacket q = parse_guest_frame(whole.data(), whole.size());
      if (q.fragment || q.destination != p.destination) std::abort();
    }
  }
  uint8_t out[kMaxRefusal];
  if (make_refusal(frame.data(), frame.size(), p, out) > sizeof out) std::abort();
}

}  // namespace
}  // namespace trapline::virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  trapline::virtio::run({data, size});
  return 0;
}
