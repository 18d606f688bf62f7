// A CPU view, RAM and recording devices for tests of emulate(), with states written as text.
#ifndef TRAPLINE_TESTS_MMIO_MACHINE_H_
#define TRAPLINE_TESTS_MMIO_MACHINE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "decode/a64_decoder.h"
#include "mmio/bus.h"
#include "mmio/emulate.h"

namespace trapline::test {

// A page of bytes, each at first the low byte of its offset; every access is logged.
class RecordingDevice final : public Device {
 public:
  RecordingDevice(std::string name, std::string& log, bool takes_64b = false)
      : name_(std::move(name)), log_(log), takes_64b_(takes_64b) {
    reset();
  }
  MmioResult read(uint64_t offset, unsigned size, unsigned vcpu) override;
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned vcpu) override;
  bool accepts(uint64_t offset, unsigned size, bool write) const override;
  bool read64b(uint64_t offset, uint64_t data[8], unsigned vcpu) override;
  bool write64b(uint64_t offset, const uint64_t data[8], unsigned vcpu) override;
  void reset() override;
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return name_; }

  uint64_t reject_from = ~uint64_t{0};  // accepts() says no from this offset on
  uint64_t abort_from = ~uint64_t{0};   // an access from this offset on aborts
  uint8_t bytes[4096];

 private:
  std::string name_;
  std::string& log_;
  bool takes_64b_;
};

enum PageKind : uint8_t {
  kRam,
  kRamReadOnly,        // stage 2 has it read-only, no device
  kRamReadOnlyStage1,  // stage 1 forbids writes
  kDevicePage,         // a device, Normal at stage 1
  kDeviceMemory,       // a device, Device memory at stage 1
  kHole,               // stage 1 maps it, nothing is there
  kUnmapped,           // translation fault, level 3
  kRetryPage,
  kEl1Only,  // a device; an unprivileged access faults
};

// Pages of the test machine, by address: see machine.cc. Translation is the identity.
inline constexpr uint64_t kBase = 0x0900'0000;

class FakeView final : public CpuView {
 public:
  FakeView();
  Translation translate(uint64_t va, unsigned size, Direction dir, bool unprivileged) override;
  uint8_t* ram(uint64_t ipa, Direction dir) override;
  void ram_written(uint64_t ipa, unsigned size) override;

  void page(uint64_t ipa, PageKind kind);
  uint8_t* host(uint64_t ipa);

  GeneralRegisters general{};
  Vreg vectors[32] = {};
  ExclusiveMonitor exclusive{};
  // Each touch of RAM stands in the log as "[] ", and "[stale " for the one that is refused.
  void bracket_ram(std::string& log, unsigned stale_at);

  std::string written;  // what ram_written() heard, "9002ff8+8 "
  unsigned translations = 0;

 private:
  struct Page {
    PageKind kind = kUnmapped;
    std::unique_ptr<uint8_t[]> bytes;
  };
  bool begin_ram_access() override;
  void end_ram_access() override { *ram_log_ += "] "; }

  std::map<uint64_t, Page> pages_;
  std::string* ram_log_ = nullptr;
  unsigned stale_at_ = 0;  // counts down; 0: never
};

struct Machine {
  Machine();
  // Tokens "x1=9000010 v2=<hi>_<lo> sp=… pc=… nzcv=… known=9000000 be=1 sa=1 a=1 lse2=1 optb=1
  // brackets=1 stale=<which touch of RAM is refused>".
  void set(const std::string& state);
  // Runs the word as the backend would. The outcome as text: "done", "progress", "fault 21 9000001
  // w", "unsupported", "retry", "exit 9000000 r".
  std::string run(uint32_t word, bool with_bus = true);
  std::string run(const Access& access, uint64_t va, bool with_bus = true);
  // "x0=…" tokens for every register that differs from what set() made it.
  std::string changes() const;
  uint64_t memory(uint64_t ipa, unsigned size);  // RAM, little-endian

  std::string log;
  FakeView view;
  Bus bus;
  DeviceGate gate;
  EmulateContext context;
  std::vector<std::unique_ptr<RecordingDevice>> devices;

 private:
  GeneralRegisters before_{};
  Vreg vectors_before_[32] = {};
  uint32_t nzcv_before_ = 0;
};

std::string hex(uint64_t value);

}  // namespace trapline::test

#endif  // TRAPLINE_TESTS_MMIO_MACHINE_H_
