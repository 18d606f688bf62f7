#include "decode/format.h"

#include <fmt/format.h>

#include <istream>
#include <optional>
#include <ostream>
#include <string_view>

#include "decode/a64_decoder.h"
#include "decode/access_text.h"
#include "decode/capstone_adapter.h"
#include "decode/mops.h"

namespace trapline {
namespace {

constexpr const char* kOpNames[] = {"none",
                                    "load",
                                    "store",
                                    "load-exclusive",
                                    "store-exclusive",
                                    "compare-and-swap",
                                    "swap",
                                    "add",
                                    "clear",
                                    "eor",
                                    "set",
                                    "smax",
                                    "smin",
                                    "umax",
                                    "umin",
                                    "swap-pair",
                                    "clear-pair",
                                    "set-pair",
                                    "load-authenticated",
                                    "load-multiple",
                                    "store-multiple",
                                    "load-lane",
                                    "store-lane",
                                    "load-replicate",
                                    "load-64b",
                                    "store-64b",
                                    "store-64bv",
                                    "store-64bv0",
                                    "store-tag",
                                    "store-tag-zero",
                                    "store-tag-pair",
                                    "load-tag",
                                    "load-tag-multiple",
                                    "store-tag-multiple",
                                    "store-tag-zero-multiple",
                                    "copy-forward-prolog",
                                    "copy-forward-main",
                                    "copy-forward-epilog",
                                    "copy-prolog",
                                    "copy-main",
                                    "copy-epilog",
                                    "set-prolog",
                                    "set-main",
                                    "set-epilog",
                                    "set-tag-prolog",
                                    "set-tag-main",
                                    "set-tag-epilog",
                                    "prefetch",
                                    "zero-block",
                                    "zero-block-tags",
                                    "zero-block-both",
                                    "cache-maintenance"};
static_assert(sizeof(kOpNames) / sizeof(kOpNames[0]) == static_cast<unsigned>(Op::kCount));

constexpr const char* kModeNames[] = {"base",     "offset",        "pre-index", "post-index",
                                      "register", "post-register", "literal",   "register-va"};

std::string x_reg(unsigned n) { return n == 31 ? "xzr" : fmt::format("x{}", n); }
std::string w_reg(unsigned n) { return n == 31 ? "wzr" : fmt::format("w{}", n); }
std::string x_or_sp(unsigned n) { return n == 31 ? "sp" : fmt::format("x{}", n); }

bool is_structure(Op op) { return op >= Op::kLoadMultiple && op <= Op::kLoadReplicate; }
bool is_tag(Op op) { return op >= Op::kStoreTag && op <= Op::kStoreTagZeroMultiple; }
bool by_register_va(Op op) { return op >= Op::kZeroBlock && op <= Op::kCacheMaintenance; }

bool has_rt2(const Access& a) {
  if (a.op == Op::kStoreTagPair || (a.op >= Op::kSwapPair && a.op <= Op::kAtomicSetPair)) {
    return true;
  }
  return a.count == 2 && (a.op == Op::kLoad || a.op == Op::kStore || a.op == Op::kLoadExclusive ||
                          a.op == Op::kStoreExclusive);
}

bool has_rs(const Access& a) {
  return a.op == Op::kStoreExclusive || a.op == Op::kStore64BV || a.op == Op::kStore64BV0 ||
         (a.op >= Op::kCompareAndSwap && a.op <= Op::kAtomicUmin);
}

std::string data_reg(const Access& a, unsigned n) {
  if (is_structure(a.op)) return fmt::format("v{}", n);
  if (a.vector) return fmt::format("{}{}", "bhsdq"[a.size_log2 & 7], n);
  return a.size_log2 >= 3 || a.sign == SignExtend::kTo64 ? x_reg(n) : w_reg(n);
}

void add_data_registers(const Access& a, std::string& s) {
  if (is_mops(a.op)) {
    s += fmt::format(" dest={} {}={} size-reg={}", x_reg(a.rt),
                     a.op <= Op::kCopyEpilog ? "source" : "value", x_reg(a.rs), x_reg(a.rn));
    return;
  }
  if (a.op == Op::kPrefetch) {
    s += fmt::format(" prfop={}", unsigned{a.rt});
    return;
  }
  if (by_register_va(a.op)) {
    s += fmt::format(" address={}", x_reg(a.rt));
    return;
  }
  if (is_tag(a.op) && a.op != Op::kStoreTagPair) {
    const bool sp = a.op == Op::kStoreTag || a.op == Op::kStoreTagZero;
    s += fmt::format(" rt={}", sp ? x_or_sp(a.rt) : x_reg(a.rt));
    return;
  }
  s += fmt::format(" rt={}", data_reg(a, a.rt));
  if (has_rt2(a)) s += fmt::format(" rt2={}", data_reg(a, a.rt2));
  if (has_rs(a)) {
    const bool status = a.op == Op::kStoreExclusive;
    s += fmt::format(" rs={}", status ? w_reg(a.rs) : data_reg(a, a.rs));
  }
}

void add_address(const Access& a, std::string& s) {
  if (is_mops(a.op) || by_register_va(a.op)) return;
  if (a.mode != AddressMode::kLiteral) s += fmt::format(" base={}", x_or_sp(a.rn));
  const bool range = a.op == Op::kPrefetch && a.mode == AddressMode::kBase;
  if (a.mode == AddressMode::kRegister) {
    constexpr const char* kExtends[] = {"uxtw", "lsl", "sxtw", "sxtx"};
    const unsigned extend = static_cast<unsigned>(a.extend);
    s += fmt::format(" index={} extend={} shift={}", extend & 1 ? x_reg(a.rm) : w_reg(a.rm),
                     kExtends[extend], unsigned{a.shift});
  } else if (a.mode == AddressMode::kPostRegister || range) {
    s += fmt::format(" {}={}", range ? "range" : "index", x_reg(a.rm));
  }
  s += fmt::format(" mode={}", kModeNames[static_cast<unsigned>(a.mode)]);
  if (a.mode == AddressMode::kOffset || a.mode == AddressMode::kPreIndex ||
      a.mode == AddressMode::kPostIndex || a.mode == AddressMode::kLiteral) {
    s += fmt::format(" imm={}", a.imm);
  }
}

void add_layout(const Access& a, std::string& s) {
  if (a.sign != SignExtend::kNone) {
    s += a.sign == SignExtend::kTo64 ? " sign=64" : " sign=32";
  }
  if (is_structure(a.op)) {
    s += fmt::format(" regs={}", a.regs());
    if (a.op == Op::kLoadLane || a.op == Op::kStoreLane) {
      s += fmt::format(" lane={}", unsigned{a.lane});
    } else {
      s += fmt::format(" q={}", unsigned{a.q});
    }
    s += fmt::format(" interleaved={}", unsigned{a.interleaved});
  }
  if (is_mops(a.op)) s += fmt::format(" options={}", a.imm);
  if (a.op == Op::kLoadAuthenticated) s += a.lane ? " key=b" : " key=a";
  if (a.op == Op::kCacheMaintenance) {
    s += fmt::format(" op1={} crm={} op2={}", a.imm >> 10 & 7, a.imm >> 4 & 15, a.imm & 7);
  }
}

void add_order(const Access& a, std::string& s) {
  std::string order;
  const auto add = [&order](bool on, const char* name) {
    if (on) order += (order.empty() ? "" : ",") + std::string(name);
  };
  add(a.acquire, "acquire");
  add(a.acquire_pc, "acquire-pc");
  add(a.release, "release");
  add(a.nontemporal, "nontemporal");
  if (!order.empty()) s += " order=" + order;
  if (a.unprivileged) s += " unprivileged=1";
}

// The reason why `text` is no word, or the word.
std::optional<uint32_t> parse_word(std::string_view text, const char*& why) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  if (text.empty()) {
    why = "is empty: a word is 1 to 8 hex digits";
    return std::nullopt;
  }
  uint32_t word = 0;
  for (char c : text) {
    unsigned digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<unsigned>(c - '0');
    } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
      digit = static_cast<unsigned>((c | 32) - 'a') + 10;
    } else {
      why = "is not hexadecimal";
      return std::nullopt;
    }
    word = word << 4 | digit;
  }
  if (text.size() > 8) {
    why = "is longer than the 8 hex digits of a word";
    return std::nullopt;
  }
  return word;
}

// At most 40 printable characters of what the user wrote.
std::string shown(std::string_view text) {
  std::string s;
  for (char c : text.substr(0, 40)) s += c >= ' ' && c <= '~' ? c : '?';
  return text.size() > 40 ? s + "..." : s;
}

// Words of a stream, apart by blanks, "#" to the line's end left out. Of a word that cannot be one,
// for it is longer than any, only the beginning: /dev/zero has no end.
class Words {
 public:
  explicit Words(std::istream& in) : in_(in) {}

  uint64_t line() const { return line_; }  // of the last word, from 1 on

  // Empty at the end.
  std::string next() {
    constexpr size_t kLongest = 64;
    constexpr std::string_view kBlanks = " \t\r\n\v\f";
    std::string word;
    while (word.size() < kLongest) {
      const int c = in_.peek();
      const bool end = c == std::istream::traits_type::eof();
      const bool blank = !end && kBlanks.find(static_cast<char>(c)) != std::string_view::npos;
      if (!word.empty() && (end || blank || c == '#')) break;
      if (end) break;
      in_.get();
      if (c == '\n') ++line_;
      if (c == '#') comment_ = true;
      if (c == '\n') comment_ = false;
      if (!blank && !comment_) word += static_cast<char>(c);
    }
    return word;
  }

 private:
  std::istream& in_;
  uint64_t line_ = 1;
  bool comment_ = false;
};

bool print_word(std::string_view text, const std::string& where, CapstoneDecoder& capstone,
                std::ostream& out, std::ostream& err) {
  const char* why = nullptr;
  const std::optional<uint32_t> word = parse_word(text, why);
  if (!word) {
    err << fmt::format("trapline decode: {}'{}' {}\n", where, shown(text), why);
    return false;
  }
  out << format_decode_line(*word, capstone) << '\n';
  return true;
}

}  // namespace

std::string format_access(const Access& a) {
  std::string s = fmt::format("op={}", kOpNames[static_cast<unsigned>(a.op)]);
  if (!is_mops(a.op) && !by_register_va(a.op) && a.op != Op::kPrefetch) {
    s += fmt::format(" size={} count={}", a.element_bytes(), unsigned{a.count});
  }
  add_data_registers(a, s);
  add_address(a, s);
  add_layout(a, s);
  add_order(a, s);
  return s;
}

std::string format_decode_line(uint32_t word, CapstoneDecoder& capstone) {
  Access access;
  const DecodeStatus status = decode(word, access);
  std::string line = fmt::format("{:08x} ", word);
  switch (status) {
    case DecodeStatus::kAccess:
      line += fmt::format("{} {}", decode_class(word), format_access(access));
      break;
    case DecodeStatus::kNotMemory:
      line += "not-memory";
      break;
    case DecodeStatus::kUnallocated:
      line += "unallocated";
      break;
    case DecodeStatus::kUnsupported:
      line += fmt::format("unsupported {}", decode_class(word));
      break;
  }
  if (status == DecodeStatus::kUnallocated) return line;
  // Capstone's text, but our own where Capstone knows only what the encoding meant in Armv8.0, and
  // where it prints a negative number as a 64-bit one.
  std::string text = capstone.text(word, 0);
  if (status == DecodeStatus::kAccess) {
    Access unused;
    capstone.decode(word, unused);
    const bool negative = access.imm < 0 && (access.mode == AddressMode::kPostIndex ||
                                             access.mode == AddressMode::kLiteral);
    if (capstone.last_was_native() || negative) text = access_text(access);
  }
  return text.empty() ? line : line + "  ; " + text;
}

std::string format_decode_line(uint32_t word) {
  CapstoneDecoder capstone;
  return format_decode_line(word, capstone);
}

int decode_main(const std::vector<std::string>& args, std::istream& in, std::ostream& out,
                std::ostream& err) {
  if (args.empty()) {
    err << "trapline decode: no word given (usage: trapline decode WORD... | -)\n";
    return 1;
  }
  CapstoneDecoder capstone;
  for (const std::string& arg : args) {
    if (arg != "-") {
      if (!print_word(arg, "", capstone, out, err)) return 1;
      continue;
    }
    Words input(in);
    uint64_t words = 0;
    for (std::string word; !(word = input.next()).empty(); ++words) {
      if (!print_word(word, fmt::format("line {}: ", input.line()), capstone, out, err)) return 1;
    }
    if (words == 0) {
      err << "trapline decode: no word on standard input\n";
      return 1;
    }
  }
  return 0;
}

}  // namespace trapline
