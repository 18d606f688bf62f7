#include "vmm/config/size.h"

#include <fmt/format.h>

#include <cstddef>
#include <optional>

namespace trapline {
namespace {

constexpr uint64_t kMost = ~uint64_t{0};

// The value of a digit in `base`, or nothing.
std::optional<unsigned> digit(char c, unsigned base) {
  unsigned value = 99;
  if (c >= '0' && c <= '9') value = static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') value = static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') value = static_cast<unsigned>(c - 'A') + 10;
  if (value >= base) return std::nullopt;
  return value;
}

struct Integer {
  uint64_t value = 0;
  size_t end = 0;  // of its digits in the text; 0: none
  unsigned base = 10;
  bool too_large = false;
};

// The digits that the text begins with. Neither a sign nor blanks; 010 is ten.
Integer leading_integer(const std::string& text) {
  Integer n;
  size_t at = 0;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    n.base = 16;
    at = 2;
  }
  const size_t first = at;
  for (; at < text.size(); ++at) {
    const auto value = digit(text[at], n.base);
    if (!value) break;
    n.too_large = n.too_large || n.value > (kMost - *value) / n.base;
    n.value = n.value * n.base + *value;
  }
  if (at != first) n.end = at;
  return n;
}

// The shift of "K", "KiB", "kb" and so on; of nothing, 0.
std::optional<unsigned> unit_shift(std::string unit) {
  for (char& c : unit) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (unit.empty() || unit == "b") return 0;
  unsigned shift = 0;
  for (char prefix : {'k', 'm', 'g', 't'}) {
    shift += 10;
    if (unit[0] != prefix) continue;
    const std::string rest = unit.substr(1);
    if (rest.empty() || rest == "b" || rest == "ib") return shift;
  }
  return std::nullopt;
}

}  // namespace

std::string parse_size(const std::string& text, uint64_t& bytes) {
  constexpr const char* kNotASize = "is not a size such as 512M, 1.5GiB or 0x20000000";
  const Integer whole = leading_integer(text);
  if (whole.end == 0) return kNotASize;
  size_t at = whole.end;
  // Up to 18 digits of a fraction, as parts of a power of ten.
  uint64_t parts = 0, power = 1;
  if (whole.base == 10 && at < text.size() && text[at] == '.') {
    const size_t first = ++at;
    for (; at < text.size() && digit(text[at], 10); ++at) {
      if (at - first == 18) return "has too many decimals";
      parts = parts * 10 + *digit(text[at], 10);
      power *= 10;
    }
    if (at == first) return kNotASize;
  }
  const auto shift = unit_shift(text.substr(at));
  if (!shift) return kNotASize;
  if (whole.too_large || whole.value > kMost >> *shift) return "is too large";
  const unsigned __int128 scaled = static_cast<unsigned __int128>(parts) << *shift;
  if (scaled % power != 0) return "is not a whole number of bytes";
  // No carry: the fraction is less than one unit.
  bytes = (whole.value << *shift) + static_cast<uint64_t>(scaled / power);
  return {};
}

std::string parse_number(const std::string& text, uint64_t least, uint64_t most, uint64_t& number) {
  const Integer n = leading_integer(text);
  if (n.end != 0 && n.end == text.size() && !n.too_large && n.value >= least && n.value <= most) {
    number = n.value;
    return {};
  }
  return fmt::format("give a number from {} to {}", least, most);
}

std::string needs_but_has(uint64_t required, uint64_t present) {
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  const bool in_mib = required % kMiB == 0 && present % kMiB == 0;
  const unsigned shift = in_mib ? 20 : 10;
  const uint64_t up = (uint64_t{1} << shift) - 1;
  const uint64_t need = (required >> shift) + ((required & up) != 0);
  const char* unit = in_mib ? "MiB" : "KiB";
  return fmt::format("{} {} of memory, but the guest has {} {}", need, unit, present >> shift,
                     unit);
}

}  // namespace trapline
