// A kernel's Image with kallsyms tables, as scripts/kallsyms.c of several Linux versions lays them
// out.
#ifndef TRAPLINE_TESTS_VMM_SYMBOLS_KALLSYMS_IMAGE_H_
#define TRAPLINE_TESTS_VMM_SYMBOLS_KALLSYMS_IMAGE_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace trapline {

struct KallsymsImage {
  enum class Layout { k5, k6_2, k6_4, k7 };

  struct Symbol {
    uint64_t offset;  // from the base
    std::string typed_name;
  };

  Layout layout = Layout::k6_4;
  bool absolute_percpu = false;
  bool base_in_place = true;  // else it is zero, as --no-apply-dynamic-relocs leaves it
  bool padded_seqs = false;   // 6.2's first form: 4 bytes a symbol, later 3
  uint64_t base = 0xffff'8000'0800'0000;
  uint64_t first = 0;  // the first symbol, from the base: relative_base is its address
  std::vector<Symbol> symbols;

  // Functions of 0x40 bytes, every fifth symbol data, names that need tokens; one name is long.
  static std::vector<Symbol> some(unsigned count, bool all = true) {
    std::vector<Symbol> symbols{all ? Symbol{0, "T_text"} : Symbol{0x1'0000, "T_stext"}};
    for (unsigned i = 1; i + 1 < count; ++i) {
      std::string name = i % 5 == 0 ? "d" : i % 2 == 0 ? "t" : "T";
      name += i % 3 == 0 ? "virtio_" : "kvm_";
      name += std::to_string(i) + "_read";
      if (i == 300) name += std::string(200, 'x');
      symbols.push_back({0x1'0000 + i * 0x40ull, name});
    }
    symbols.push_back({0x1'0000 + count * 0x40ull, "D_etext"});
    return symbols;
  }

  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> out(0x4'0000);  // code
    uint64_t base_at = 0;
    std::memcpy(out.data() + 56, "ARM\x64", 4);
    for (int i = 0; i < 3; ++i) out.insert(out.end(), {0x41, 0x42, 0x43, 0x44, 0x45, 0, 0, 0});
    if (layout == Layout::k5 || layout == Layout::k6_2) {
      put_offsets(out);
      base_at = out.size();
      put_base(out);
    }
    put_names(out);
    if (layout == Layout::k6_2) {
      for (size_t i = 0; i < symbols.size() * (padded_seqs ? 4 : 3); ++i) {
        out.push_back(static_cast<uint8_t>(i * 7));
      }
      pad(out);
    }
    put_tokens(out);
    if (layout == Layout::k6_4 || layout == Layout::k7) put_offsets(out);
    if (layout == Layout::k6_4) {
      base_at = out.size();
      put_base(out);
    }
    // Relocations: what says where a kernel is linked to.
    for (uint64_t i = 0; i < 64; ++i) {
      put<uint64_t>(out, base + 0x2'0000 + i * 8);
      put<uint64_t>(out, 0x403);
      put<uint64_t>(out, base + 0x1'0000 + i * 0x40);
    }
    if (!base_in_place && base_at != 0) {
      put<uint64_t>(out, base + base_at);
      put<uint64_t>(out, 0x403);
      put<uint64_t>(out, base + first);
    }
    return out;
  }

 private:
  template <typename T>
  static void put(std::vector<uint8_t>& out, T value) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof value);
  }
  static void pad(std::vector<uint8_t>& out) { out.resize((out.size() + 7) / 8 * 8); }

  // Every byte stands for itself, but a few that no name has.
  static std::string token(unsigned i) {
    if (i == 0x80) return "virtio_";
    if (i == 0x81) return "kvm_";
    if (i == 0x82) return "_read";
    const bool used =
        (i >= '0' && i <= '9') || (i >= 'a' && i <= 'z') || i == 'T' || i == 'D' || i == '_';
    return used ? std::string(1, static_cast<char>(i)) : i > 0xf0 ? "" : "zz";
  }

  void put_offsets(std::vector<uint8_t>& out) const {
    for (const Symbol& symbol : symbols) {
      uint64_t value = symbol.offset - (symbol.typed_name[0] == 'A' ? 0 : first);
      if (absolute_percpu) value = symbol.typed_name[0] == 'A' ? value : ~value;
      if (layout == Layout::k7) value = symbol.offset - out.size();
      put<uint32_t>(out, static_cast<uint32_t>(value));
    }
    pad(out);
  }
  void put_base(std::vector<uint8_t>& out) const {
    put<uint64_t>(out, base_in_place ? base + first : 0);
  }

  void put_names(std::vector<uint8_t>& out) const {
    put<uint32_t>(out, static_cast<uint32_t>(symbols.size()));
    pad(out);
    const size_t names = out.size();
    std::vector<uint32_t> markers;
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (i % 256 == 0) markers.push_back(static_cast<uint32_t>(out.size() - names));
      std::string packed = symbols[i].typed_name;
      for (unsigned t = 0x80; t <= 0x82; ++t) {
        const std::string text = token(t);
        if (const size_t at = packed.find(text); at != std::string::npos) {
          packed.replace(at, text.size(), 1, static_cast<char>(t));
        }
      }
      const size_t length = packed.size();
      out.push_back(static_cast<uint8_t>(length < 128 ? length : (length & 0x7f) | 0x80));
      if (length >= 128) out.push_back(static_cast<uint8_t>(length >> 7));
      out.insert(out.end(), packed.begin(), packed.end());
    }
    pad(out);
    for (const uint32_t marker : markers) put(out, marker);
    pad(out);
  }

  static void put_tokens(std::vector<uint8_t>& out) {
    const size_t table = out.size();
    std::vector<uint16_t> index;
    for (unsigned i = 0; i < 256; ++i) {
      index.push_back(static_cast<uint16_t>(out.size() - table));
      const std::string text = token(i);
      out.insert(out.end(), text.begin(), text.end());
      out.push_back(0);
    }
    pad(out);
    for (const uint16_t at : index) put(out, at);
    pad(out);
  }
};

}  // namespace trapline

#endif  // TRAPLINE_TESTS_VMM_SYMBOLS_KALLSYMS_IMAGE_H_
