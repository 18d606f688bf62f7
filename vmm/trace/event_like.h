// An exit that is like the last one in its slot: written as what differs. Internal to event.cc.
//
//   byte    Tag::kLike and LikeBits
//   byte    slot: Coding::slot_of() the PC
//   varint  start, since the exit before; total
//   zigzag  of an abort: FAR, since the slot's last
//   zigzag  without kMoved: IPA of an abort, where it leads (kReached), offset at the device, each
//           since the slot's last
//   varint  value of a system register
//   varint  without kSameMasks: the masks of registers before and after
//   varint  registers before and after, each as XOR with its last known value
//   varint  value at the device
#ifndef TRAPLINE_VMM_TRACE_EVENT_LIKE_H_
#define TRAPLINE_VMM_TRACE_EVENT_LIKE_H_

#include "vmm/trace/event.h"

namespace trapline::trace {

enum LikeBit : uint8_t {
  kMoved = 1,      // all addresses have moved by as much as FAR; what is UNKNOWN, not at all
  kSameMasks = 2,  // registers
};
inline constexpr uint8_t kLikeBits = kMoved | kSameMasks;

constexpr bool is_abort(ExitKind kind) {
  return kind == ExitKind::kDataAbort || kind == ExitKind::kPrefetchAbort;
}

// The values that a mask names, each as a difference from what is known, which it then is.
inline void put_values(Encoder& out, uint64_t mask,
                       const std::array<uint64_t, ExitEvent::kRegisters>& values,
                       std::array<uint64_t, ExitEvent::kRegisters>& known) {
  for_each_bit(mask, [&](unsigned i) {
    out.varint(values[i] ^ known[i]);
    known[i] = values[i];
  });
}
inline void get_values(Decoder& in, uint64_t mask,
                       std::array<uint64_t, ExitEvent::kRegisters>& values,
                       std::array<uint64_t, ExitEvent::kRegisters>& known) {
  for_each_bit(mask, [&](unsigned i) { values[i] = known[i] ^= in.varint(); });
}
// False: it names registers that there are not.
inline bool get_mask(Decoder& in, uint64_t& mask) {
  mask = in.varint();
  return mask >> ExitEvent::kRegisters == 0;
}

// `event` is the slot's last one now.
void remember(Shape& shape, const ExitEvent& event);
// An exit that is not like its slot's last one: all of it.
void write_whole(Encoder& out, Coding& coding, const ExitEvent& event);
bool read_like(Decoder& in, Coding& coding, uint8_t tag, ExitEvent& event);
// The two questions that ExitEvent::reached stands for, about `va`; `to` has no others.
void reached_questions(const ExitEvent::Reached& reached, uint64_t va, std::vector<Question>& to);
// kReached was read: the event has these.
void ask_for_reached(ExitEvent& event);

}  // namespace trapline::trace

#endif  // TRAPLINE_VMM_TRACE_EVENT_LIKE_H_
