// Feature bits of the network device, virtio 1.2, 5.1.3, and the header's fields, 5.1.6.
#ifndef TRAPLINE_DEVICES_VIRTIO_NET_FEATURES_H_
#define TRAPLINE_DEVICES_VIRTIO_NET_FEATURES_H_

#include <cstdint>

namespace trapline::virtio::net {

inline constexpr uint64_t kCsum = uint64_t{1} << 0;
inline constexpr uint64_t kGuestCsum = uint64_t{1} << 1;
inline constexpr uint64_t kMtu = uint64_t{1} << 3;
inline constexpr uint64_t kMac = uint64_t{1} << 5;
inline constexpr uint64_t kGuestTso4 = uint64_t{1} << 7;
inline constexpr uint64_t kGuestTso6 = uint64_t{1} << 8;
inline constexpr uint64_t kGuestEcn = uint64_t{1} << 9;
inline constexpr uint64_t kHostTso4 = uint64_t{1} << 11;
inline constexpr uint64_t kHostTso6 = uint64_t{1} << 12;
inline constexpr uint64_t kHostEcn = uint64_t{1} << 13;
inline constexpr uint64_t kMergeableBuffers = uint64_t{1} << 15;
inline constexpr uint64_t kStatus = uint64_t{1} << 16;
inline constexpr uint64_t kControlQueue = uint64_t{1} << 17;
inline constexpr uint64_t kControlRx = uint64_t{1} << 18;
inline constexpr uint64_t kControlMacAddress = uint64_t{1} << 23;

// Those of `--net user`.
inline constexpr uint64_t kUserOffloads = kCsum | kGuestCsum | kHostTso4 | kHostTso6;

enum HeaderFlag : uint8_t { kNeedsCsum = 1, kDataValid = 2 };
enum GsoType : uint8_t { kGsoNone = 0, kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoEcn = 0x80 };

}  // namespace trapline::virtio::net

#endif  // TRAPLINE_DEVICES_VIRTIO_NET_FEATURES_H_
