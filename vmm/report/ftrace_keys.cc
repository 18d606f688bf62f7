#include "vmm/report/ftrace_keys.h"

#include <fmt/format.h>

#include <algorithm>

namespace trapline {
namespace {

constexpr size_t kMostClasses = 64;
// Of one kind of numbers (addresses of a device with many of them) not more are remembered.
constexpr size_t kMostDetails = 1u << 20;

enum Kind : unsigned { kPlain, kDevice, kMemoryFault, kRegister, kCall };

// Linux's names of ESR_EL2.EC (asm/kvm_arm.h, kvm_arm_exception_class).
struct ClassName {
  unsigned exception_class;
  std::string_view name;
};
constexpr ClassName kClasses[] = {
    {0x00, "UNKNOWN"},  {0x01, "WFx"},         {0x03, "CP15_32"},     {0x04, "CP15_64"},
    {0x05, "CP14_MR"},  {0x06, "CP14_LS"},     {0x07, "FP_ASIMD"},    {0x08, "CP10_ID"},
    {0x09, "PAC"},      {0x0c, "CP14_64"},     {0x0e, "ILL"},         {0x11, "SVC32"},
    {0x12, "HVC32"},    {0x13, "SMC32"},       {0x15, "SVC64"},       {0x16, "HVC64"},
    {0x17, "SMC64"},    {0x18, "SYS64"},       {0x19, "SVE"},         {0x1a, "ERET"},
    {0x20, "IABT_LOW"}, {0x21, "IABT_CUR"},    {0x22, "PC_ALIGN"},    {0x24, "DABT_LOW"},
    {0x25, "DABT_CUR"}, {0x26, "SP_ALIGN"},    {0x28, "FP_EXC32"},    {0x2c, "FP_EXC64"},
    {0x2f, "SERROR"},   {0x30, "BREAKPT_LOW"}, {0x32, "SOFTSTP_LOW"}, {0x34, "WATCHPT_LOW"},
    {0x38, "BKPT32"},   {0x3a, "VECTOR32"},    {0x3c, "BRK64"},
};

// Arm DEN 0022 (PSCI), DEN 0028 (SMCCC), DEN 0098 (TRNG); bit 30 says 64-bit, and is not looked at.
struct CallName {
  uint32_t function;
  std::string_view device, name;
};
constexpr CallName kCalls[] = {
    {0x8000'0000, "smccc", "SMCCC_VERSION"},
    {0x8000'0001, "smccc", "SMCCC_ARCH_FEATURES"},
    {0x8000'0002, "smccc", "SMCCC_ARCH_SOC_ID"},
    {0x8000'3fff, "smccc", "SMCCC_ARCH_WORKAROUND_3"},
    {0x8000'7fff, "smccc", "SMCCC_ARCH_WORKAROUND_2"},
    {0x8000'8000, "smccc", "SMCCC_ARCH_WORKAROUND_1"},
    {0x8400'0000, "psci", "PSCI_VERSION"},
    {0x8400'0001, "psci", "CPU_SUSPEND"},
    {0x8400'0002, "psci", "CPU_OFF"},
    {0x8400'0003, "psci", "CPU_ON"},
    {0x8400'0004, "psci", "AFFINITY_INFO"},
    {0x8400'0005, "psci", "MIGRATE"},
    {0x8400'0006, "psci", "MIGRATE_INFO_TYPE"},
    {0x8400'0008, "psci", "SYSTEM_OFF"},
    {0x8400'0009, "psci", "SYSTEM_RESET"},
    {0x8400'000a, "psci", "PSCI_FEATURES"},
    {0x8400'000e, "psci", "SYSTEM_SUSPEND"},
    {0x8400'000f, "psci", "PSCI_SET_SUSPEND_MODE"},
    {0x8400'0012, "psci", "SYSTEM_RESET2"},
    {0x8400'0050, "trng", "TRNG_VERSION"},
    {0x8400'0051, "trng", "TRNG_FEATURES"},
    {0x8400'0052, "trng", "TRNG_GET_UUID"},
    {0x8400'0053, "trng", "TRNG_RND"},
    {0x8500'0020, "stolen_time", "PV_TIME_FEATURES"},
    {0x8500'0021, "stolen_time", "PV_TIME_ST"},
    {0x8600'0000, "kvm", "FEATURES"},
    {0x8600'0001, "kvm", "PTP"},
    {0x8600'ff01, "smccc", "VENDOR_HYP_CALL_UID"},
};

}  // namespace

uint8_t TraceKeys::exit_class(std::string_view name, unsigned exception_class) {
  std::string number;
  if (name.empty()) {
    for (const ClassName& known : kClasses) {
      if (known.exception_class == exception_class) name = known.name;
    }
    if (name.empty()) name = number = fmt::format("EC_{:#04x}", exception_class);
  }
  const auto at = std::find(classes_.begin(), classes_.end(), name);
  if (at != classes_.end()) return static_cast<uint8_t>(at - classes_.begin());
  if (classes_.size() == kMostClasses - 1) {
    classes_.emplace_back("OTHER");
  } else if (classes_.size() < kMostClasses) {
    classes_.emplace_back(name.substr(0, 32));
  }
  return static_cast<uint8_t>(classes_.size() - 1);
}

uint16_t TraceKeys::intern(const ExitKey& key) {
  const std::string text = key.exit_class + '\n' + key.device + '\n' + key.reg;
  const auto at = by_text_.find(text);
  if (at != by_text_.end()) return at->second;
  if (keys_.size() >= kMost) return kOther;
  keys_.push_back(key);
  const auto id = static_cast<uint16_t>(keys_.size() - 1);
  by_text_.emplace(text, id);
  return id;
}

template <typename Make>
uint16_t TraceKeys::of(unsigned kind, uint8_t exit_class, uint64_t number, Make make) {
  const Detail detail{number, static_cast<uint16_t>(kind << 8 | exit_class)};
  const auto at = ids_.find(detail);
  if (at != ids_.end()) return at->second;
  const uint16_t id = intern(make());
  if (ids_.size() < kMostDetails) ids_.emplace(detail, id);
  return id;
}

uint16_t TraceKeys::plain(uint8_t exit_class) {
  return of(kPlain, exit_class, 0, [&] { return ExitKey{class_name(exit_class), "", ""}; });
}

uint16_t TraceKeys::device(uint8_t exit_class, uint64_t address) {
  return of(kDevice, exit_class, address, [&] {
    const DevicesMap::Window* window = devices_.find(address);
    ExitKey key{class_name(exit_class), "", ""};
    const uint64_t page = address & ~uint64_t{0xfff};
    key.device = window != nullptr ? window->name : fmt::format("{:#x}", page);
    key.reg = device_register_name(key.device, address - (window != nullptr ? window->base : page));
    return key;
  });
}

uint16_t TraceKeys::memory(uint8_t exit_class) {
  return of(kMemoryFault, exit_class, 0, [&] {
    return ExitKey{class_name(exit_class), std::string(kMemory), ""};
  });
}

uint16_t TraceKeys::system_register(uint8_t exit_class, std::string_view name, uint32_t encoding) {
  return of(kRegister, exit_class, encoding, [&] {
    ExitKey key{class_name(exit_class), "sysreg", std::string(name.substr(0, 48))};
    if (name.empty()) {
      key.reg = fmt::format("S{}_{}_C{}_C{}_{}", encoding >> 16, encoding >> 12 & 15,
                            encoding >> 8 & 15, encoding >> 4 & 15, encoding & 15);
    }
    // As the statistics group them.
    if (name.starts_with("ICC")) key.device = "gicc";
    if (name.starts_with("CNT")) key.device = "timer";
    return key;
  });
}

uint16_t TraceKeys::call(uint8_t exit_class, uint64_t function) {
  return of(kCall, exit_class, function, [&] {
    for (const CallName& known : kCalls) {
      if (known.function == (function & 0xffff'ffff & ~uint64_t{0x4000'0000})) {
        return ExitKey{class_name(exit_class), std::string(known.device), std::string(known.name)};
      }
    }
    return ExitKey{class_name(exit_class), "", fmt::format("{:#x}", function & 0xffff'ffff)};
  });
}

bool TraceKeys::is_device(uint64_t address) const {
  const DevicesMap::Window* window = devices_.find(address);
  return window != nullptr && window->name != kMemory;
}

}  // namespace trapline
