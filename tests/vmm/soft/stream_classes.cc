#include "tests/vmm/soft/stream_classes.h"

#include <algorithm>
#include <cstdlib>

#include "decode/a64_decoder.h"
#include "vmm/soft/cpu.h"

namespace trapline::soft::stream {
namespace {

constexpr uint32_t field(uint32_t word, unsigned high, unsigned low) {
  return word >> low & ((2u << (high - low)) - 1);
}
bool sf(uint32_t word) { return (word >> 31) != 0; }

bool valid_bitmask(uint32_t word) {
  const unsigned n = field(word, 22, 22), imms = field(word, 15, 10);
  if (n == 1) return sf(word) && imms != 63;
  for (int p = 5; p >= 1; --p) {
    if ((imms >> p & 1) == 0) return (imms & ((1u << p) - 1)) != (1u << p) - 1;
  }
  return false;
}
bool valid_move_wide(uint32_t w) {
  return field(w, 30, 29) != 1 && (sf(w) || field(w, 22, 22) == 0);
}
bool valid_bitfield(uint32_t w) {
  if (field(w, 30, 29) == 3 || sf(w) != (field(w, 22, 22) != 0)) return false;
  return sf(w) || (field(w, 21, 21) == 0 && field(w, 15, 15) == 0);
}
bool valid_extract(uint32_t w) {
  return sf(w) == (field(w, 22, 22) != 0) && (sf(w) || field(w, 15, 15) == 0);
}
bool valid_shift(uint32_t w) { return sf(w) || field(w, 15, 15) == 0; }
bool valid_add_shifted(uint32_t w) { return field(w, 23, 22) != 3 && valid_shift(w); }
bool valid_add_extended(uint32_t w) { return field(w, 12, 10) <= 4; }
bool valid_crc(uint32_t w) { return sf(w) == (field(w, 11, 10) == 3); }
bool valid_one_source(uint32_t w) {
  const uint32_t opcode = field(w, 12, 10);
  return opcode <= 5 && (sf(w) || opcode != 3);
}
// WFE, WFI: user mode may do as it likes.
bool valid_hint(uint32_t w) { return field(w, 11, 5) != 2 && field(w, 11, 5) != 3; }

// Of these QEMU knows CRm = 0 alone.
bool valid_flags(uint32_t w) { return field(w, 7, 5) != 3 && field(w, 11, 8) == 0; }
bool valid_sb(uint32_t w) { return field(w, 11, 8) == 0; }

bool structure(Op op) {
  return op >= trapline::Op::kLoadMultiple && op <= trapline::Op::kLoadReplicate;
}

bool valid_multiply_high(uint32_t w) { return field(w, 14, 10) == 31; }
// What the manual prints as (1): Rs of all but store-exclusives, Rt2 of all but pairs.
bool should_be_one(uint32_t w, const Access& a) {
  if ((w & 0x3f000000) != 0x08000000 || a.op == trapline::Op::kCompareAndSwap) return true;
  return (a.op == trapline::Op::kStoreExclusive || field(w, 20, 16) == 31) &&
         (a.count == 2 || field(w, 14, 10) == 31);
}

// A load or store of Armv8.0 or FEAT_LSE, without what is CONSTRAINED UNPREDICTABLE (K1.2).
bool valid_memory(uint32_t word) {
  using trapline::Op;
  Access a;
  if (decode(word, a) != DecodeStatus::kAccess || a.acquire_pc) return false;
  if (a.op > Op::kAtomicUmin && !structure(a.op) && a.op != Op::kPrefetch) return false;
  if (!should_be_one(word, a)) return false;
  const bool plain = a.op == Op::kLoad || a.op == Op::kStore;
  const bool pair = a.count == 2 && plain;
  if (a.op == Op::kLoad && pair && a.rt == a.rt2) return false;
  if (plain && !a.vector && a.writes_back() && a.rn != 31 &&
      (a.rn == a.rt || (pair && a.rn == a.rt2))) {
    return false;
  }
  if (a.op == Op::kStoreExclusive) {
    return a.rs != a.rt && (a.rs != a.rn || a.rn == 31) && (a.count == 1 || a.rs != a.rt2);
  }
  return !(a.op == Op::kLoadExclusive && a.count == 2 && a.rt == a.rt2);
}

bool valid_rcpc(uint32_t word) {
  Access a;
  return decode(word, a) == DecodeStatus::kAccess && a.op <= Op::kStore;
}

struct Pattern {
  const char* name;
  const char* bits;  // bit 31 first, x random
  Kind kind;
  bool (*valid)(uint32_t);
  CpuModel model = CpuModel::kBase;
};

constexpr Pattern kPatterns[] = {
    // --- C4.1.92, Data Processing -- Immediate
    {"PC-rel. addressing", "xxx10000 xxxxxxxxxxxxxxxxxxx xxxxx", Kind::kInteger, nullptr},
    {"add/subtract (immediate)", "xxx100010 x xxxxxxxxxxxx xxxxx xxxxx", Kind::kInteger, nullptr},
    {"logical (immediate)", "xxx100100 x xxxxxx xxxxxx xxxxx xxxxx", Kind::kInteger, valid_bitmask},
    {"move wide", "xxx100101 xx xxxxxxxxxxxxxxxx xxxxx", Kind::kInteger, valid_move_wide},
    {"bitfield", "xxx100110 x xxxxxx xxxxxx xxxxx xxxxx", Kind::kInteger, valid_bitfield},
    {"extract", "x00100111 x0 xxxxx xxxxxx xxxxx xxxxx", Kind::kInteger, valid_extract},
    // --- C4.1.95, Data Processing -- Register
    {"divide", "x0011010110 xxxxx 00001x xxxxx xxxxx", Kind::kInteger, nullptr},
    {"variable shift", "x0011010110 xxxxx 0010xx xxxxx xxxxx", Kind::kInteger, nullptr},
    {"CRC32", "x0011010110 xxxxx 010xxx xxxxx xxxxx", Kind::kInteger, valid_crc},
    {"1 source", "x1011010110 00000 000xxx xxxxx xxxxx", Kind::kInteger, valid_one_source},
    {"logical (shifted register)", "xxx01010xxx xxxxx xxxxxx xxxxx xxxxx", Kind::kInteger,
     valid_shift},
    {"add/subtract (shifted register)", "xxx01011xx0 xxxxx xxxxxx xxxxx xxxxx", Kind::kInteger,
     valid_add_shifted},
    {"add/subtract (extended register)", "xxx01011001 xxxxx xxxxxx xxxxx xxxxx", Kind::kInteger,
     valid_add_extended},
    {"add/subtract (with carry)", "xxx11010000 xxxxx 000000 xxxxx xxxxx", Kind::kInteger, nullptr},
    {"RMIF", "10111010000 xxxxxx 00001 xxxxx 0xxxx", Kind::kFlags, nullptr, CpuModel::kMax},
    {"SETF8, SETF16", "0011101000000000 0x 0010 xxxxx 01101", Kind::kFlags, nullptr,
     CpuModel::kMax},
    {"conditional compare", "xx111010010 xxxxx xxxxx0 xxxxx 0xxxx", Kind::kInteger, nullptr},
    {"conditional select", "xx011010100 xxxxx xxxx0x xxxxx xxxxx", Kind::kInteger, nullptr},
    {"3 source", "x0011011000 xxxxx xxxxxx xxxxx xxxxx", Kind::kInteger, nullptr},
    {"3 source, long", "10011011x01 xxxxx xxxxxx xxxxx xxxxx", Kind::kInteger, nullptr},
    {"multiply high", "10011011x10 xxxxx 0xxxxx xxxxx xxxxx", Kind::kInteger, valid_multiply_high},
    // --- C4.1.94, Loads and Stores
    {"structures", "0x0011000x 000000 xxxxxx xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"structures, post-indexed", "0x0011001x0 xxxxx xxxxxx xxxxx xxxxx", Kind::kMemory,
     valid_memory},
    {"single structure", "0x0011010xx 00000 xxxxxx xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"single structure, post-indexed", "0x0011011xx xxxxx xxxxxx xxxxx xxxxx", Kind::kMemory,
     valid_memory},
    {"exclusive register", "xx0010000x0 xxxxx x xxxxx xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"exclusive pair", "1x0010000x1 xxxxx x xxxxx xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"load/store ordered", "xx0010001x0 xxxxx 1 xxxxx xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"compare and swap", "xx0010001x1 xxxxx x 11111 xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"compare and swap pair", "0x0010000x1 xxxx0 x 11111 xxxxx xxxx0", Kind::kMemory, valid_memory},
    {"load literal", "xx011x00 xxxxxxxxxxxxxxxxxxx xxxxx", Kind::kLiteral, valid_memory},
    {"no-allocate pair", "xx101x000x xxxxxxx xxxxx xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"pair, post-indexed", "xx101x001x xxxxxxx xxxxx xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"pair, offset", "xx101x010x xxxxxxx xxxxx xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"pair, pre-indexed", "xx101x011x xxxxxxx xxxxx xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"unscaled immediate", "xx111x00xx0 xxxxxxxxx 00 xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"immediate post-indexed", "xx111x00xx0 xxxxxxxxx 01 xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"unprivileged", "xx111000xx0 xxxxxxxxx 10 xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"immediate pre-indexed", "xx111x00xx0 xxxxxxxxx 11 xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"atomic", "xx111000xx1 xxxxx xxxx00 xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"LDAPR", "xx111000101 11111 110000 xxxxx xxxxx", Kind::kMemory, valid_rcpc, CpuModel::kMax},
    {"LDAPUR, STLUR", "xx011001xx0 xxxxxxxxx 00 xxxxx xxxxx", Kind::kMemory, valid_rcpc,
     CpuModel::kMax},
    {"register offset", "xx111x00xx1 xxxxx x1xx10 xxxxx xxxxx", Kind::kMemory, valid_memory},
    {"unsigned immediate", "xx111x01xx xxxxxxxxxxxx xxxxx xxxxx", Kind::kMemory, valid_memory},
    // --- C4.1.93, Branches, Exception Generating and System instructions
    {"conditional branch", "01010100 xxxxxxxxxxxxxxxxxxx 0xxxx", Kind::kBranch, nullptr},
    {"compare and branch", "x011010x xxxxxxxxxxxxxxxxxxx xxxxx", Kind::kBranch, nullptr},
    {"test and branch", "x011011x xxxxx xxxxxxxxxxxxxx xxxxx", Kind::kBranch, nullptr},
    {"branch (immediate)", "x00101 xxxxxxxxxxxxxxxxxxxxxxxxxx", Kind::kBranch, nullptr},
    {"branch (register): BR, BLR", "110101100 0x 11111 000000 xxxxx 00000", Kind::kIndirect,
     nullptr},
    {"branch (register): RET", "110101100 10 11111 000000 xxxxx 00000", Kind::kIndirect, nullptr},
    {"hints", "11010101000000110010 xxxxxxx 11111", Kind::kSystem, valid_hint},
    {"CLREX", "11010101000000110011 xxxx 01011111", Kind::kSystem, nullptr},
    {"DSB, DMB", "11010101000000110011 xxxx 10x 11111", Kind::kSystem, nullptr},
    {"ISB", "11010101000000110011 xxxx 11011111", Kind::kSystem, nullptr},
    {"CFINV, XAFLAG, AXFLAG", "11010101000000000100 xxxx 0xx 11111", Kind::kFlags, valid_flags,
     CpuModel::kMax},
    {"SB", "11010101000000110011 xxxx 11111111", Kind::kSystem, valid_sb, CpuModel::kMax},
    {"MSR DIT", "11010101000000110100 xxxx 01011111", Kind::kFlags, nullptr, CpuModel::kMax},
    {"MRS DIT", "1101010100 11 1 011 0100 0010 101 xxxxx", Kind::kSystem, nullptr, CpuModel::kMax},
    {"NZCV", "1101010100 x1 1 011 0100 0010 000 xxxxx", Kind::kSystem, nullptr},
    {"MRS FPCR", "1101010100 11 1 011 0100 0100 000 xxxxx", Kind::kSystem, nullptr},
    {"MRS FPSR", "1101010100 11 1 011 0100 0100 001 xxxxx", Kind::kSystem, nullptr},
    {"MSR FPCR", "1101010100 01 1 011 0100 0100 000 xxxxx", Kind::kFpcr, nullptr},
    {"MSR FPSR", "1101010100 01 1 011 0100 0100 001 xxxxx", Kind::kFpsr, nullptr},
    {"MRS TPIDR_EL0", "1101010100 11 1 011 1101 0000 010 xxxxx", Kind::kSystem, nullptr},
    {"DC ZVA", "1101010100 00 1 011 0111 0100 001 xxxxx", Kind::kVa, nullptr},
    {"DC CVAC", "1101010100 00 1 011 0111 1010 001 xxxxx", Kind::kVa, nullptr},
    {"DC CVAU", "1101010100 00 1 011 0111 1011 001 xxxxx", Kind::kVa, nullptr},
    {"DC CIVAC", "1101010100 00 1 011 0111 1110 001 xxxxx", Kind::kVa, nullptr},
    {"IC IVAU", "1101010100 00 1 011 0111 0101 001 xxxxx", Kind::kVa, nullptr},
};

Class make_class(std::string name, const char* pattern, Kind kind, bool (*valid)(uint32_t),
                 CpuModel model) {
  Class c{std::move(name), 0, 0, kind, valid, model};
  unsigned bit = 32;
  for (const char* p = pattern; *p != 0; ++p) {
    if (*p == ' ') continue;
    --bit;
    if (*p == '1') c.fixed |= 1u << bit;
    if (*p != '0' && *p != '1') c.random |= 1u << bit;
  }
  if (bit != 0) abort();
  return c;
}

}  // namespace

uint32_t Class::draw(Random& source) const {
  for (;;) {
    auto any = static_cast<uint32_t>(source.next());
    // Repeated registers are a case of their own: destructive forms, lanes read before written.
    const unsigned alias = source.below(8);
    if (alias == 0) any = (any & ~31u) | (any >> 5 & 31);
    if (alias == 1) any = (any & ~31u) | (any >> 16 & 31);
    const uint32_t word = fixed | (any & random);
    if (valid == nullptr || valid(word)) return word;
  }
}

const std::vector<Class>& classes() {
  static const std::vector<Class> list = [] {
    std::vector<Class> r;
    for (const Pattern& p : kPatterns) {
      r.push_back(make_class(p.name, p.bits, p.kind, p.valid, p.model));
    }
    for (const CpuModel model : {CpuModel::kBase, CpuModel::kMax}) {
      std::vector<std::string> rows = fp::encoding_patterns(model);
      std::sort(rows.begin(), rows.end());
      rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
      const auto valid =
          model == CpuModel::kBase
              ? [](uint32_t w) { return fp_lookup(w, CpuModel::kBase) != 0; }
              : [](uint32_t w) {
                  return fp_lookup(w, CpuModel::kMax) != 0 && fp_lookup(w, CpuModel::kBase) == 0;
                };
      for (const std::string& row : rows) {
        r.push_back(make_class(row, row.c_str(), Kind::kFp, valid, model));
      }
    }
    return r;
  }();
  return list;
}

const Class& class_named(std::string_view name) {
  for (const Class& c : classes()) {
    if (c.name == name) return c;
  }
  abort();
}

}  // namespace trapline::soft::stream
