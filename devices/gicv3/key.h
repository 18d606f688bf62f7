// Priorities and the order of pending interrupts.
#ifndef TRAPLINE_DEVICES_GICV3_KEY_H_
#define TRAPLINE_DEVICES_GICV3_KEY_H_

#include <cstdint>

namespace trapline::gicv3 {

inline constexpr unsigned kPriorityBits = 5;  // implemented, and all of them preempt
inline constexpr uint8_t kPriorityMask = 0xff << (8 - kPriorityBits) & 0xff;
inline constexpr uint8_t kIdlePriority = 0xff;

// A pending interrupt that orders as the architecture does (4.8): priority, then INTID. Bit 0 is
// the group.
using Key = uint32_t;
inline constexpr Key kNone = ~Key{0};
constexpr Key make_key(uint8_t priority, unsigned intid, unsigned group) {
  return Key{priority} << 17 | intid << 1 | group;
}
constexpr uint8_t key_priority(Key key) { return static_cast<uint8_t>(key >> 17); }
constexpr unsigned key_intid(Key key) { return key >> 1 & 0xffff; }
constexpr unsigned key_group(Key key) { return key & 1; }

}  // namespace trapline::gicv3

#endif  // TRAPLINE_DEVICES_GICV3_KEY_H_
