#include "vmm/boot/device_tree.h"

#include <fmt/format.h>

extern "C" {
#include <libfdt.h>
}

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <memory>

#include "vmm/config/platform.h"

namespace trapline {
namespace {

constexpr uint32_t kPhandleGic = 1, kPhandleClock = 2, kPhandleIts = 3;
constexpr uint32_t kSpi = 0, kPpi = 1;  // first interrupt cell
constexpr uint32_t kLevelHigh = 4;      // third interrupt cell
constexpr uint32_t kRisingEdge = 1;     // likewise

// libfdt's sequential writer, with nodes as scopes.
class Writer {
 public:
  Writer() : buffer_(std::make_unique_for_overwrite<uint8_t[]>(kMost)) {
    check(fdt_create(buffer_.get(), kMost));
    check(fdt_finish_reservemap(buffer_.get()));
  }

  class Node {
   public:
    Node(Writer& writer, const std::string& name) : writer_(writer) {
      check(fdt_begin_node(writer_.buffer_.get(), name.c_str()));
    }
    ~Node() { check(fdt_end_node(writer_.buffer_.get())); }
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    void bytes(const char* name, const void* data, size_t size) {
      check(fdt_property(writer_.buffer_.get(), name, data, static_cast<int>(size)));
    }
    void text(const char* name, const std::string& value) {
      bytes(name, value.c_str(), value.size() + 1);
    }
    // Several strings, each ended by its zero.
    void texts(const char* name, std::initializer_list<const char*> values) {
      std::string all;
      for (const char* value : values) all.append(value).push_back('\0');
      bytes(name, all.data(), all.size());
    }
    void empty(const char* name) { bytes(name, nullptr, 0); }
    void cells(const char* name, const std::vector<uint32_t>& values) {
      std::vector<fdt32_t> big;
      big.reserve(values.size());
      for (uint32_t value : values) big.push_back(cpu_to_fdt32(value));
      bytes(name, big.data(), big.size() * sizeof(fdt32_t));
    }
    void u64(const char* name, uint64_t value) {
      cells(name, {static_cast<uint32_t>(value >> 32), static_cast<uint32_t>(value)});
    }
    // #address-cells = #size-cells = 2 everywhere.
    void reg(const std::vector<platform::Window>& windows) {
      std::vector<uint32_t> out;
      for (const platform::Window& w : windows) {
        for (uint64_t v : {w.base, w.size}) {
          out.push_back(static_cast<uint32_t>(v >> 32));
          out.push_back(static_cast<uint32_t>(v));
        }
      }
      cells("reg", out);
    }

   private:
    Writer& writer_;
  };

  std::vector<uint8_t> finish() {
    check(fdt_finish(buffer_.get()));
    return {buffer_.get(), buffer_.get() + fdt_totalsize(buffer_.get())};
  }

 private:
  static void check(int status) {
    if (status == 0) return;
    std::fprintf(stderr, "trapline: device tree: %s\n", fdt_strerror(status));
    std::abort();
  }
  static constexpr int kMost = 64 * 1024;
  std::unique_ptr<uint8_t[]> buffer_;  // written from both ends: not all of it
};

// What Xen's "docs/misc/arm/device-tree/booting.txt" calls a module: by its place in the list the
// kernel of the first guest, that one's initrd, or something whose kind Xen sees by itself.
void boot_module(Writer& writer, const BootPlan::Module& module, size_t index) {
  Writer::Node node(writer, fmt::format("module@{:x}", module.start));
  if (index < 2) {
    const char* kind = index == 0 ? "multiboot,kernel" : "multiboot,ramdisk";
    node.texts("compatible", {kind, "multiboot,module"});
  } else {
    node.text("compatible", "multiboot,module");
  }
  node.reg({{module.start, module.end - module.start}});
  if (!module.append.empty()) node.text("bootargs", module.append);
}

void chosen(Writer& writer, const DeviceTreeInput& in) {
  Writer::Node node(writer, "chosen");
  node.text("stdout-path", fmt::format("/pl011@{:x}", platform::kUart.base));
  const std::vector<BootPlan::Module>& modules = in.plan->modules;
  if (!in.options->append.empty()) {
    node.text(modules.empty() ? "bootargs" : "xen,xen-bootargs", in.options->append);
  }
  if (in.plan->initrd_end != 0) {
    node.u64("linux,initrd-start", in.plan->initrd_start);
    node.u64("linux,initrd-end", in.plan->initrd_end);
  }
  node.bytes("rng-seed", in.rng_seed.data(), in.rng_seed.size());
  if (!in.kaslr_seed.empty()) node.bytes("kaslr-seed", in.kaslr_seed.data(), in.kaslr_seed.size());
  if (modules.empty()) return;
  node.cells("#address-cells", {2});
  node.cells("#size-cells", {2});
  for (size_t i = 0; i < modules.size(); ++i) boot_module(writer, modules[i], i);
}

void psci(Writer& writer, const Options& options) {
  Writer::Node node(writer, "psci");
  node.texts("compatible", {"arm,psci-1.0", "arm,psci-0.2", "arm,psci"});
  node.text("method", options.el2.on ? "smc" : "hvc");
  node.cells("cpu_suspend", {0xc4000001});
  node.cells("cpu_off", {0x84000002});
  node.cells("cpu_on", {0xc4000003});
  node.cells("migrate", {0xc4000005});
}

void cpus(Writer& writer, const Options& options) {
  Writer::Node list(writer, "cpus");
  list.cells("#address-cells", {1});
  list.cells("#size-cells", {0});
  for (unsigned i = 0; i < options.cpus; ++i) {
    Writer::Node node(writer, fmt::format("cpu@{:x}", i));
    node.text("device_type", "cpu");
    node.text("compatible", "arm,armv8");
    node.cells("reg", {i});
    node.text("enable-method", "psci");
  }
}

// Of the software CPU.
void pmu(Writer& writer, const Options& options) {
  if (options.backend == BackendChoice::kKvm || options.cpu < CpuModel::kMax) return;
  Writer::Node node(writer, "pmu");
  node.text("compatible", "arm,armv8-pmuv3");
  node.cells("interrupts", {kPpi, platform::kPmuPpi, kLevelHigh});
}

void timers(Writer& writer, const Options& options) {
  {
    Writer::Node node(writer, "timer");
    node.texts("compatible", {"arm,armv8-timer", "arm,armv7-timer"});
    node.empty("always-on");
    std::vector<uint32_t> interrupts;
    for (const uint32_t ppi : {platform::kTimerSecurePpi, platform::kTimerNonSecurePpi,
                               platform::kTimerVirtualPpi, platform::kTimerHypPpi}) {
      interrupts.insert(interrupts.end(), {kPpi, ppi, kLevelHigh});
    }
    if (options.el2.on && options.el2.vhe) {
      interrupts.insert(interrupts.end(), {kPpi, platform::kTimerHypVirtualPpi, kLevelHigh});
    }
    node.cells("interrupts", interrupts);
  }
  Writer::Node node(writer, fmt::format("timer@{:x}", platform::kTimerCtl.base));
  node.text("compatible", "arm,armv7-timer-mem");
  node.cells("#address-cells", {2});
  node.cells("#size-cells", {2});
  node.empty("ranges");
  node.reg({platform::kTimerCtl});
  Writer::Node frame(writer, fmt::format("frame@{:x}", platform::kTimerFrame0.base));
  frame.cells("frame-number", {0});
  // Physical, then virtual: one wire, and Linux wants the second.
  frame.cells("interrupts", {kSpi, platform::kTimerFrameSpi, kLevelHigh, kSpi,
                             platform::kTimerFrameSpi, kLevelHigh});
  frame.reg({platform::kTimerFrame0});
}

void interrupt_controller(Writer& writer, const Options& options, bool its) {
  Writer::Node node(writer, fmt::format("intc@{:x}", platform::kGicd.base));
  node.text("compatible", "arm,gic-v3");
  node.cells("#interrupt-cells", {3});
  node.empty("interrupt-controller");
  node.cells("#address-cells", {2});
  node.cells("#size-cells", {2});
  node.empty("ranges");
  node.cells("#redistributor-regions", {1});
  node.reg({platform::kGicd, {platform::kGicr.base, platform::kGicr.size * options.cpus}});
  if (options.el2.on) {
    node.cells("interrupts", {kPpi, platform::kGicMaintenancePpi, kLevelHigh});
  }
  node.cells("phandle", {kPhandleGic});
  if (!its) return;
  Writer::Node unit(writer, fmt::format("its@{:x}", platform::kIts.base));
  unit.text("compatible", "arm,gic-v3-its");
  unit.empty("msi-controller");
  unit.cells("#msi-cells", {1});
  unit.reg({platform::kIts});
  unit.cells("phandle", {kPhandleIts});
}

// As "pci/host-generic-pci.yaml" has it. An address of PCI is three cells: what space, and where.
void pcie(Writer& writer, bool its, bool highmem) {
  const platform::Window ecam = platform::pcie_ecam(highmem);
  constexpr uint32_t kIo = 0x0100'0000, kMemory32 = 0x0200'0000, kMemory64 = 0x0300'0000;
  Writer::Node node(writer, fmt::format("pcie@{:x}", platform::kPcieMemory32.base));
  node.text("compatible", "pci-host-ecam-generic");
  node.text("device_type", "pci");
  node.cells("#address-cells", {3});
  node.cells("#size-cells", {2});
  node.cells("#interrupt-cells", {1});
  node.cells("linux,pci-domain", {0});
  node.cells("bus-range", {0, static_cast<uint32_t>(ecam.size >> 20) - 1});
  node.empty("dma-coherent");
  node.reg({ecam});
  std::vector<uint32_t> ranges;
  const auto range = [&ranges](uint32_t space, uint64_t at, platform::Window window) {
    ranges.push_back(space);
    for (const uint64_t v : {at, window.base, window.size}) {
      ranges.push_back(static_cast<uint32_t>(v >> 32));
      ranges.push_back(static_cast<uint32_t>(v));
    }
  };
  range(kIo, 0, platform::kPcieIo);
  range(kMemory32, platform::kPcieMemory32.base, platform::kPcieMemory32);
  if (highmem) range(kMemory64, platform::kPcieMemory64.base, platform::kPcieMemory64);
  node.cells("ranges", ranges);
  if (its) node.cells("msi-map", {0, kPhandleIts, 0, 0x10000});
  // Device numbers take turns at the lines, and so do the pins of each.
  constexpr uint32_t kLines = platform::kPcieLines;
  node.cells("interrupt-map-mask", {(kLines - 1) << 11, 0, 0, 7});
  std::vector<uint32_t> map;
  for (uint32_t device = 0; device < kLines; ++device) {
    for (uint32_t pin = 0; pin < kLines; ++pin) {
      map.insert(map.end(), {device << 11, 0, 0, pin + 1, kPhandleGic, 0, 0, kSpi,
                             platform::kPcieSpi + (device + pin) % kLines, kLevelHigh});
    }
  }
  node.cells("interrupt-map", map);
}

void primecell(Writer& writer, const char* name, const char* compatible, platform::Window window,
               unsigned spi, std::initializer_list<const char*> clocks) {
  Writer::Node node(writer, fmt::format("{}@{:x}", name, window.base));
  node.texts("compatible", {compatible, "arm,primecell"});
  node.reg({window});
  node.cells("interrupts", {kSpi, spi, kLevelHigh});
  node.cells("clocks", std::vector<uint32_t>(clocks.size(), kPhandleClock));
  node.texts("clock-names", clocks);
}

void virtio_slot(Writer& writer, unsigned slot) {
  const platform::Window window = platform::virtio_slot(slot);
  Writer::Node node(writer, fmt::format("virtio_mmio@{:x}", window.base));
  node.text("compatible", "virtio,mmio");
  node.reg({window});
  node.cells("interrupts", {kSpi, platform::kVirtioSpi + slot, kLevelHigh});
  node.empty("dma-coherent");
}

void devices(Writer& writer, const DeviceTreeInput& in) {
  {
    Writer::Node node(writer, "apb-pclk");
    node.text("compatible", "fixed-clock");
    node.cells("#clock-cells", {0});
    node.cells("clock-frequency", {24'000'000});
    node.text("clock-output-names", "clk24mhz");
    node.cells("phandle", {kPhandleClock});
  }
  primecell(writer, "pl011", "arm,pl011", platform::kUart, platform::kUartSpi,
            {"uartclk", "apb_pclk"});
  primecell(writer, "pl031", "arm,pl031", platform::kRtc, platform::kRtcSpi, {"apb_pclk"});
  {
    Writer::Node node(writer, fmt::format("vmgenid@{:x}", platform::kVmGenId.base));
    node.text("compatible", "microsoft,vmgenid");
    node.reg({platform::kVmGenId});
    node.cells("interrupts", {kSpi, platform::kVmGenIdSpi, kRisingEdge});
  }
  if (in.flash) {
    Writer::Node node(writer, "flash@0");
    node.text("compatible", "cfi-flash");
    node.reg({platform::kFlash[0], platform::kFlash[1]});
    node.cells("bank-width", {4});
  }
  if (in.fw_cfg) {
    Writer::Node node(writer, fmt::format("fw-cfg@{:x}", platform::kFwCfg.base));
    node.text("compatible", "qemu,fw-cfg-mmio");
    node.reg({platform::kFwCfg});
    node.empty("dma-coherent");
  }
  if (in.pcie) pcie(writer, in.its, in.options->highmem);
  if (in.virtio) {
    std::vector<unsigned> order = in.virtio_slots;
    for (unsigned i = platform::kVirtioSlots; i-- > 0;) {
      if (std::find(order.begin(), order.end(), i) == order.end()) order.push_back(i);
    }
    for (unsigned i : order) virtio_slot(writer, i);
  }
}

}  // namespace

std::vector<uint8_t> build_device_tree(const DeviceTreeInput& in) {
  Writer writer;
  {
    Writer::Node root(writer, "");
    root.text("compatible", "linux,dummy-virt");
    root.text("model", "linux,dummy-virt");
    root.cells("#address-cells", {2});
    root.cells("#size-cells", {2});
    root.cells("interrupt-parent", {kPhandleGic});
    root.empty("dma-coherent");
    chosen(writer, in);
    {
      Writer::Node node(writer, "aliases");
      node.text("serial0", fmt::format("/pl011@{:x}", platform::kUart.base));
    }
    psci(writer, *in.options);
    cpus(writer, *in.options);
    {
      Writer::Node node(writer, fmt::format("memory@{:x}", platform::kRamBase));
      node.text("device_type", "memory");
      node.reg({{platform::kRamBase, in.options->memory}});
    }
    timers(writer, *in.options);
    pmu(writer, *in.options);
    interrupt_controller(writer, *in.options, in.its);
    devices(writer, in);
  }
  return writer.finish();
}

}  // namespace trapline
