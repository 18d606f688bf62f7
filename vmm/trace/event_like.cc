#include "vmm/trace/event_like.h"

namespace trapline::trace {
namespace {

constexpr uint8_t kFlagsAlike = ExitEvent::kAccesses | ExitEvent::kUndefined | ExitEvent::kReached;

// How far each address of `event` is from the slot's last one.
struct Moves {
  Moves(const Shape& shape, const ExitEvent& event) {
    if (is_abort(event.exit.kind)) {
      far = event.exit.far - shape.exit.far;
      ipa = event.exit.ipa - shape.exit.ipa;
    }
    if ((event.flags & ExitEvent::kReached) != 0) reached = event.reached.ipa - shape.reached.ipa;
    if (!event.accesses.empty()) offset = event.accesses[0].offset - shape.access.offset;
  }
  bool together(const ExitEvent& event) const {
    return ipa == ((event.exit.valid_mask & Exit::kIpa) != 0 ? far : 0) &&
           ((event.flags & ExitEvent::kReached) == 0 || reached == far) &&
           (event.accesses.empty() || offset == far);
  }
  uint64_t far = 0, ipa = 0, reached = 0, offset = 0;
};

void take_position(Coding& coding, Shape& shape, const ExitEvent& event) {
  const Exit& exit = event.exit;
  coding.start = event.start;
  coding.pc = exit.pc;
  if (is_abort(exit.kind)) {
    coding.esr = exit.esr;
    coding.far = shape.exit.far = exit.far;
    coding.ipa = shape.exit.ipa = exit.ipa;
  }
  shape.reached.ipa = event.reached.ipa;
  if (!event.accesses.empty()) shape.access.offset = event.accesses[0].offset;
  shape.before_mask = event.before_mask;
  shape.after_mask = event.after_mask;
}

// Whether write_like() can say it.
bool is_like(const Shape& shape, const ExitEvent& event) {
  const Exit &a = shape.exit, &b = event.exit;
  if (a.pc != b.pc || shape.answer != event.answer || a.kind != b.kind || a.esr != b.esr ||
      shape.flags != event.flags || (event.flags & ~kFlagsAlike) != 0 ||
      a.valid_mask != b.valid_mask || event.accesses.size() > 1 ||
      event.answer.how == Resume::kFault) {
    return false;
  }
  if (a.kind == ExitKind::kSysreg) {
    return a.sysreg == b.sysreg && a.sysreg_rt == b.sysreg_rt && a.sysreg_write == b.sysreg_write;
  }
  if (a.kind == ExitKind::kDataAbort &&
      (shape.source != event.source || shape.context != event.context)) {
    return false;
  }
  if ((event.flags & ExitEvent::kReached) != 0 &&
      (shape.reached.size != event.reached.size || shape.reached.how != event.reached.how)) {
    return false;
  }
  if (event.accesses.empty()) return true;
  const DeviceAccess &before = shape.access, &now = event.accesses[0];
  return before.region == now.region && before.size == now.size && before.write == now.write &&
         before.abort == now.abort;
}

void write_like(Encoder& to, Coding& coding, Shape& shape, const ExitEvent& event) {
  Encoder out = to;  // in a register: what is written may be anything, for all the compiler knows
  const Exit& exit = event.exit;
  const Moves moves(shape, event);
  const bool moved = moves.together(event);
  const bool same_masks =
      shape.before_mask == event.before_mask && shape.after_mask == event.after_mask;
  out.byte(static_cast<uint8_t>(static_cast<uint8_t>(Tag::kLike) | (moved ? kMoved : 0) |
                                (same_masks ? kSameMasks : 0)));
  out.byte(static_cast<uint8_t>(Coding::slot_of(exit.pc)));
  out.varint(event.start - coding.start);
  out.varint(event.total);
  if (is_abort(exit.kind)) out.varint(zigzag(moves.far));
  if (!moved) {
    if (is_abort(exit.kind)) out.varint(zigzag(moves.ipa));
    if ((event.flags & ExitEvent::kReached) != 0) out.varint(zigzag(moves.reached));
    if (!event.accesses.empty()) out.varint(zigzag(moves.offset));
  }
  if (exit.kind == ExitKind::kSysreg) out.varint(event.value);
  if (!same_masks) {
    out.varint(event.before_mask);
    out.varint(event.after_mask);
  }
  put_values(out, event.before_mask, event.before, coding.registers);
  put_values(out, event.after_mask, event.after, coding.registers);
  if (!event.accesses.empty()) out.varint(event.accesses[0].value);
  to = out;
  take_position(coding, shape, event);
}

}  // namespace

void remember(Shape& shape, const ExitEvent& event) {
  shape.exit = event.exit;
  shape.answer = event.answer;
  shape.flags = event.flags;
  shape.source = event.source;
  shape.context = event.context;
  shape.before_mask = event.before_mask;
  shape.after_mask = event.after_mask;
  shape.access = event.accesses.empty() ? DeviceAccess{} : event.accesses[0];
  shape.reached = event.reached;
}

void write_event(Encoder& out, Coding& coding, const ExitEvent& event) {
  Shape& shape = coding.shapes[Coding::slot_of(event.exit.pc)];
  if (is_like(shape, event)) [[likely]] {
    write_like(out, coding, shape, event);
  } else {
    remember(shape, event);
    write_whole(out, coding, event);
  }
}

bool read_like(Decoder& in, Coding& coding, uint8_t tag, ExitEvent& event) {
  const uint8_t bits = tag & ~static_cast<uint8_t>(Tag::kLike);
  Shape& shape = coding.shapes[in.byte()];
  if ((bits & ~kLikeBits) != 0 || shape.answer.how == Resume::kWhole) return false;
  Exit& exit = event.exit;
  exit = shape.exit;
  event.answer = shape.answer;
  event.flags = shape.flags;
  event.source = shape.source;
  event.context = shape.context;
  event.reached = shape.reached;
  if ((event.flags & ExitEvent::kAccesses) != 0) event.accesses.push_back(shape.access);
  event.start = coding.start + in.varint();
  event.total = in.varint();
  if (is_abort(exit.kind)) {
    const uint64_t far = unzigzag(in.varint());
    const bool known = (exit.valid_mask & Exit::kIpa) != 0;
    exit.far += far;
    if ((bits & kMoved) != 0) {
      if (known) exit.ipa += far;
      event.reached.ipa += far;
      if (!event.accesses.empty()) event.accesses[0].offset += far;
    }
  }
  if ((bits & kMoved) == 0) {
    if (is_abort(exit.kind)) exit.ipa += unzigzag(in.varint());
    if ((event.flags & ExitEvent::kReached) != 0) event.reached.ipa += unzigzag(in.varint());
    if (!event.accesses.empty()) event.accesses[0].offset += unzigzag(in.varint());
  }
  event.value = exit.kind == ExitKind::kSysreg ? in.varint() : 0;
  exit.sysreg_value = exit.sysreg_write ? event.value : 0;
  event.before_mask = shape.before_mask;
  event.after_mask = shape.after_mask;
  if ((bits & kSameMasks) == 0 &&
      (!get_mask(in, event.before_mask) || !get_mask(in, event.after_mask))) {
    return false;
  }
  get_values(in, event.before_mask, event.before, coding.registers);
  get_values(in, event.after_mask, event.after, coding.registers);
  if (!event.accesses.empty()) event.accesses[0].value = in.varint();
  take_position(coding, shape, event);
  if ((event.flags & ExitEvent::kReached) != 0) ask_for_reached(event);
  return in.ok();
}

void reached_questions(const ExitEvent::Reached& reached, uint64_t va, std::vector<Question>& to) {
  to.assign(2, {});
  to[0].a = va;
  to[0].b = reached.size;
  to[0].c = reached.how & 0xf;
  to[0].extra = reached.how >> 4 & 1;
  to[0].ipa = reached.ipa;
  to[1].kind = Question::Kind::kRam;
  to[1].a = reached.ipa;
  to[1].b = reached.how & 7;
}

void ask_for_reached(ExitEvent& event) {
  if (event.rare == nullptr) event.rare = std::make_unique<ExitEvent::Rare>();
  reached_questions(event.reached, event.exit.far, event.rare->questions);
  event.flags |= ExitEvent::kQuestions;
}

}  // namespace trapline::trace
