// A bus in small: a bridge, its lines, and who receives messages.
#ifndef TRAPLINE_TESTS_DEVICES_PCI_HARNESS_H_
#define TRAPLINE_TESTS_DEVICES_PCI_HARNESS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "devices/pci/host_bridge.h"

namespace trapline::pci::test {

struct Message {
  uint32_t device_id;
  uint64_t address;
  uint32_t data;
  friend bool operator==(const Message&, const Message&) = default;
};

class Inbox final : public MsiTarget {
 public:
  void message(uint32_t device_id, uint64_t address, uint32_t data) override {
    std::lock_guard lock(mutex_);
    messages_.push_back({device_id, address, data});
  }
  std::vector<Message> take() {
    std::lock_guard lock(mutex_);
    return std::exchange(messages_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<Message> messages_;
};

class Line final : public IrqLine {
 public:
  void set(bool value) override {
    level = value;
    ++changes;
  }
  std::atomic<bool> level{false};
  std::atomic<unsigned> changes{0};
};

inline constexpr HostBridge::Range kMemory32 = {0x1000'0000, 0x2eff'0000},
                                   kMemory64 = {0x80'0000'0000, 0x80'0000'0000},
                                   kIo = {0x3eff'0000, 0x1'0000};

class BridgeBench {
 public:
  BridgeBench() : bridge(layout()) {}

  uint32_t read(unsigned number, unsigned offset, unsigned size = 4) {
    return static_cast<uint32_t>(bridge.read(number * 0x8000 + offset, size, 0).value);
  }
  void write(unsigned number, unsigned offset, uint32_t value, unsigned size = 4) {
    bridge.write(number * 0x8000 + offset, size, value, 0);
  }
  uint64_t memory_read(uint64_t address, unsigned size) {
    return address < kMemory64.base
               ? bridge.window(Space::kMemory32).read(address - kMemory32.base, size, 0).value
               : bridge.window(Space::kMemory64).read(address - kMemory64.base, size, 0).value;
  }
  void memory_write(uint64_t address, unsigned size, uint64_t value) {
    if (address < kMemory64.base) {
      bridge.window(Space::kMemory32).write(address - kMemory32.base, size, value, 0);
    } else {
      bridge.window(Space::kMemory64).write(address - kMemory64.base, size, value, 0);
    }
  }
  // Of MSI-X at `table`: a vector's entry.
  void set_vector(uint64_t table, unsigned vector, uint64_t address, uint32_t data, bool masked) {
    memory_write(table + 16 * vector, 8, address);
    memory_write(table + 16 * vector + 8, 8, uint64_t{masked} << 32 | data);
  }

  Inbox inbox;
  std::array<Line, HostBridge::kLines> lines;
  HostBridge bridge;

 private:
  HostBridge::Layout layout() {
    HostBridge::Layout out;
    out.memory32 = kMemory32;
    out.memory64 = kMemory64;
    out.io = kIo;
    out.messages = &inbox;
    for (unsigned i = 0; i < lines.size(); ++i) out.lines[i] = &lines[i];
    return out;
  }
};

// Registers that remember, and say where they were touched.
class Scratch final : public Device {
 public:
  explicit Scratch(std::string name, size_t bytes = 0x1000)
      : bytes_(bytes), name_(std::move(name)) {}
  MmioResult read(uint64_t offset, unsigned size, unsigned) override {
    uint64_t value = 0;
    for (unsigned i = 0; i < size && offset + i < bytes_.size(); ++i) {
      value |= uint64_t{bytes_[offset + i]} << 8 * i;
    }
    return {.value = value};
  }
  MmioResult write(uint64_t offset, unsigned size, uint64_t value, unsigned) override {
    for (unsigned i = 0; i < size && offset + i < bytes_.size(); ++i) {
      bytes_[offset + i] = static_cast<uint8_t>(value >> 8 * i);
    }
    return {};
  }
  void reset() override {}
  void save(StateWriter&) const override {}
  bool load(StateReader&) override { return true; }
  std::string_view name() const override { return name_; }

 private:
  std::vector<uint8_t> bytes_;
  const std::string name_;
};

}  // namespace trapline::pci::test

#endif  // TRAPLINE_TESTS_DEVICES_PCI_HARNESS_H_
