// FEAT_MOPS: CPYF*, CPY*, SET*, SETG* (C6.2; the two algorithms, C1.2.6 and J1.1.3 "CPY", "SET").
//
// A prolog here moves no bytes, which is one of the IMPLEMENTATION DEFINED amounts: it saturates
// the size, chooses the direction and leaves the registers and PSTATE.NZCV in the format of the
// algorithm that the CPU implements. Main and epilog move one chunk a call, in the format that
// PSTATE.C names (0: option A, 1: option B), so that the hardware may go on at any point:
//
//                 option A, forward   option A, backward  option B, forward  option B, backward
//   Xn            -(bytes left)       bytes left          bytes left         bytes left
//   Xd, Xs        ends of the ranges  starts              next byte          end of what is left
//   NZCV          0000                0000                0010               1010
#include <cstring>

#include "mmio/transaction.h"

namespace trapline::emulation {
namespace {

constexpr uint32_t kN = uint32_t{1} << 31;
constexpr uint32_t kC = uint32_t{1} << 29;
constexpr uint64_t kGranule = 16;

enum class Stage : uint8_t { kProlog, kMain, kEpilog };

struct State {
  Stage stage;
  bool copy, forward_only, tags;
  bool forward;
  bool option_b;   // main, epilog: as PSTATE.C says
  uint64_t dst;    // lowest byte still to write
  uint64_t src;    // lowest byte still to read
  uint64_t bytes;  // left
};

uint64_t saturated(const State& s, uint64_t n) {
  if (s.copy && !s.forward_only) return n >> 55 != 0 ? 0x007f'ffff'ffff'ffff : n;
  if (n >> 63 == 0) return n;
  return s.tags ? 0x7fff'ffff'ffff'fff0 : 0x7fff'ffff'ffff'ffff;
}

State state_of(const Access& access, const CpuView& view) {
  State s{};
  const unsigned index =
      static_cast<unsigned>(access.op) - static_cast<unsigned>(Op::kCopyForwardProlog);
  static_assert(
      static_cast<unsigned>(Op::kSetTagEpilog) - static_cast<unsigned>(Op::kCopyForwardProlog) ==
          11,
      "four families of three stages");
  s.stage = static_cast<Stage>(index % 3);
  s.copy = access.op <= Op::kCopyEpilog;
  s.forward_only = access.op <= Op::kCopyForwardEpilog;
  s.tags = access.op >= Op::kSetTagProlog;
  const uint64_t d = view.regs->x[access.rt & 31];
  const uint64_t source = s.copy ? view.regs->x[access.rs & 31] : 0;
  const uint64_t n = view.regs->x[access.rn & 31];
  s.forward = true;
  s.dst = d;
  s.src = source;

  if (s.stage == Stage::kProlog) {
    s.bytes = saturated(s, n);
    if (s.copy && !s.forward_only) {
      // Backward only where forward would overwrite source bytes before they are read.
      constexpr uint64_t kLow56 = 0x00ff'ffff'ffff'ffff;
      const uint64_t from = source & kLow56, to = d & kLow56;
      s.forward = !(from < to && from + s.bytes > to);
    }
    return s;
  }
  s.option_b = (view.nzcv & kC) != 0;
  if (s.option_b) {
    s.bytes = n;
    if (s.copy && !s.forward_only && (view.nzcv & kN) != 0) {
      s.forward = false;
      s.dst = d - n;
      s.src = source - n;
    }
  } else if (static_cast<int64_t>(n) < 0) {
    s.bytes = 0 - n;
    s.dst = d + n;
    s.src = source + n;
  } else if (s.copy && !s.forward_only) {
    s.forward = false;
    s.bytes = n;
  } else {
    // A positive size in a forward-only format was left by no prolog: nothing remains to be done.
    s.bytes = 0;
  }
  return s;
}

constexpr uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

// What one call moves: inside one page on both sides.
unsigned chunk_bytes(const State& s) {
  const auto room = [&](uint64_t low) {
    return s.forward ? kPageBytes - (low & (kPageBytes - 1))
                     : ((low + s.bytes - 1) & (kPageBytes - 1)) + 1;
  };
  uint64_t bytes = least(s.bytes, least(kMaxBytes, room(s.dst)));
  if (s.copy) bytes = least(bytes, room(s.src));
  return static_cast<unsigned>(bytes);
}

uint64_t chunk_start(const State& s, uint64_t low) {
  return s.forward ? low : low + s.bytes - chunk_bytes(s);
}

void prolog(Transaction& t, const State& s) {
  const Access& access = t.access;
  const bool option_b = !t.view.mops_option_a;
  // Where Xd and Xs name an end instead of a start.
  const bool ends = s.forward ? !option_b : option_b;
  if (ends) {
    t.set_x(access.rt, s.dst + s.bytes);
    if (s.copy) t.set_x(access.rs, s.src + s.bytes);
  }
  t.set_x(access.rn, s.forward && !option_b ? 0 - s.bytes : s.bytes);
  t.view.nzcv = option_b ? (s.forward ? kC : kN | kC) : 0;
}

void advance(Transaction& t, const State& s, unsigned moved) {
  const Access& access = t.access;
  const uint64_t n = t.x(access.rn);
  if (!s.option_b) {
    t.set_x(access.rn, s.forward ? n + moved : n - moved);
    return;
  }
  const uint64_t step = s.forward ? uint64_t{moved} : 0 - uint64_t{moved};
  t.set_x(access.rn, n - moved);
  t.set_x(access.rt, t.x(access.rt) + step);
  if (s.copy) t.set_x(access.rs, t.x(access.rs) + step);
}

}  // namespace

uint64_t mops_next_address(const Access& access, const CpuView& view, bool source) {
  const State s = state_of(access, view);
  return chunk_start(s, source ? s.src : s.dst);
}

MopsExtent mops_extent(const Access& access, const CpuView& view, bool source) {
  const State s = state_of(access, view);
  return {source ? s.src : s.dst, s.bytes};
}

void memory_copy_and_set(Transaction& t) {
  const Access& access = t.access;
  if (access.rt == 31 || access.rn == 31) {
    t.unsupported();
    return;
  }
  const State s = state_of(access, t.view);
  if (s.tags && s.bytes != 0 && ((s.dst | s.bytes) & (kGranule - 1)) != 0) {
    t.fault(s.dst, kFscAlignment, true);
    return;
  }
  if (s.stage == Stage::kProlog) return prolog(t, s);
  if (s.bytes == 0) return;

  // Word bits 15:12 for a copy: 13 reads, 12 writes unprivileged; for a set, 12.
  const unsigned chunk = chunk_bytes(s);
  // A chunk has at most 14 aligned parts: up to 3 at either end of 7 whole words.
  Pieces &from = t.work.source, &to = t.work.pieces;
  from.piece = t.work.piece + kMaxBytes / 2;
  to.piece = t.work.piece;
  Range& range = t.work.range;
  range = {.va = chunk_start(s, s.src),
           .unit = 0,
           .bytes = static_cast<uint8_t>(chunk),
           .align = 1,
           .dir = Direction::kRead,
           .unprivileged = (access.imm & 2) != 0,
           .may_differ = true};
  if (s.copy && !t.plan(range, from)) return;
  range.va = chunk_start(s, s.dst);
  range.dir = Direction::kWrite;
  range.unprivileged = (access.imm & 1) != 0;
  if (!t.plan(range, to)) return;

  uint8_t* const data = t.work.data;
  if (!s.copy) {
    std::memset(data, static_cast<uint8_t>(t.x(access.rs)), chunk);
  } else if (!t.read(from, data)) {
    return;
  }
  if (!t.write(to, data)) return;
  advance(t, s, chunk);
  if (s.bytes != chunk) t.outcome.status = Outcome::Status::kProgress;
}

}  // namespace trapline::emulation
