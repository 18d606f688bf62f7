#include "tests/vmm/soft/stream_blocks.h"

#include <algorithm>

#include "decode/a64_decoder.h"

namespace trapline::soft::stream {
namespace {

using Op = trapline::Op;

constexpr uint32_t kMrsTpidr = 0xd53bd040, kClrex = 0xd5033f5f;
constexpr unsigned kSp = 31;

uint32_t movz(unsigned d, uint32_t imm16, unsigned half = 0) {
  return 0xd2800000 | half << 21 | imm16 << 5 | d;
}
uint32_t movk(unsigned d, uint32_t imm16, unsigned half) {
  return 0xf2800000 | half << 21 | imm16 << 5 | d;
}
uint32_t add_immediate(bool sub, bool shift, unsigned d, unsigned n, uint32_t imm12) {
  return (sub ? 0xd1000000 : 0x91000000) | (shift ? 1u << 22 : 0) | imm12 << 10 | n << 5 | d;
}

// What the base must be a multiple of: exclusives, ordered and atomic accesses fault otherwise
// (B2.9: no FEAT_LSE2).
unsigned alignment(const Access& a) {
  const bool whole = a.op == Op::kLoadExclusive || a.op == Op::kStoreExclusive ||
                     (a.op >= Op::kCompareAndSwap && a.op <= Op::kAtomicUmin);
  if (whole || a.acquire || a.acquire_pc || a.release) return a.bytes();
  return 1;
}
// General registers besides the base; XZR's bit may be set, too.
uint64_t written_registers(const Access& a) {
  auto bit = [](unsigned reg) { return uint64_t{1} << reg; };
  if (a.op == Op::kCompareAndSwap) return bit(a.rs) | (a.count == 2 ? bit(a.rs + 1) : 0);
  if (a.op == Op::kStoreExclusive) return bit(a.rs);
  if (!reads_memory(a.op) || a.vector) return 0;
  return bit(a.rt) | (a.count == 2 ? bit(a.rt2) : 0);
}
bool has_immediate(const Access& a) {
  return a.mode == AddressMode::kOffset || a.mode == AddressMode::kPreIndex;
}

}  // namespace

void Generator::forget_all() { std::fill(std::begin(known_), std::end(known_), std::nullopt); }

// QEMU's user-mode -cpu max has another DC ZVA block size.
bool Generator::drawable(const Class& c) const {
  return c.model <= model_ && (model_ == CpuModel::kBase || c.name != "DC ZVA");
}

const Class& Generator::pick(Kind kind) {
  for (;;) {
    const Class& c = classes()[random_.below(static_cast<unsigned>(classes().size()))];
    if (c.kind == kind && drawable(c)) return c;
  }
}

uint32_t Generator::draw(const Class& c) {
  ++drawn[static_cast<size_t>(&c - classes().data())];
  return c.draw(random_);
}

unsigned Generator::other_register(uint32_t busy) {
  for (;;) {
    const unsigned reg = random_.below(31);
    if ((busy >> reg & 1) == 0 && !avoided(reg)) return reg;
  }
}

Block Generator::block(uint64_t address, unsigned draws) {
  block_ = {address, {}};
  pending_.clear();
  forget_all();
  for (unsigned i = 0; i < draws; ++i) {
    unit();
    land(false);
  }
  land(true);
  return std::move(block_);
}

void Generator::unit() {
  const unsigned r = random_.below(64);
  if (r < 22) return data(Kind::kInteger);
  if (r < 37) return data(Kind::kFp);
  if (r < 53) return memory();
  if (r < 55) return system();
  if (r == 55 && model_ >= CpuModel::kMax) return emit(draw(pick(Kind::kFlags)));
  if (r == 56 && model_ >= CpuModel::kMax) return crypto_run();
  if (r < 58) return common_run();
  if (avoid_ != kNone) return data(Kind::kInteger);
  if (r < 63) return branch();
  loop();
}

void Generator::data(Kind kind) {
  uint32_t word;
  do {  // another class each time: of some these bits are fixed
    word = draw(pick(kind));
  } while (avoided(word & 31));
  forget(word & 31);
  if ((word & 0xfffffc00) == 0x1e7e0000) {  // FJCVTZS: of QEMU's denormals see fp_qemu_test.cc
    emit(0x9e620000 | random_.below(32) << 5 | (word >> 5 & 31));  // SCVTF
  }
  emit(word);
}

void Generator::system() {
  constexpr Kind kKinds[] = {Kind::kSystem, Kind::kSystem, Kind::kFpcr, Kind::kFpsr, Kind::kVa};
  const Class& c = pick(kKinds[random_.below(5)]);
  uint32_t word;
  do {
    word = draw(c);
  } while (avoided(word & 31) || (c.kind != Kind::kSystem && (word & 31) == 31));
  const unsigned t = word & 31;
  switch (c.kind) {
    case Kind::kFpcr:  // AHP, DN, FZ, RMode
      emit(movz(t, random_.next() & 0x07c0, 1));
      break;
    case Kind::kFpsr:  // QC; IDC, IXC to IOC
      emit(movz(t, random_.next() & 0x009f));
      emit(movk(t, random_.next() & 0x0800, 1));
      break;
    case Kind::kVa:
      set_base(t, random_.below(kMemoryBytes), t);
      break;
    default:
      break;
  }
  forget(t);
  emit(word);
  if (c.kind == Kind::kSystem && (word & ~31u) == kMrsTpidr && t != 31) known_[t] = 0;
}

// --- memory --------------------------------------------------------------------------------------

void Generator::add_offset(unsigned d, unsigned n, int64_t offset) {
  const bool sub = offset < 0;
  const auto size = static_cast<uint32_t>(sub ? -offset : offset);
  if (size >> 12 != 0) {
    emit(add_immediate(sub, true, d, n, size >> 12));
    n = d;
  }
  if ((size & 0xfff) != 0 || n != d) emit(add_immediate(sub, false, d, n, size & 0xfff));
}

// SP, too; it is made in `temporary`.
void Generator::set_base(unsigned reg, int64_t offset, unsigned temporary) {
  const unsigned first = reg == kSp ? temporary : reg;
  emit(kMrsTpidr | first);
  if (first != reg) known_[first] = 0;
  add_offset(reg, first, offset);
  known_[reg] = offset;
}

// What the generator no longer knows, and what write-back did.
void Generator::after_access(const Access& a) {
  for (unsigned reg = 0; reg < 31; ++reg) {
    if ((written_registers(a) >> reg & 1) != 0) forget(reg);
  }
  if (!known_[a.rn] || !a.writes_back()) return;
  if (a.mode == AddressMode::kPostRegister) {
    forget(a.rn);
  } else {
    *known_[a.rn] += a.imm;
  }
}

// Emits the access with a base that keeps it inside; false if it cannot be had.
bool Generator::try_memory(uint32_t word, bool may_set_up) {
  Access a;
  if (decode(word, a) != DecodeStatus::kAccess) return false;
  if (avoided(a.rn) || (written_registers(a) >> avoid_ & 1) != 0) return false;
  const unsigned bytes = a.bytes(), align = alignment(a);
  const int64_t before = has_immediate(a) ? a.imm : 0;
  const bool by_register = a.mode == AddressMode::kRegister;
  const bool lone_store_exclusive = a.op == Op::kStoreExclusive;
  if (a.rn == kSp && before % std::min(align, 16u) != 0) return false;
  auto fits = [&](int64_t base) {
    const int64_t at = base + before;
    return at >= 0 && at + bytes <= kMemoryBytes && at % align == 0 &&
           (a.rn != kSp || base % 16 == 0);
  };
  if (!by_register && known_[a.rn] && fits(*known_[a.rn]) &&
      (!may_set_up || random_.below(4) != 0)) {
    if (lone_store_exclusive) emit(kClrex);  // a monitor set long ago: IMPLEMENTATION DEFINED
  } else {
    if (!may_set_up || (by_register && a.rn == a.rm && a.rn != kSp)) return false;
    int64_t at;
    do {
      at = random_.below(kMemoryBytes - bytes + 1);
    } while (!fits(at - before));
    if (lone_store_exclusive) emit(kClrex);
    const uint32_t busy = by_register ? uint32_t{1} << a.rm : 0;
    set_base(a.rn, at - before, other_register(busy));
    if (by_register) {  // SUB (extended register): whatever the index holds
      constexpr uint32_t kOptions[] = {2, 3, 6, 7};  // of Extend
      emit(0xcb200000 | uint32_t{a.rm} << 16 | kOptions[static_cast<unsigned>(a.extend)] << 13 |
           uint32_t{a.shift} << 10 | uint32_t{a.rn} << 5 | a.rn);
      forget(a.rn);
    }
  }
  emit(word);
  after_access(a);
  return true;
}

void Generator::literal(uint32_t word) {
  if (avoided(word & 31)) return;
  const int64_t back =
      static_cast<int64_t>(std::min<uint64_t>((here() - code_begin_) / 4, 200'000));
  const int64_t offset =
      static_cast<int64_t>(random_.below(static_cast<unsigned>(back + 64))) - back;
  emit((word & ~0x00ffffe0u) | (static_cast<uint32_t>(offset) << 5 & 0x00ffffe0u));
  forget(word & 31);
}

// A load-exclusive, perhaps something that touches no memory, and the store-exclusive to it.
void Generator::exclusive_pair(const Class& c) {
  Access load;
  uint32_t word;
  do {
    word = draw(c) | 1u << 22 | 31u << 16;
  } while (!c.defines(word) || decode(word, load) != DecodeStatus::kAccess || load.rt == load.rn ||
           (load.count == 2 && load.rt2 == load.rn) || !try_memory(word, true));
  for (unsigned i = random_.below(3); i > 0; --i) {
    const Class& filler = pick(Kind::kInteger);
    const uint32_t other = draw(filler);
    if ((other & 31) == load.rn || avoided(other & 31)) continue;
    forget(other & 31);
    emit(other);
  }
  uint32_t store;
  do {
    const uint32_t registers = static_cast<uint32_t>(random_.next()) & 0x001f801f;
    const uint32_t second = load.count == 2 ? random_.below(32) : 31;
    store = (word & 0xffa003e0) | registers | second << 10;
  } while (!c.defines(store) || avoided(store >> 16 & 31));
  emit(store);
  Access access;
  decode(store, access);
  after_access(access);
}

void Generator::memory() {
  const bool is_literal = random_.below(24) == 0;
  const Class& c = pick(is_literal ? Kind::kLiteral : Kind::kMemory);
  if (is_literal) return literal(draw(c));
  if (c.name.starts_with("exclusive") && random_.below(2) != 0) return exclusive_pair(c);
  for (unsigned tries = 0;; ++tries) {
    uint32_t word = draw(c);
    // Small unsigned immediates are as good as any, and let a known base be used.
    if (c.name == "unsigned immediate" && random_.below(2) != 0) word &= ~0x003f0000u;
    for (unsigned i = 0; i < 4 && tries < 4; ++i) {  // a base that is known
      const unsigned reg = random_.below(32);
      if (!known_[reg]) continue;
      const uint32_t with = (word & ~(31u << 5)) | reg << 5;
      if (c.defines(with) && try_memory(with, false)) return;
    }
    if (try_memory(word, true)) return;
  }
}

// What compilers emit most, back to back with known bases: the engine runs such pairs as one.
void Generator::common_run() {
  struct Common {
    const char* name;
    uint32_t fixed, random;
  };
  static constexpr Common kCommon[] = {
      {"pair, offset", 0xa9400000, 0x00ff7fff},                     // LDP Xt, Xt2, [Xn, #]
      {"pair, offset", 0xa9000000, 0x00ff7fff},                     // STP
      {"pair, post-indexed", 0xa8c00000, 0x000f7fff},               // LDP, post
      {"pair, pre-indexed", 0xa9800000, 0x000f7fff},                // STP, pre
      {"unsigned immediate", 0xf9400000, 0x0000ffff},               // LDR Xt
      {"unsigned immediate", 0xb9400000, 0x0000ffff},               // LDR Wt
      {"unsigned immediate", 0xf9000000, 0x0000ffff},               // STR Xt
      {"logical (shifted register)", 0x2a0003e0, 0x801f001f},       // MOV
      {"move wide", 0x52800000, 0x801fffff},                        // MOVZ
      {"add/subtract (immediate)", 0x91000000, 0x003fffff},         // ADD
      {"add/subtract (shifted register)", 0x0b000000, 0x801f03ff},  // ADD
      {"add/subtract (shifted register)", 0x6b00001f, 0x801f03e0},  // CMP
      {"add/subtract (immediate)", 0x910003e0, 0x0000001f},         // MOV from SP
      {"PC-rel. addressing", 0x90000000, 0x60ffffff},               // ADRP
  };
  unsigned base;
  do {
    base = random_.below(31);
  } while (avoided(base));
  set_base(kSp, 16 * random_.below(kMemoryBytes / 32), other_register(uint32_t{1} << base));
  set_base(base, 8 * random_.below(kMemoryBytes / 16), base);
  for (unsigned i = 4 + random_.below(8); i > 0; --i) {
    const Common& common = kCommon[random_.below(std::size(kCommon))];
    const Class& c = class_named(common.name);
    for (unsigned tries = 0; tries < 8; ++tries) {
      uint32_t word = common.fixed | (static_cast<uint32_t>(random_.next()) & common.random);
      if (c.kind == Kind::kMemory) {
        word = (word & ~(31u << 5)) | (random_.below(2) != 0 ? kSp : base) << 5;
        if (!c.defines(word) || !try_memory(word, false)) continue;
      } else {
        if ((word & 31) == base || avoided(word & 31)) continue;
        emit(word);
        // Of these only ADD and MOV (immediate) write SP.
        if ((word & 31) != kSp || (word & 0x1f000000) == 0x11000000) forget(word & 31);
      }
      ++drawn[static_cast<size_t>(&c - classes().data())];
      break;
    }
  }
}

// Rounds as programs have them, of few registers, so that each goes on with the results of the
// last: the translator makes one of two.
void Generator::crypto_run() {
  struct Common {
    uint32_t fixed, second;  // second: follows the first mostly, with the registers that fit
    unsigned registers;
  };
  static constexpr Common kCommon[] = {
      {0x4e284800, 0x4e286800, 2},  // AESE, AESMC
      {0x4e285800, 0x4e287800, 2},  // AESD, AESIMC
      {0x4e284800, 0x4e287800, 2},  // AESE, AESIMC
      {0x0ee0e000, 0x4ee0e000, 3},  // PMULL, PMULL2
      {0x5e000000, 0x5e280800, 3},  // SHA1C, SHA1H
      {0x5e001000, 0x5e280800, 3},  // SHA1P
      {0x5e002000, 0x5e281800, 3},  // SHA1M, SHA1SU1
      {0x5e003000, 0x5e281800, 3},  // SHA1SU0
      {0x5e004000, 0x5e005000, 3},  // SHA256H, SHA256H2
      {0x5e282800, 0x5e006000, 2},  // SHA256SU0, SHA256SU1
      {0xce608c00, 0xce800000, 3},  // RAX1, XAR
  };
  constexpr unsigned kFew = 5;
  const auto any = [this] { return random_.below(kFew); };
  for (unsigned i = 4 + random_.below(8); i > 0; --i) {
    const Common& common = kCommon[random_.below(std::size(kCommon))];
    const unsigned d = any(), n = any(), m = common.registers == 3 ? any() : 0;
    const unsigned copy = any();
    if (random_.below(2) != 0) emit(0x4ea01c00 | d << 16 | d << 5 | copy);  // MOV
    emit(common.fixed | m << 16 | n << 5 | d);
    if (random_.below(8) == 0) continue;
    if (common.fixed == 0x5e004000) {
      emit(common.second | m << 16 | copy << 5 | n);
    } else if ((common.second & 0xfff80000) == 0x4e280000 && random_.below(8) != 0) {
      emit(common.second | d << 5 | d);
    } else if ((common.second & 0x00280000) == 0x00280000) {  // two registers
      emit(common.second | any() << 5 | d);
    } else {
      emit(common.second | any() << 16 | d << 5 | any());
    }
  }
}

// --- branches ------------------------------------------------------------------------------------

// Branches whose target is reached lead here.
void Generator::land(bool all) {
  bool landed = false;
  for (Pending& p : pending_) {
    if (!all && p.units-- != 0) continue;
    landed = true;
    const auto distance = static_cast<uint32_t>(block_.words.size() - p.at);
    uint32_t& word = block_.words[p.at];
    if ((word & 0x7c000000) == 0x14000000) {  // B, BL
      word |= distance;
    } else {  // TBZ, CBZ, B.cond; ADR, which counts words as long as immlo is 0
      word |= distance << 5;
    }
    p.at = 0;
    p.units = ~0u;
  }
  std::erase_if(pending_, [](const Pending& p) { return p.units == ~0u; });
  if (landed) forget_all();
}

void Generator::branch() {
  const unsigned skip = random_.below(6);
  const Class& c = pick(random_.below(4) == 0 ? Kind::kIndirect : Kind::kBranch);
  const uint32_t word = draw(c);
  if (c.kind == Kind::kIndirect) {
    unsigned n = word >> 5 & 31;
    if (n == 31) n = 30;
    pending_.push_back({block_.words.size(), skip});
    emit(0x10000000 | n);  // ADR Xn: the distance is 4 * words, immlo stays 0
    emit((word & ~(31u << 5)) | n << 5);
    forget(n);
    forget(30);
    return;
  }
  if (c.name == "conditional branch" && random_.below(2) != 0) {  // its comparison
    constexpr const char* kCompares[] = {"add/subtract (shifted register)",
                                         "add/subtract (immediate)", "logical (immediate)"};
    const Class& compare = class_named(kCompares[random_.below(3)]);
    uint32_t flags;
    do {
      flags = draw(compare) | 3u << 29 | 31;
      flags ^= random_.below(2) << 31;
    } while (!compare.defines(flags));
    emit(flags);
  }
  uint32_t keep = 0xff00001f;  // B.cond, CBZ
  if (c.name == "test and branch") keep = 0xfff8001f;
  if (c.name == "branch (immediate)") keep = 0xfc000000;
  pending_.push_back({block_.words.size(), skip});
  emit(word & keep);
  forget(30);
}

// A few units, two or three times: links between blocks are made the first time and used then.
void Generator::loop() {
  land(true);
  const unsigned counter = other_register(0);
  emit(movz(counter, 2 + random_.below(2)));
  forget_all();
  avoid_ = counter;
  const size_t begin = block_.words.size();
  for (unsigned i = 1 + random_.below(4); i > 0; --i) unit();
  emit(add_immediate(true, false, counter, counter, 1));
  const auto distance = static_cast<uint32_t>(begin - block_.words.size());
  emit(0xb5000000 | (distance << 5 & 0x00ffffe0) | counter);  // CBNZ
  avoid_ = kNone;
  forget_all();
}

}  // namespace trapline::soft::stream
