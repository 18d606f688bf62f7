#include "vmm/trace/event.h"

#include <algorithm>

#include "vmm/trace/event_like.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::trace {
namespace {

constexpr size_t kMostAccesses = 1 << 16, kMostQuestions = 1 << 12;

uint8_t answer_byte(Answer answer) {
  return static_cast<uint8_t>(static_cast<uint8_t>(answer.how) | (answer.then_leave ? 0x80 : 0));
}

void put_fault(Encoder& out, const GuestFault& fault) {
  out.varint(fault.far);
  out.byte(fault.fsc);
  out.byte(fault.write);
  out.byte(fault.ec);
  out.varint(fault.iss);
}
GuestFault get_fault(Decoder& in) {
  GuestFault fault{};
  fault.far = in.varint();
  fault.fsc = in.byte();
  fault.write = in.byte() != 0;
  fault.ec = in.byte();
  fault.iss = static_cast<uint32_t>(in.varint());
  return fault;
}

void put_monitor(Encoder& out, const ExclusiveMonitor& m) {
  out.byte(static_cast<uint8_t>((m.valid ? 1 : 0) | (m.device ? 2 : 0)));
  out.byte(m.bytes);
  out.varint(m.ipa);
  out.varint(m.value[0]);
  out.varint(m.value[1]);
}
ExclusiveMonitor get_monitor(Decoder& in) {
  ExclusiveMonitor m;
  const uint8_t bits = in.byte();
  m.valid = (bits & 1) != 0;
  m.device = (bits & 2) != 0;
  m.bytes = in.byte();
  m.ipa = in.varint();
  m.value[0] = in.varint();
  m.value[1] = in.varint();
  return m;
}

void put_vectors(Encoder& out, uint32_t mask, const std::array<Vreg, 32>& values) {
  out.varint(mask);
  for_each_bit(mask, [&](unsigned i) {
    out.bytes(&values[i].lo, 8);
    out.bytes(&values[i].hi, 8);
  });
}
bool get_vectors(Decoder& in, uint32_t& mask, std::array<Vreg, 32>& values) {
  mask = static_cast<uint32_t>(in.varint());
  for_each_bit(mask, [&](unsigned i) {
    const auto data = in.bytes(sizeof(Vreg));
    if (!data.empty()) std::memcpy(&values[i], data.data(), sizeof(Vreg));
  });
  return in.ok();
}

bool has_fault(const Question& q) {
  return q.kind == Question::Kind::kTranslate &&
         static_cast<Translation::Status>(q.answer) == Translation::Status::kFault;
}

void put_question(Encoder& out, const Coding& coding, const Question& q) {
  out.byte(static_cast<uint8_t>(q.kind));
  out.varint(zigzag(q.a - coding.far));
  for (const uint64_t n : {q.b, q.c, q.answer, q.extra}) out.varint(n);
  out.varint(zigzag(q.ipa - coding.ipa));
  if (has_fault(q)) put_fault(out, q.fault);
  out.varint(q.data.size());
  out.bytes(q.data.data(), q.data.size());
}
bool get_question(Decoder& in, const Coding& coding, Question& q) {
  const uint8_t kind = in.byte();
  if (kind >= static_cast<uint8_t>(Question::Kind::kCount)) return false;
  q.kind = static_cast<Question::Kind>(kind);
  q.a = coding.far + unzigzag(in.varint());
  for (uint64_t* n : {&q.b, &q.c, &q.answer, &q.extra}) *n = in.varint();
  q.ipa = coding.ipa + unzigzag(in.varint());
  q.fault = has_fault(q) ? get_fault(in) : GuestFault{};
  const uint64_t size = in.varint();
  if (size > kPageSize) return false;
  const auto data = in.bytes(size);
  q.data.assign(data.begin(), data.end());
  return in.ok();
}

void put_questions(Encoder& out, const Coding& coding, const std::vector<Question>& questions) {
  out.varint(questions.size());
  for (const Question& q : questions) put_question(out, coding, q);
}
bool get_questions(Decoder& in, const Coding& coding, std::vector<Question>& questions) {
  const uint64_t count = in.varint();
  if (!in.ok() || count > kMostQuestions) return false;
  questions.resize(count);
  for (Question& q : questions) {
    if (!get_question(in, coding, q)) return false;
  }
  return true;
}

void put_state(Encoder& out, const ExitEvent::Rare& rare) {
  out.varint(rare.nzcv_before);
  out.varint(rare.nzcv_after);
  put_monitor(out, rare.monitor_before);
  put_monitor(out, rare.monitor_after);
}
void get_state(Decoder& in, ExitEvent::Rare& rare) {
  rare.nzcv_before = static_cast<uint32_t>(in.varint());
  rare.nzcv_after = static_cast<uint32_t>(in.varint());
  rare.monitor_before = get_monitor(in);
  rare.monitor_after = get_monitor(in);
}

}  // namespace

ViewState ViewState::of(const CpuView& view) {
  ViewState state;
  state.big_endian = view.big_endian;
  state.sp_alignment_check = view.sp_alignment_check;
  state.tbi_lower = view.tbi_lower;
  state.tbi_upper = view.tbi_upper;
  state.alignment_check = view.alignment_check;
  state.lse2 = view.lse2;
  state.mops_option_a = view.mops_option_a;
  state.va_bits_lower = view.va_bits_lower;
  state.va_bits_upper = view.va_bits_upper;
  state.zero_block_log2 = static_cast<uint8_t>(view.zero_block_log2);
  state.accdata = view.accdata;
  return state;
}

void ViewState::lend_to(CpuView& view) const {
  view.big_endian = big_endian;
  view.sp_alignment_check = sp_alignment_check;
  view.tbi_lower = tbi_lower;
  view.tbi_upper = tbi_upper;
  view.alignment_check = alignment_check;
  view.lse2 = lse2;
  view.mops_option_a = mops_option_a;
  view.va_bits_lower = va_bits_lower;
  view.va_bits_upper = va_bits_upper;
  view.zero_block_log2 = zero_block_log2;
  view.accdata = accdata;
}

size_t longest(const ExitEvent& event) {
  size_t size = kLongestExit + event.accesses.size() * 4 * Encoder::kLongestVarint;
  if ((event.flags & ExitEvent::kQuestions) == 0) return size;
  for (const Question& q : event.rare->questions) size += 160 + q.data.size();
  return size;
}

void write_whole(Encoder& out, Coding& coding, const ExitEvent& event) {
  const Exit& exit = event.exit;
  out.byte(static_cast<uint8_t>(Tag::kExit));
  out.byte(static_cast<uint8_t>(exit.kind));
  out.byte(event.flags);
  out.byte(answer_byte(event.answer));
  out.varint(event.start - coding.start);
  out.varint(event.total);
  out.varint(zigzag(exit.pc - coding.pc));
  coding.start = event.start;
  coding.pc = exit.pc;
  if (is_abort(exit.kind)) {
    out.byte(exit.valid_mask);
    out.varint(exit.esr ^ coding.esr);
    coding.esr = exit.esr;
    out.varint(zigzag(exit.far - coding.far));
    out.varint(zigzag(exit.ipa - coding.ipa));
    coding.far = exit.far;
    coding.ipa = exit.ipa;
    if (exit.kind == ExitKind::kDataAbort && !DataAbort{exit.esr}.valid()) {
      out.varint(event.source);
      out.varint(event.context);
    }
  } else if (exit.kind == ExitKind::kSysreg) {
    out.byte(exit.sysreg_rt);
    out.byte(exit.sysreg_write);
    out.varint(exit.sysreg);
    out.varint(event.value);
  } else if (exit.kind == ExitKind::kHvc) {
    out.varint(exit.esr);
  }
  if (event.answer.how == Resume::kFault) put_fault(out, event.fault);
  out.varint(event.before_mask);
  put_values(out, event.before_mask, event.before, coding.registers);
  out.varint(event.after_mask);
  put_values(out, event.after_mask, event.after, coding.registers);
  if ((event.flags & ExitEvent::kAccesses) != 0) {
    out.varint(event.accesses.size());
    for (const DeviceAccess& access : event.accesses) {
      out.byte(static_cast<uint8_t>(access.size | (access.write ? 0x80 : 0) |
                                    (access.abort ? 0x40 : 0)));
      out.varint(access.region);
      out.varint(access.offset);
      out.varint(access.value);
    }
  }
  if ((event.flags & ExitEvent::kReached) != 0) {
    out.varint(zigzag(event.reached.ipa - exit.far));
    out.byte(event.reached.size);
    out.byte(event.reached.how);
  }
  if ((event.flags & ExitEvent::kVectors) != 0) {
    put_vectors(out, event.v_before_mask, event.v_before);
    put_vectors(out, event.v_after_mask, event.v_after);
  }
  if ((event.flags & ExitEvent::kState) != 0) put_state(out, *event.rare);
  if ((event.flags & ExitEvent::kQuestions) != 0) {
    put_questions(out, coding, event.rare->questions);
  }
}

bool read_event(Decoder& in, Coding& coding, uint8_t tag, ExitEvent& event) {
  event.accesses.clear();
  if (tag >= static_cast<uint8_t>(Tag::kLike)) return read_like(in, coding, tag, event);
  event.source = event.context = event.value = 0;
  Exit& exit = event.exit;
  exit = Exit{};
  const uint8_t kind = in.byte();
  event.flags = in.byte();
  const uint8_t answer = in.byte();
  if (kind >= static_cast<uint8_t>(ExitKind::kCount) ||
      (answer & 0x7f) > static_cast<uint8_t>(Resume::kWhole)) {
    return false;
  }
  exit.kind = static_cast<ExitKind>(kind);
  event.answer = {static_cast<Resume>(answer & 0x7f), (answer & 0x80) != 0};
  event.start = coding.start += in.varint();
  event.total = in.varint();
  exit.pc = coding.pc += unzigzag(in.varint());
  if (is_abort(exit.kind)) {
    exit.valid_mask = in.byte() & (Exit::kEsr | Exit::kFar | Exit::kIpa);
    exit.esr = coding.esr ^= in.varint();
    exit.far = coding.far += unzigzag(in.varint());
    exit.ipa = coding.ipa += unzigzag(in.varint());
    if (exit.kind == ExitKind::kDataAbort && !DataAbort{exit.esr}.valid()) {
      event.source = in.varint();
      event.context = in.varint();
    }
  } else if (exit.kind == ExitKind::kSysreg) {
    exit.sysreg_rt = in.byte();
    exit.sysreg_write = in.byte() != 0;
    exit.sysreg = static_cast<SysregId>(in.varint());
    event.value = in.varint();
    if (exit.sysreg_rt > 31) return false;
    if (exit.sysreg_write) exit.sysreg_value = event.value;
  } else if (exit.kind == ExitKind::kHvc) {
    exit.esr = in.varint();
  }
  if (event.answer.how == Resume::kFault) event.fault = get_fault(in);
  if (!get_mask(in, event.before_mask)) return false;
  get_values(in, event.before_mask, event.before, coding.registers);
  if (!get_mask(in, event.after_mask)) return false;
  get_values(in, event.after_mask, event.after, coding.registers);
  if ((event.flags & ExitEvent::kAccesses) != 0) {
    const uint64_t count = in.varint();
    if (!in.ok() || count > kMostAccesses) return false;
    event.accesses.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      DeviceAccess access;
      const uint8_t bits = in.byte();
      access.size = bits & 0x3f;
      access.write = (bits & 0x80) != 0;
      access.abort = (bits & 0x40) != 0;
      access.region = static_cast<uint16_t>(in.varint());
      access.offset = in.varint();
      access.value = in.varint();
      if (!in.ok()) return false;
      event.accesses.push_back(access);
    }
  }
  constexpr uint8_t kAsked = ExitEvent::kQuestions | ExitEvent::kReached;
  const bool reached = (event.flags & ExitEvent::kReached) != 0;
  if (reached) {
    if (exit.kind != ExitKind::kDataAbort || (event.flags & kAsked) == kAsked) return false;
    event.reached.ipa = exit.far + unzigzag(in.varint());
    event.reached.size = in.byte();
    event.reached.how = in.byte();
  }
  if ((event.flags & ExitEvent::kVectors) != 0 &&
      (!get_vectors(in, event.v_before_mask, event.v_before) ||
       !get_vectors(in, event.v_after_mask, event.v_after))) {
    return false;
  }
  constexpr uint8_t kRare = ExitEvent::kState | ExitEvent::kQuestions;
  if ((event.flags & kRare) != 0 && event.rare == nullptr) {
    event.rare = std::make_unique<ExitEvent::Rare>();
  }
  if ((event.flags & ExitEvent::kState) != 0) get_state(in, *event.rare);
  if ((event.flags & ExitEvent::kQuestions) != 0 &&
      !get_questions(in, coding, event.rare->questions)) {
    return false;
  }
  if (!in.ok()) return false;
  remember(coding.shapes[Coding::slot_of(exit.pc)], event);
  if (reached) ask_for_reached(event);
  return true;
}

void write_regs(Encoder& out, const TranslationRegs& regs) {
  for (const uint64_t n :
       {regs.sctlr, regs.tcr, regs.ttbr0, regs.ttbr1, regs.mair, regs.vttbr, regs.vtcr}) {
    out.varint(n);
  }
  out.varint(regs.vmid);
  out.byte(regs.el);
  out.byte(regs.pan);
  out.byte(static_cast<uint8_t>(regs.regime));
  out.byte(regs.guest_stage2);
}
TranslationRegs read_regs(Decoder& in) {
  TranslationRegs regs;
  for (uint64_t* n :
       {&regs.sctlr, &regs.tcr, &regs.ttbr0, &regs.ttbr1, &regs.mair, &regs.vttbr, &regs.vtcr}) {
    *n = in.varint();
  }
  regs.vmid = static_cast<uint16_t>(in.varint());
  regs.el = in.byte() & 3;
  regs.pan = in.byte() != 0;
  regs.regime = static_cast<Regime>(std::min<uint8_t>(in.byte(), 2));
  regs.guest_stage2 = in.byte();
  return regs;
}

void write_source(Encoder& out, const SourceData& source) {
  out.bytes(&source.word, 4);
  out.varint(source.ipa);
  out.byte(source.loads);
  for (unsigned i = 0; i < source.loads; ++i) {
    out.varint(source.desc_ipa[i]);
    out.varint(source.desc[i]);
  }
}
bool read_source(Decoder& in, SourceData& source) {
  source = {};
  const auto word = in.bytes(4);
  if (word.empty()) return false;
  std::memcpy(&source.word, word.data(), 4);
  source.ipa = in.varint();
  source.loads = in.byte();
  if (source.loads > source.desc.size()) return false;
  for (unsigned i = 0; i < source.loads; ++i) {
    source.desc_ipa[i] = in.varint();
    source.desc[i] = in.varint();
  }
  return in.ok();
}

void write_view_state(Encoder& out, const ViewState& s) {
  out.varint((s.big_endian ? 1u : 0) | (s.sp_alignment_check ? 2u : 0) | (s.tbi_lower ? 4u : 0) |
             (s.tbi_upper ? 8u : 0) | (s.alignment_check ? 16u : 0) | (s.lse2 ? 32u : 0) |
             (s.mops_option_a ? 64u : 0));
  out.byte(s.va_bits_lower);
  out.byte(s.va_bits_upper);
  out.byte(s.zero_block_log2);
  out.varint(s.accdata);
}
ViewState read_view_state(Decoder& in) {
  ViewState s;
  const uint64_t bits = in.varint();
  s.big_endian = (bits & 1) != 0;
  s.sp_alignment_check = (bits & 2) != 0;
  s.tbi_lower = (bits & 4) != 0;
  s.tbi_upper = (bits & 8) != 0;
  s.alignment_check = (bits & 16) != 0;
  s.lse2 = (bits & 32) != 0;
  s.mops_option_a = (bits & 64) != 0;
  // What a view may say: an address has 16 to 64 bits, DC ZVA zeroes at most 2 KiB.
  s.va_bits_lower = std::min<uint8_t>(std::max<uint8_t>(in.byte(), 16), 64);
  s.va_bits_upper = std::min<uint8_t>(std::max<uint8_t>(in.byte(), 16), 64);
  s.zero_block_log2 = std::min<uint8_t>(in.byte(), 11);
  s.accdata = static_cast<uint32_t>(in.varint());
  return s;
}

}  // namespace trapline::trace
