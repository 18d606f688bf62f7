// scripts/kallsyms.c of Linux writes these tables, and no header or pointer says where:
//
//   token_table   256 strings, each with a zero behind it: what a byte of a name stands for
//   token_index   256 16-bit offsets of those strings
//   names         of each symbol its length (7 bits, or 14 in two bytes), then so many bytes; the
//   first
//                 character that comes of it is nm's type
//   markers       32-bit offsets of every 256th name
//   num_syms      32 bits
//   offsets       32 bits each, in the order of addresses
//   relative_base 64 bits
//
// token_index directly follows token_table, and digits stand for themselves in it, which finds
// them. num_syms directly precedes names, and markers follow, in every version. In between, and
// around:
//
//   to 6.1    offsets relative_base num_syms names markers token_table token_index
//   6.2, 6.3  offsets relative_base num_syms names markers seqs_of_names token_table token_index
//   from 6.4  num_syms names markers token_table token_index offsets relative_base seqs_of_names
//   7.x       the same without relative_base: an offset is from its own place
//
// What is found is believed only if every name, marker and offset agrees.
#include "vmm/symbols/kallsyms.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/symbols/nm_symbols.h"

namespace trapline {
namespace {

constexpr size_t kPerMarker = 256;
constexpr size_t kLongestName = 0x3fff;       // bytes in `names`
constexpr size_t kLongestText = 1024;         // characters; Linux's KSYM_NAME_LEN is 512
constexpr size_t kMostText = 256u << 20;      // of all names
constexpr size_t kMarkersWithin = 64u << 20;  // before token_table
constexpr unsigned kLinkAlignLog2 = 21;       // of where a kernel is linked to
constexpr uint64_t kBudget = 200'000'000;     // steps of searching, whatever the bytes are

constexpr size_t align(size_t n, size_t to) { return (n + to - 1) / to * to; }

class Finder {
 public:
  explicit Finder(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  static constexpr size_t kMostTokens = 0x1'0000;  // bytes

  // Whether that is there with which run() begins.
  bool has_tokens() {
    size_t from = 0;
    return find_tokens(from);
  }

  Result<SymbolTable> run() {
    for (size_t from = 0; find_tokens(from);) {
      if (find_names() && find_offsets()) return read();
    }
    return Error{tokens_seen_ ? "has a damaged symbol table (kallsyms), or one of an unknown layout"
                              : "has no symbol table (kallsyms) inside"};
  }

 private:
  template <typename T>
  T at(size_t offset) const {
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }
  bool spend(uint64_t steps) {
    budget_ -= std::min(budget_, steps);
    return budget_ != 0;
  }

  bool find_tokens(size_t& from);
  bool tokens_at(size_t digits);
  bool find_names();
  bool names_before(size_t markers, size_t run);
  bool walk_names(size_t names, size_t markers, uint32_t count);
  bool find_offsets();
  bool offsets_at(size_t offset, size_t base_field);
  uint64_t link_base() const;
  std::optional<uint64_t> relocated(uint64_t address) const;
  Result<SymbolTable> read();

  std::span<const uint8_t> bytes_;
  uint64_t budget_ = kBudget;
  bool tokens_seen_ = false;

  std::array<std::string_view, 256> tokens_{};
  size_t token_table_ = 0, tokens_end_ = 0;
  size_t num_field_ = 0, names_ = 0;
  uint32_t count_ = 0;

  enum class Encoding { kUnsigned, kAbsolutePercpu, kPlaceRelative } encoding_{};
  size_t offsets_ = 0, base_field_ = 0;
};

// The next table of tokens from `from` on, which is moved behind it.
bool Finder::find_tokens(size_t& from) {
  constexpr char kDigits[] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";  // and the last zero
  while (from < bytes_.size()) {
    const void* found = memmem(bytes_.data() + from, bytes_.size() - from, kDigits, sizeof kDigits);
    if (found == nullptr) return false;
    const auto digits = static_cast<size_t>(static_cast<const uint8_t*>(found) - bytes_.data());
    from = digits + 1;
    if (tokens_at(digits)) {
      tokens_seen_ = true;
      return true;
    }
  }
  return false;
}

bool Finder::tokens_at(size_t digits) {
  // The table's end: 256 - '0' strings on.
  size_t end = digits;
  for (unsigned token = '0'; token < 256; ++token) {
    const size_t most = std::min(bytes_.size() - end, kMostTokens);
    const void* zero = std::memchr(bytes_.data() + end, 0, most);
    if (zero == nullptr || !spend(16)) return false;
    end = static_cast<size_t>(static_cast<const uint8_t*>(zero) - bytes_.data()) + 1;
    if (end - digits > kMostTokens) return false;
  }
  for (const size_t alignment : {8, 4, 2}) {
    const size_t index = align(end, alignment);
    if (index + 512 > bytes_.size()) continue;
    const size_t start = digits - at<uint16_t>(index + 2 * '0');
    if (start > digits) continue;
    size_t next = start;
    unsigned token = 0;
    for (; token < 256 && next == start + at<uint16_t>(index + 2 * token); ++token) {
      const void* zero = std::memchr(bytes_.data() + next, 0, end - next);
      if (zero == nullptr) break;
      const auto* text = reinterpret_cast<const char*>(bytes_.data() + next);
      tokens_[token] = {text, static_cast<size_t>(static_cast<const char*>(zero) - text)};
      next += tokens_[token].size() + 1;
    }
    if (token != 256 || next != end) continue;
    token_table_ = start;
    tokens_end_ = index + 512;
    return true;
  }
  return false;
}

// `markers`: 0, then ascending by what 256 names can take.
bool Finder::find_names() {
  const auto follows = [this](size_t at_marker) {
    const uint32_t step = at<uint32_t>(at_marker + 4) - at<uint32_t>(at_marker);
    return step >= 2 * kPerMarker && step <= (kLongestName + 2) * kPerMarker;
  };
  const size_t lowest = token_table_ > kMarkersWithin ? token_table_ - kMarkersWithin : 8;
  for (size_t markers = token_table_ / 4 * 4; markers >= lowest + 4;) {
    markers -= 4;
    if (!spend(1)) return false;
    if (markers + 8 > token_table_ || at<uint32_t>(markers) != 0 || !follows(markers)) continue;
    size_t run = 2;
    while (markers + 4 * (run + 1) <= token_table_ && follows(markers + 4 * (run - 1))) ++run;
    if (!spend(run)) return false;
    if (names_before(markers, run)) return true;
  }
  return false;
}

// Names whose markers are at `markers`, of which at most `run` make sense.
bool Finder::names_before(size_t markers, size_t run) {
  const size_t farthest = at<uint32_t>(markers + 4 * (run - 1)) + kPerMarker * 514 + 8;
  const size_t lowest = markers > farthest ? markers - farthest : 0;
  for (size_t names = markers - 512; names >= lowest + 8 && names < markers; names -= 4) {
    if (!spend(1)) return false;
    // num_syms with padding behind it to 8 bytes, or without.
    for (const size_t back : {size_t{8}, size_t{4}}) {
      if (back == 8 && (names % 8 != 0 || at<uint32_t>(names - 4) != 0)) continue;
      const uint32_t count = at<uint32_t>(names - back);
      const size_t needed = (size_t{count} + kPerMarker - 1) / kPerMarker;
      if (needed < 2 || needed > run) continue;
      const size_t last = at<uint32_t>(markers + 4 * (needed - 1));
      const size_t room = markers - names;
      if (last >= room || room - last > kPerMarker * 514 + 8) continue;
      if (!walk_names(names, markers, count)) continue;
      num_field_ = names - back;
      return true;
    }
  }
  return false;
}

bool Finder::walk_names(size_t names, size_t markers, uint32_t count) {
  size_t at_name = names;
  for (uint32_t i = 0; i < count; ++i) {
    if (i % kPerMarker == 0) {
      if (at_name - names != at<uint32_t>(markers + 4 * (i / kPerMarker))) return false;
      if (!spend(kPerMarker)) return false;
    }
    size_t length = bytes_[at_name++];
    if ((length & 0x80) != 0) length = (length & 0x7f) | size_t{bytes_[at_name++]} << 7;
    if (length == 0 || length > markers - at_name) return false;
    at_name += length;
    if (at_name >= markers && i + 1 < count) return false;
  }
  // Nothing but padding up to the markers.
  if (align(at_name, 8) != markers && align(at_name, 4) != markers) return false;
  names_ = names;
  count_ = count;
  return true;
}

bool Finder::find_offsets() {
  const size_t bytes = 4 * size_t{count_};
  for (const size_t alignment : {size_t{8}, size_t{4}}) {
    const size_t behind = align(tokens_end_, alignment);
    if (behind + bytes <= bytes_.size() && offsets_at(behind, align(behind + bytes, 8))) {
      return true;
    }
  }
  // num_syms and relative_base are 8 bytes with their padding.
  const size_t base = num_field_ - 8;
  const size_t padded = align(bytes, 8);
  return num_field_ >= 8 + padded && offsets_at(base - padded, base);
}

bool Finder::offsets_at(size_t offset, size_t base_field) {
  const auto sorted = [&](auto&& value) {
    for (uint32_t i = 1; i < count_; ++i) {
      if (value(i) < value(i - 1)) return false;
    }
    return value(count_ - 1) > value(0);
  };
  const auto raw = [&](uint32_t i) { return at<uint32_t>(offset + 4 * size_t{i}); };
  if (!spend(3 * uint64_t{count_})) return false;
  offsets_ = offset;
  base_field_ = base_field + 8 <= bytes_.size() ? base_field : 0;
  if (sorted([&](uint32_t i) { return raw(i); }) && raw(count_ - 1) < 0x8000'0000) {
    encoding_ = Encoding::kUnsigned;
    return base_field_ != 0;
  }
  // Absolute ones first; then the bits of a negative number inverted: from the base, and ascending.
  if (sorted([&](uint32_t i) {
        return raw(i) >> 31 != 0 ? uint64_t{1} << 32 | ~raw(i) : uint64_t{raw(i)};
      })) {
    encoding_ = Encoding::kAbsolutePercpu;
    return base_field_ != 0;
  }
  base_field_ = 0;
  encoding_ = Encoding::kPlaceRelative;
  return sorted([&](uint32_t i) {
    return static_cast<int64_t>(offset + 4 * size_t{i}) + static_cast<int32_t>(raw(i));
  });
}

// Where the image was linked to. Neither the header nor the place of a relocated pointer says it
// (the linker leaves zeroes there), but the relocations are full of addresses in the kernel. So: of
// all windows as large as the image that begin at a multiple of 2 MiB, the one with most such
// words.
uint64_t Finder::link_base() const {
  constexpr unsigned kLog2 = kLinkAlignLog2;
  std::vector<uint64_t> found;
  for (size_t i = 0; i + 8 <= bytes_.size(); i += 8) {
    const auto word = at<uint64_t>(i);
    if (word >> 48 == 0xffff && word < 0xffff'ffff'ff00'0000) found.push_back(word >> kLog2);
  }
  std::sort(found.begin(), found.end());
  const uint64_t window = (bytes_.size() >> kLog2) + 1;
  uint64_t best = 0;
  size_t most = 0;
  for (size_t first = 0, last = 0; first < found.size();) {
    while (last < found.size() && found[last] - found[first] < window) ++last;
    if (last - first > most) {
      most = last - first;
      best = found[first];
    }
    const uint64_t value = found[first];
    while (first < found.size() && found[first] == value) ++first;
  }
  // Linux's Documentation/arch/arm64/booting.rst: "ARMd" at 56, text_offset at 8.
  const bool header = bytes_.size() >= 64 && std::memcmp(bytes_.data() + 56, "ARM\x64", 4) == 0;
  const uint64_t text_offset = header ? at<uint64_t>(8) : 0;
  return most == 0 ? 0 : (best << kLog2) + (text_offset < 1u << kLog2 ? text_offset : 0);
}

// What R_AARCH64_RELATIVE will write to `address`.
std::optional<uint64_t> Finder::relocated(uint64_t address) const {
  constexpr uint64_t kRelative = 0x403;
  for (size_t i = 0; i + 24 <= bytes_.size(); i += 8) {
    if (at<uint64_t>(i) == address && at<uint64_t>(i + 8) == kRelative) return at<uint64_t>(i + 16);
  }
  return std::nullopt;
}

Result<SymbolTable> Finder::read() {
  const uint64_t linked = link_base();
  uint64_t base = base_field_ != 0 ? at<uint64_t>(base_field_) : linked;
  if (base >> 48 != 0xffff) base = relocated(linked + base_field_).value_or(linked);
  if (base == 0) return Error{"has a symbol table (kallsyms) without a base address"};
  NmSymbols symbols;
  size_t at_name = names_, text = 0;
  std::string name;
  for (uint32_t i = 0; i < count_; ++i) {
    size_t length = bytes_[at_name++];
    if ((length & 0x80) != 0) length = (length & 0x7f) | size_t{bytes_[at_name++]} << 7;
    name.clear();
    for (size_t k = 0; k < length; ++k) {
      name += tokens_[bytes_[at_name + k]];
      if (name.size() > kLongestText) return Error{"has a damaged symbol table (kallsyms): a name"};
    }
    at_name += length;
    text += name.size();
    if (text > kMostText) return Error{"has a damaged symbol table (kallsyms): names"};
    if (name.size() < 2) continue;
    const auto raw = at<uint32_t>(offsets_ + 4 * size_t{i});
    uint64_t address = base + raw;
    if (encoding_ == Encoding::kAbsolutePercpu) {
      if (raw >> 31 == 0) continue;
      address = base + ~raw;
    } else if (encoding_ == Encoding::kPlaceRelative) {
      address = base + offsets_ + 4 * size_t{i} +
                static_cast<uint64_t>(int64_t{static_cast<int32_t>(raw)});
    }
    symbols.add(address, name.front(), std::string_view(name).substr(1));
  }
  if (symbols.code() == 0) return Error{"has a symbol table (kallsyms) without code in it"};
  SymbolTable table = symbols.finish();
  // Without CONFIG_KALLSYMS_ALL the first symbol is `_stext`, and so is the base: behind the
  // header's segment, which is 64 KiB.
  if (table.text_begin() == 0) {
    const bool known = base - linked < 1u << kLinkAlignLog2;
    table.set_text(known ? linked : base - 0x1'0000, table.text_end());
  }
  return table;
}

// Four digits in turn with a zero each, as the tokens of digits lie in memory: any eight bytes in
// the middle of those of all ten.
constexpr bool is_digits(uint64_t word) {
  constexpr uint64_t kZeros = 0x0030'0030'0030'0030;
  const uint64_t high = word & 0xf0f0'f0f0'f0f0'f0f0;
  if (high != kZeros && high != kZeros << 8) [[likely]]
    return false;
  if (high != kZeros) word >>= 8;
  const uint64_t first = word & 15;
  return word == kZeros + 0x0003'0002'0001'0000 + first * 0x0001'0001'0001'0001 && first <= 6;
}

uint64_t shared_word(std::span<const uint8_t> memory, size_t at) {
  return __atomic_load_n(reinterpret_cast<const uint64_t*>(memory.data() + at), __ATOMIC_RELAXED);
}

}  // namespace

Result<SymbolTable> kallsyms_of_image(std::span<const uint8_t> image) {
  return Finder(image).run();
}

bool may_hold_kallsyms(std::span<const uint8_t> memory) {
  constexpr size_t kAround = Finder::kMostTokens + 1024;
  constexpr unsigned kMostLooks = 64;  // a hostile guest's memory is full of digits
  unsigned looks = 0;
  for (size_t at = 0; at + 8 <= memory.size(); at += 8) {
    if (!is_digits(shared_word(memory, at))) [[likely]]
      continue;
    if (++looks > kMostLooks) return true;
    const size_t begin = at > kAround ? at - kAround : 0;
    const size_t size = std::min(at + kAround, memory.size()) - begin;
    if (Finder(copy_of_shared(memory.subspan(begin, size))).has_tokens()) return true;
  }
  return false;
}

std::vector<uint8_t> copy_of_shared(std::span<const uint8_t> memory) {
  std::vector<uint8_t> copy(memory.size());
  for (size_t at = 0; at + 8 <= copy.size(); at += 8) {
    const uint64_t word = shared_word(memory, at);
    std::memcpy(copy.data() + at, &word, sizeof word);
  }
  return copy;
}

}  // namespace trapline
