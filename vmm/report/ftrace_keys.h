// What exited, as small numbers: class, device and register of each event's numbers, named once.
#ifndef TRAPLINE_VMM_REPORT_FTRACE_KEYS_H_
#define TRAPLINE_VMM_REPORT_FTRACE_KEYS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vmm/report/devices_map.h"
#include "vmm/report/profile.h"

namespace trapline {

class TraceKeys {
 public:
  static constexpr uint16_t kMost = 4096;
  static constexpr uint16_t kOther = 0;  // what found no number

  explicit TraceKeys(DevicesMap devices) : devices_(std::move(devices)) { keys_.push_back({}); }

  // "DABT_LOW" of a name in the trace, or of an exception class where there is none.
  uint8_t exit_class(std::string_view name, unsigned exception_class);
  const std::string& class_name(uint8_t id) const { return classes_[id]; }

  uint16_t plain(uint8_t exit_class);
  uint16_t device(uint8_t exit_class, uint64_t address);
  uint16_t memory(uint8_t exit_class);
  // `encoding` as kvm_sys_access has it, "(3,0,12,11,5)": the name may be missing.
  uint16_t system_register(uint8_t exit_class, std::string_view name, uint32_t encoding);
  uint16_t call(uint8_t exit_class, uint64_t function);

  // Whether an address is a known device's and not memory's.
  bool is_device(uint64_t address) const;
  const ExitKey& key(uint16_t id) const { return keys_[id]; }
  size_t size() const { return keys_.size(); }

 private:
  struct Detail {
    uint64_t number;
    uint16_t kind_and_class;
    bool operator==(const Detail&) const = default;
  };
  struct Hash {
    size_t operator()(const Detail& d) const {
      return (d.number * 0x9e37'79b9'7f4a'7c15 ^ d.kind_and_class) * 0xff51'afd7'ed55'8ccd >> 16;
    }
  };
  uint16_t intern(const ExitKey& key);
  template <typename Make>
  uint16_t of(unsigned kind, uint8_t exit_class, uint64_t number, Make make);

  DevicesMap devices_;
  std::vector<std::string> classes_;
  std::vector<ExitKey> keys_;
  std::unordered_map<Detail, uint16_t, Hash> ids_;
  std::unordered_map<std::string, uint16_t> by_text_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_REPORT_FTRACE_KEYS_H_
