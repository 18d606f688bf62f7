#include "decode/access_text.h"

#include <fmt/format.h>

namespace trapline {
namespace {

std::string x_reg(unsigned n) { return n == 31 ? "xzr" : fmt::format("x{}", n); }
std::string w_reg(unsigned n) { return n == 31 ? "wzr" : fmt::format("w{}", n); }
std::string x_or_sp(unsigned n) { return n == 31 ? "sp" : fmt::format("x{}", n); }

// A data register of a plain access: the SIMD&FP name by size, X for what fills 64 bits, else W.
std::string data_reg(const Access& a, unsigned n) {
  if (a.vector) return fmt::format("{}{}", "bhsdq"[a.size_log2 & 7], n);
  return a.size_log2 >= 3 || a.sign == SignExtend::kTo64 ? x_reg(n) : w_reg(n);
}

std::string int_reg(const Access& a, unsigned n) { return a.size_log2 >= 3 ? x_reg(n) : w_reg(n); }

// The size suffix of the integer mnemonics: LDR{SB,SH,SW,B,H}.
const char* size_suffix(const Access& a) {
  if (a.vector || a.size_log2 > 2) return "";
  const bool sign = a.sign != SignExtend::kNone;
  switch (a.size_log2) {
    case 0:
      return sign ? "sb" : "b";
    case 1:
      return sign ? "sh" : "h";
    default:
      return sign ? "sw" : "";
  }
}

const char* byte_half(const Access& a) {
  return a.size_log2 == 0 ? "b" : a.size_log2 == 1 ? "h" : "";
}

const char* order(const Access& a) {
  if (a.acquire) return a.release ? "al" : "a";
  return a.release ? "l" : "";
}

std::string address(const Access& a) {
  const std::string base = x_or_sp(a.rn);
  switch (a.mode) {
    case AddressMode::kBase:
      return fmt::format("[{}]", base);
    case AddressMode::kOffset:
      return a.imm ? fmt::format("[{}, #{}]", base, a.imm) : fmt::format("[{}]", base);
    case AddressMode::kPreIndex:
      return fmt::format("[{}, #{}]!", base, a.imm);
    case AddressMode::kPostIndex:
      return fmt::format("[{}], #{}", base, a.imm);
    case AddressMode::kPostRegister:
      return fmt::format("[{}], {}", base, x_reg(a.rm));
    case AddressMode::kLiteral:
      return fmt::format("#{}", a.imm);
    case AddressMode::kRegister: {
      constexpr const char* kExtends[] = {"uxtw", "lsl", "sxtw", "sxtx"};
      const unsigned extend = static_cast<unsigned>(a.extend);
      const std::string index = extend & 1 ? x_reg(a.rm) : w_reg(a.rm);
      const unsigned shift = a.shift;
      if (shift) return fmt::format("[{}, {}, {} #{}]", base, index, kExtends[extend], shift);
      if (a.extend == Extend::kLsl) return fmt::format("[{}, {}]", base, index);
      return fmt::format("[{}, {}, {}]", base, index, kExtends[extend]);
    }
    case AddressMode::kRegisterVa:
      return x_reg(a.rt);
  }
  return {};
}

std::string load_store(const Access& a) {
  const bool load = a.op == Op::kLoad;
  std::string name;
  if (a.count == 2) {
    if (load && a.acquire_pc) {
      name = "ldiapp";
    } else if (!load && a.release) {
      name = "stilp";
    } else {
      name = fmt::format("{}{}p", load ? "ld" : "st", a.nontemporal ? "n" : "");
      if (a.sign != SignExtend::kNone) name += "sw";
    }
    return fmt::format("{} {}, {}, {}", name, data_reg(a, a.rt), data_reg(a, a.rt2), address(a));
  }
  const bool offset = a.mode == AddressMode::kOffset;
  if (load) {
    name = a.acquire ? "ldar" : a.acquire_pc ? (offset ? "ldapur" : "ldapr") : "ldr";
    if (a.unprivileged) name = "ldtr";
  } else {
    name = a.release ? (offset ? "stlur" : "stlr") : "str";
    if (a.unprivileged) name = "sttr";
  }
  return fmt::format("{}{} {}, {}", name, size_suffix(a), data_reg(a, a.rt), address(a));
}

std::string exclusive(const Access& a) {
  const char* pair = a.count == 2 ? "p" : "r";
  std::string data = int_reg(a, a.rt);
  if (a.count == 2) data += ", " + int_reg(a, a.rt2);
  if (a.op == Op::kLoadExclusive) {
    return fmt::format("ld{}x{}{} {}, {}", a.acquire ? "a" : "", pair,
                       a.count == 2 ? "" : byte_half(a), data, address(a));
  }
  return fmt::format("st{}x{}{} {}, {}, {}", a.release ? "l" : "", pair,
                     a.count == 2 ? "" : byte_half(a), w_reg(a.rs), data, address(a));
}

std::string compare_and_swap(const Access& a) {
  if (a.count == 2) {
    return fmt::format("casp{} {}, {}, {}, {}, {}", order(a), int_reg(a, a.rs),
                       int_reg(a, a.rs + 1u), int_reg(a, a.rt), int_reg(a, a.rt + 1u), address(a));
  }
  return fmt::format("cas{}{} {}, {}, {}", order(a), byte_half(a), int_reg(a, a.rs),
                     int_reg(a, a.rt), address(a));
}

std::string atomic(const Access& a) {
  constexpr const char* kNames[] = {"add", "clr", "eor", "set", "smax", "smin", "umax", "umin"};
  if (a.op == Op::kSwap) {
    return fmt::format("swp{}{} {}, {}, {}", order(a), byte_half(a), int_reg(a, a.rs),
                       int_reg(a, a.rt), address(a));
  }
  const char* name = kNames[static_cast<unsigned>(a.op) - static_cast<unsigned>(Op::kAtomicAdd)];
  if (a.rt == kRegZr) {
    return fmt::format("st{}{}{} {}, {}", name, order(a), byte_half(a), int_reg(a, a.rs),
                       address(a));
  }
  return fmt::format("ld{}{}{} {}, {}, {}", name, order(a), byte_half(a), int_reg(a, a.rs),
                     int_reg(a, a.rt), address(a));
}

std::string atomic_pair(const Access& a) {
  const char* name = a.op == Op::kSwapPair          ? "swpp"
                     : a.op == Op::kAtomicClearPair ? "ldclrp"
                                                    : "ldsetp";
  return fmt::format("{}{} {}, {}, {}", name, order(a), x_reg(a.rt), x_reg(a.rt2), address(a));
}

std::string structure(const Access& a) {
  const bool lane = a.op == Op::kLoadLane || a.op == Op::kStoreLane;
  const bool load =
      a.op == Op::kLoadMultiple || a.op == Op::kLoadLane || a.op == Op::kLoadReplicate;
  std::string name = load ? "ld" : "st";
  if (a.acquire_pc) name = "ldap";
  if (a.release) name = "stl";
  const bool many = lane || a.op == Op::kLoadReplicate || a.interleaved;
  name += many ? static_cast<char>('0' + a.regs()) : '1';
  if (a.op == Op::kLoadReplicate) name += 'r';

  std::string arrangement(1, "bhsd"[a.size_log2 & 3]);
  if (!lane) arrangement = fmt::format("{}{}", (a.q ? 16u : 8u) >> a.size_log2, arrangement);
  std::string list;
  for (unsigned i = 0; i < a.regs(); ++i) {
    list += fmt::format("{}v{}.{}", i ? ", " : "", (a.rt + i) & 31, arrangement);
  }
  const std::string index = lane ? fmt::format("[{}]", unsigned{a.lane}) : "";
  return fmt::format("{} {{ {} }}{}, {}", name, list, index, address(a));
}

std::string tags(const Access& a) {
  switch (a.op) {
    case Op::kStoreTag:
      return fmt::format("st{}g {}, {}", a.count == 2 ? "2" : "", x_or_sp(a.rt), address(a));
    case Op::kStoreTagZero:
      return fmt::format("stz{}g {}, {}", a.count == 2 ? "2" : "", x_or_sp(a.rt), address(a));
    case Op::kStoreTagPair:
      return fmt::format("stgp {}, {}, {}", x_reg(a.rt), x_reg(a.rt2), address(a));
    case Op::kLoadTag:
      return fmt::format("ldg {}, {}", x_reg(a.rt), address(a));
    case Op::kLoadTagMultiple:
      return fmt::format("ldgm {}, {}", x_reg(a.rt), address(a));
    case Op::kStoreTagMultiple:
      return fmt::format("stgm {}, {}", x_reg(a.rt), address(a));
    default:
      return fmt::format("stzgm {}, {}", x_reg(a.rt), address(a));
  }
}

// op2 of FEAT_MOPS: bits 1:0 unprivileged, 3:2 non-temporal, each "w"rite, "r"ead or both.
std::string copy_options(unsigned options) {
  constexpr const char* kUnprivileged[] = {"", "wt", "rt", "t"};
  constexpr const char* kNontemporal[] = {"", "wn", "rn", "n"};
  return std::string(kUnprivileged[options & 3]) + kNontemporal[options >> 2 & 3];
}

std::string memory_copy_or_set(const Access& a) {
  const unsigned op = static_cast<unsigned>(a.op);
  const unsigned options = static_cast<unsigned>(a.imm);
  if (a.op <= Op::kCopyEpilog) {
    const bool forward = a.op <= Op::kCopyForwardEpilog;
    const unsigned first =
        static_cast<unsigned>(forward ? Op::kCopyForwardProlog : Op::kCopyProlog);
    return fmt::format("cpy{}{}{} [{}]!, [{}]!, {}!", forward ? "f" : "", "pme"[op - first],
                       copy_options(options), x_reg(a.rt), x_reg(a.rs), x_reg(a.rn));
  }
  const bool tag = a.op >= Op::kSetTagProlog;
  const unsigned first = static_cast<unsigned>(tag ? Op::kSetTagProlog : Op::kSetProlog);
  return fmt::format("set{}{}{}{} [{}]!, {}!, {}", tag ? "g" : "", "pme"[op - first],
                     options & 1 ? "t" : "", options & 2 ? "n" : "", x_reg(a.rt), x_reg(a.rn),
                     x_reg(a.rs));
}

std::string prefetch(const Access& a) {
  if (a.rt >= 24 && a.mode == AddressMode::kBase) {
    const unsigned op = static_cast<unsigned>(a.imm);
    const char* name = op == 0   ? "pldkeep"
                       : op == 1 ? "pstkeep"
                       : op == 4 ? "pldstrm"
                       : op == 5 ? "pststrm"
                                 : nullptr;
    return fmt::format("rprfm {}, {}, {}", name ? name : fmt::format("#{}", op), x_reg(a.rm),
                       address(a));
  }
  constexpr const char* kTypes[] = {"pld", "pli", "pst"};
  constexpr const char* kTargets[] = {"l1", "l2", "l3", "slc"};
  const unsigned type = a.rt >> 3, target = a.rt >> 1 & 3;
  const std::string name =
      type == 3 ? fmt::format("#{}", a.rt)
                : fmt::format("{}{}{}", kTypes[type], kTargets[target], a.rt & 1 ? "strm" : "keep");
  return fmt::format("prfm {}, {}", name, address(a));
}

std::string cache(const Access& a) {
  struct Name {
    int imm;
    const char* text;
  };
  constexpr auto kOperation = [](int op1, int crm, int op2) { return op1 << 10 | crm << 4 | op2; };
  // C5.3, by op1, CRm, op2.
  constexpr Name kNames[] = {
      {kOperation(0, 6, 1), "dc ivac"},      {kOperation(0, 6, 3), "dc igvac"},
      {kOperation(0, 6, 5), "dc igdvac"},    {kOperation(3, 5, 1), "ic ivau"},
      {kOperation(3, 10, 1), "dc cvac"},     {kOperation(3, 10, 3), "dc cgvac"},
      {kOperation(3, 10, 5), "dc cgdvac"},   {kOperation(3, 11, 0), "dc cvaoc"},
      {kOperation(3, 11, 1), "dc cvau"},     {kOperation(3, 11, 7), "dc cgdvaoc"},
      {kOperation(3, 12, 1), "dc cvap"},     {kOperation(3, 12, 3), "dc cgvap"},
      {kOperation(3, 12, 5), "dc cgdvap"},   {kOperation(3, 13, 1), "dc cvadp"},
      {kOperation(3, 13, 3), "dc cgvadp"},   {kOperation(3, 13, 5), "dc cgdvadp"},
      {kOperation(3, 14, 1), "dc civac"},    {kOperation(3, 14, 3), "dc cigvac"},
      {kOperation(3, 14, 5), "dc cigdvac"},  {kOperation(3, 15, 0), "dc civaoc"},
      {kOperation(3, 15, 7), "dc cigdvaoc"},
  };
  for (const Name& name : kNames) {
    if (name.imm == a.imm) return fmt::format("{}, {}", name.text, x_reg(a.rt));
  }
  return {};
}

}  // namespace

std::string access_text(const Access& a) {
  switch (a.op) {
    case Op::kNone:
    case Op::kCount:
      return {};
    case Op::kLoad:
    case Op::kStore:
      return load_store(a);
    case Op::kLoadExclusive:
    case Op::kStoreExclusive:
      return exclusive(a);
    case Op::kCompareAndSwap:
      return compare_and_swap(a);
    case Op::kSwap:
    case Op::kAtomicAdd:
    case Op::kAtomicClear:
    case Op::kAtomicEor:
    case Op::kAtomicSet:
    case Op::kAtomicSmax:
    case Op::kAtomicSmin:
    case Op::kAtomicUmax:
    case Op::kAtomicUmin:
      return atomic(a);
    case Op::kSwapPair:
    case Op::kAtomicClearPair:
    case Op::kAtomicSetPair:
      return atomic_pair(a);
    case Op::kLoadAuthenticated:
      return fmt::format("ldra{} {}, {}", a.lane ? "b" : "a", x_reg(a.rt), address(a));
    case Op::kLoadMultiple:
    case Op::kStoreMultiple:
    case Op::kLoadLane:
    case Op::kStoreLane:
    case Op::kLoadReplicate:
      return structure(a);
    case Op::kLoad64B:
      return fmt::format("ld64b {}, {}", x_reg(a.rt), address(a));
    case Op::kStore64B:
      return fmt::format("st64b {}, {}", x_reg(a.rt), address(a));
    case Op::kStore64BV:
    case Op::kStore64BV0:
      return fmt::format("st64bv{} {}, {}, {}", a.op == Op::kStore64BV0 ? "0" : "", x_reg(a.rs),
                         x_reg(a.rt), address(a));
    case Op::kStoreTag:
    case Op::kStoreTagZero:
    case Op::kStoreTagPair:
    case Op::kLoadTag:
    case Op::kLoadTagMultiple:
    case Op::kStoreTagMultiple:
    case Op::kStoreTagZeroMultiple:
      return tags(a);
    case Op::kCopyForwardProlog:
    case Op::kCopyForwardMain:
    case Op::kCopyForwardEpilog:
    case Op::kCopyProlog:
    case Op::kCopyMain:
    case Op::kCopyEpilog:
    case Op::kSetProlog:
    case Op::kSetMain:
    case Op::kSetEpilog:
    case Op::kSetTagProlog:
    case Op::kSetTagMain:
    case Op::kSetTagEpilog:
      return memory_copy_or_set(a);
    case Op::kPrefetch:
      return prefetch(a);
    case Op::kZeroBlock:
      return "dc zva, " + x_reg(a.rt);
    case Op::kZeroBlockTags:
      return "dc gva, " + x_reg(a.rt);
    case Op::kZeroBlockBoth:
      return "dc gzva, " + x_reg(a.rt);
    case Op::kCacheMaintenance:
      return cache(a);
  }
  return {};
}

}  // namespace trapline
