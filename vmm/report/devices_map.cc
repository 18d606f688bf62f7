#include "vmm/report/devices_map.h"

#include <fmt/format.h>
#include <libfdt.h>

#include <charconv>
#include <cstring>
#include <optional>

#include "vmm/config/platform.h"
#include "vmm/symbols/kernel_file.h"

namespace trapline {
namespace {

constexpr size_t kMostWindows = 4096;
constexpr int kDeepest = 16;

std::optional<uint64_t> number(std::string_view text) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) text.remove_prefix(2);
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (error != std::errc() || text.empty()) return std::nullopt;
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  const int shift = unit.empty() ? 0 : unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : -1;
  if (shift < 0 || value > ~uint64_t{0} >> shift) return std::nullopt;
  return value << shift;
}

std::string_view next_word(std::string_view& line) {
  const size_t begin = std::min(line.find_first_not_of(" \t\r"), line.size());
  line.remove_prefix(begin);
  const size_t end = std::min(line.find_first_of(" \t\r"), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

// Of a node's `compatible`, the names of its windows in the order of `reg`.
struct Known {
  std::string_view compatible;
  std::string_view names[2];
  bool many = false;  // there are several: with their addresses
};
constexpr Known kKnown[] = {
    {"arm,pl011", {"pl011"}},
    {"arm,pl031", {"pl031"}},
    {"arm,pl061", {"pl061"}},
    {"arm,gic-v3", {"gicd", "gicr"}},
    {"arm,gic-v3-its", {"its"}},
    {"virtio,mmio", {"virtio"}, true},
    {"qemu,fw-cfg-mmio", {"fw_cfg"}},
    {"cfi-flash", {"pflash0", "pflash1"}},
    {"pci-host-ecam-generic", {"pcie-ecam"}},
};

uint64_t cells(const void* at, int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; ++i) {
    fdt32_t cell;
    std::memcpy(&cell, static_cast<const char*>(at) + 4 * i, sizeof cell);
    value = value << 32 | fdt32_to_cpu(cell);
  }
  return value;
}

void add_node(DevicesMap& map, const void* fdt, int node, int address_cells, int size_cells) {
  int length = 0;
  const auto* reg = static_cast<const char*>(fdt_getprop(fdt, node, "reg", &length));
  const char* full = fdt_get_name(fdt, node, nullptr);
  const int entry = 4 * (address_cells + size_cells);
  if (reg == nullptr || full == nullptr || size_cells == 0) return;
  std::string_view name(full);
  const Known* known = nullptr;
  for (const Known& k : kKnown) {
    if (fdt_node_check_compatible(fdt, node, std::string(k.compatible).c_str()) == 0) known = &k;
  }
  if (name.starts_with("memory")) name = kMemory;
  for (int i = 0; (i + 1) * entry <= length && map.windows().size() < kMostWindows; ++i) {
    const uint64_t base = cells(reg + i * entry, address_cells);
    const uint64_t size = cells(reg + i * entry + 4 * address_cells, size_cells);
    if (known == nullptr) {
      map.add(base, size, name);
    } else if (known->many) {
      map.add(base, size, fmt::format("{}@{:x}", known->names[0], base));
    } else {
      // Further redistributor regions are redistributors, too.
      map.add(base, size, known->names[i == 0 || known->names[1].empty() ? 0 : 1]);
    }
  }
  // PCI's windows: child address of 3 cells (the kind in the first), parent's, size of 2.
  const auto* ranges = static_cast<const char*>(fdt_getprop(fdt, node, "ranges", &length));
  if (known == nullptr || known->names[0] != "pcie-ecam" || ranges == nullptr) return;
  const int range = 4 * (3 + address_cells + 2);
  for (int i = 0; (i + 1) * range <= length; ++i) {
    const char* at = ranges + i * range;
    const bool io = (cells(at, 1) >> 24 & 3) == 1;
    map.add(cells(at + 12, address_cells), cells(at + 12 + 4 * address_cells, 2),
            io ? "pcie-pio" : "pcie-mmio");
  }
}

}  // namespace

void DevicesMap::add(uint64_t base, uint64_t size, std::string_view name) {
  if (size != 0) windows_.push_back({base, size, std::string(name)});
}

const DevicesMap::Window* DevicesMap::find(uint64_t address) const {
  const Window* found = nullptr;
  for (const Window& window : windows_) {
    if (address - window.base < window.size && (found == nullptr || window.size < found->size)) {
      found = &window;
    }
  }
  return found;
}

DevicesMap DevicesMap::virt() {
  using namespace platform;
  DevicesMap map;
  map.add(kFlash[0].base, kFlash[0].size, "pflash0");
  map.add(kFlash[1].base, kFlash[1].size, "pflash1");
  map.add(kGicd.base, kGicd.size, "gicd");
  map.add(0x0808'0000, 0x2'0000, "its");
  map.add(kGicr.base, kUart.base - kGicr.base, "gicr");
  map.add(kUart.base, kUart.size, "pl011");
  map.add(kRtc.base, kRtc.size, "pl031");
  map.add(kFwCfg.base, kFwCfg.size, "fw_cfg");
  map.add(0x0903'0000, 0x1000, "pl061");
  map.add(0x0904'0000, 0x1000, "pl011-secure");
  for (unsigned i = 0; i < kVirtioSlots; ++i) {
    const Window slot{virtio_slot(i).base, virtio_slot(i).size, ""};
    map.add(slot.base, slot.size, fmt::format("virtio@{:x}", slot.base));
  }
  map.add(0x1000'0000, 0x2eff'0000, "pcie-mmio");
  map.add(0x3eff'0000, 0x1'0000, "pcie-pio");
  map.add(0x3f00'0000, 0x100'0000, "pcie-ecam");
  map.add(kRamBase, 0x40'0000'0000 - kRamBase, kMemory);
  map.add(0x40'0000'0000, 0x400'0000, "gicr");
  map.add(0x40'1000'0000, 0x1000'0000, "pcie-ecam");
  map.add(0x80'0000'0000, 0x80'0000'0000, "pcie-mmio");
  return map;
}

Result<DevicesMap> DevicesMap::of_dtb(const std::string& path) {
  Result<KernelFile> file = KernelFile::open(path);
  if (!file) return Error{file.error()};
  const void* fdt = file->bytes().data();
  if (file->bytes().size() < sizeof(fdt_header) || fdt_check_full(fdt, file->bytes().size()) != 0) {
    return Error{path + ": is no device tree blob, or a damaged one"};
  }
  DevicesMap map;
  // Of each node on the way down: how its children's addresses are written, and whether they are
  // the CPU's (the root's are; those of a bus with empty `ranges`).
  struct Level {
    int address_cells = 0, size_cells = 0;
    bool translated = false;
  } levels[kDeepest];
  int depth = -1;
  for (int node = fdt_next_node(fdt, -1, &depth); node >= 0 && depth >= 0;
       node = fdt_next_node(fdt, node, &depth)) {
    if (depth >= kDeepest) continue;
    if (depth > 0 && levels[depth - 1].translated) {
      add_node(map, fdt, node, levels[depth - 1].address_cells, levels[depth - 1].size_cells);
    }
    int length = -1;
    const bool ranges = fdt_getprop(fdt, node, "ranges", &length) != nullptr && length == 0;
    const int address = fdt_address_cells(fdt, node), size = fdt_size_cells(fdt, node);
    levels[depth] = {address, size,
                     (depth == 0 || (ranges && levels[depth - 1].translated)) && address > 0 &&
                         address <= 2 && size >= 0 && size <= 2};
  }
  if (map.windows().empty()) return Error{path + ": has no node with an address"};
  return map;
}

Result<DevicesMap> DevicesMap::of_text(const std::string& path) {
  Result<KernelFile> file = KernelFile::open(path);
  if (!file) return Error{file.error()};
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  DevicesMap map;
  for (unsigned line_number = 1; !text.empty(); ++line_number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    line = line.substr(0, line.find('#'));
    const std::string_view base_text = next_word(line), size_text = next_word(line);
    const std::string_view name = next_word(line);
    if (base_text.empty()) continue;
    const auto base = number(base_text), size = number(size_text);
    const bool fits = base && size && *size != 0 && *size - 1 <= ~*base;
    if (!fits || name.empty() || name.size() > 64 || !next_word(line).empty()) {
      return Error{fmt::format("{}: line {} is not '0xADDRESS SIZE NAME'", path, line_number)};
    }
    if (map.windows().size() >= kMostWindows) {
      return Error{fmt::format("{}: more than {} devices", path, kMostWindows)};
    }
    map.add(*base, *size, name);
  }
  if (map.windows().empty()) return Error{path + ": names no device"};
  return map;
}

}  // namespace trapline
