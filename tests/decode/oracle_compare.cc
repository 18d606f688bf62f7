#include "tests/decode/oracle_compare.h"

#include <cctype>
#include <cstdlib>

namespace trapline::test {
namespace {

bool starts_with(const std::string& s, std::string_view prefix) {
  return s.compare(0, prefix.size(), prefix) == 0;
}

void replace_all(std::string& s, std::string_view from, std::string_view to) {
  for (size_t at = s.find(from); at != std::string::npos; at = s.find(from, at + to.size())) {
    s.replace(at, from.size(), to);
  }
}

// LDUR{,B,H,SB,SH,SW} -> LDR..., and the same for STUR; LDUMAX and LDUMIN stay.
void drop_unscaled(std::string& name) {
  if (starts_with(name, "ldur")) name.erase(2, 1);
  if (starts_with(name, "stur")) name.erase(2, 1);
  if (name == "prfum") name = "prfm";
}

void drop_limited_ordering(std::string& name) {
  if (starts_with(name, "ldlar")) name.erase(2, 1);
  if (starts_with(name, "stllr")) name.erase(2, 1);
}

// LD<op>{A}{L}{B,H} Ws, WZR is ST<op>{L}{B,H} Ws; SWPA Ws, WZR has no acquire.
void drop_dead_acquire(std::string& name, std::string& operands) {
  constexpr std::string_view kOps[] = {"ldadd",  "ldclr",  "ldeor",  "ldset", "ldsmax",
                                       "ldsmin", "ldumax", "ldumin", "swp"};
  for (std::string_view op : kOps) {
    if (!starts_with(name, op)) continue;
    if (name.size() > op.size() && name[op.size()] == 'p') continue;  // LDCLRP, LDSETP, SWPP
    const size_t first = operands.find(',');
    if (first == std::string::npos) return;
    const std::string second = operands.substr(first + 1, 4);
    if (second != "wzr," && second != "xzr,") return;
    if (name.size() > op.size() && name[op.size()] == 'a') name.erase(op.size(), 1);
    if (op == "swp") return;
    name[0] = 's';
    name[1] = 't';
    operands.erase(first, 4);
    return;
  }
}

// Every "0x..." to decimal, and a plus sign never printed.
void decimal_numbers(std::string& s) {
  for (size_t at = s.find("0x"); at != std::string::npos; at = s.find("0x", at + 1)) {
    size_t end = at + 2;
    while (end < s.size() && std::isxdigit(static_cast<unsigned char>(s[end]))) ++end;
    const unsigned long long value = std::strtoull(s.substr(at, end - at).c_str(), nullptr, 16);
    s.replace(at, end - at, std::to_string(static_cast<long long>(value)));
  }
}

}  // namespace

std::string canonical(std::string_view text) {
  text = text.substr(0, text.find("//"));  // LLVM's remark on a dropped acquire
  std::string name, operands;
  size_t i = 0;
  while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i]))) ++i;
  while (i < text.size() && !std::isspace(static_cast<unsigned char>(text[i]))) name += text[i++];
  for (; i < text.size(); ++i) {
    if (!std::isspace(static_cast<unsigned char>(text[i]))) operands += text[i];
  }
  if (name == "dc" || name == "ic") {
    // The operation is a word of its own: keep it apart from the register.
    return name + " " + operands;
  }
  drop_unscaled(name);
  drop_limited_ordering(name);
  drop_dead_acquire(name, operands);
  decimal_numbers(operands);
  // A shift or offset of zero is not kept; a write-back by zero is.
  if (operands.size() > 4 && operands.ends_with(",#0]")) {
    operands.replace(operands.size() - 4, 4, "]");
  }
  replace_all(operands, ",lsl#0]", "]");
  replace_all(operands, ",lsl]", "]");
  for (const char* extend : {"uxtw", "sxtw", "sxtx"}) {
    replace_all(operands, std::string(extend) + "#0]", std::string(extend) + "]");
  }
  return name + " " + operands;
}

uint32_t group_word(uint32_t opcode, uint32_t rm, uint32_t rn, uint32_t rt) {
  const uint32_t bits31_28 = opcode >> 11 & 15, bit26 = opcode >> 10 & 1,
                 bits24_21 = opcode >> 6 & 15, bits15_10 = opcode & 63;
  return bits31_28 << 28 | 1u << 27 | bit26 << 26 | bits24_21 << 21 | (rm & 31) << 16 |
         bits15_10 << 10 | (rn & 31) << 5 | (rt & 31);
}

}  // namespace trapline::test
