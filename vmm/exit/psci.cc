#include "vmm/exit/psci.h"

namespace trapline {
namespace {

// Function identifiers. Bit 30 selects the 64-bit calling convention.
enum Function : uint32_t {
  kSmcccVersion = 0x8000'0000,
  kSmcccArchFeatures = 0x8000'0001,
  kPsciVersion = 0x8400'0000,
  kCpuSuspend32 = 0x8400'0001,
  kCpuOff = 0x8400'0002,
  kCpuOn32 = 0x8400'0003,
  kAffinityInfo32 = 0x8400'0004,
  kMigrateInfoType = 0x8400'0006,
  kSystemOff = 0x8400'0008,
  kSystemReset = 0x8400'0009,
  kPsciFeatures = 0x8400'000a,
  kSystemReset2_32 = 0x8400'0012,
  kCpuSuspend64 = 0xc400'0001,
  kCpuOn64 = 0xc400'0003,
  kAffinityInfo64 = 0xc400'0004,
  kSystemReset2_64 = 0xc400'0012,
};

enum Error : int32_t {
  kSuccess = 0,
  kNotSupported = -1,
  kInvalidParameters = -2,
  kDenied = -3,
  kAlreadyOn = -4,
  kOnPendingError = -5,
  kInvalidAddress = -9,
};

constexpr uint64_t kSmcccVersion1_1 = 0x1'0001;
constexpr uint64_t kPsciVersion1_1 = 0x1'0001;
constexpr uint64_t kNoTrustedOs = 2;            // MIGRATE_INFO_TYPE
constexpr uint64_t kPowerDownState = 1u << 16;  // CPU_SUSPEND power_state.StateType
constexpr uint64_t kMpidrAffinity = 0xff'00ff'ffff;

constexpr uint64_t to_x0(Error error) { return static_cast<uint64_t>(int64_t{error}); }

bool supported(uint32_t function) {
  switch (function) {
    case kSmcccVersion:
    case kPsciVersion:
    case kCpuSuspend32:
    case kCpuSuspend64:
    case kCpuOff:
    case kCpuOn32:
    case kCpuOn64:
    case kAffinityInfo32:
    case kAffinityInfo64:
    case kMigrateInfoType:
    case kSystemOff:
    case kSystemReset:
    case kSystemReset2_32:
    case kSystemReset2_64:
    case kPsciFeatures:
      return true;
    default:
      return false;
  }
}

// The CPU with this MPIDR affinity; cpu_count() if there is none. Aff0 is the number.
unsigned find_cpu(const PowerControl& machine, uint64_t mpidr) {
  uint64_t affinity = mpidr & kMpidrAffinity;
  return affinity < machine.cpu_count() ? static_cast<unsigned>(affinity) : machine.cpu_count();
}

uint64_t cpu_on(PowerControl& machine, uint64_t mpidr, uint64_t entry, uint64_t context) {
  unsigned cpu = find_cpu(machine, mpidr);
  if (cpu == machine.cpu_count()) return to_x0(kInvalidParameters);
  if ((entry & 3) != 0 || !machine.is_guest_memory(entry)) return to_x0(kInvalidAddress);
  if (machine.cpu_on(cpu, entry, context)) return to_x0(kSuccess);
  return to_x0(machine.power(cpu) == PowerControl::Power::kOnPending ? kOnPendingError
                                                                     : kAlreadyOn);
}

uint64_t affinity_info(PowerControl& machine, uint64_t mpidr, uint64_t lowest_level) {
  unsigned cpu = find_cpu(machine, mpidr);
  if (cpu == machine.cpu_count() || lowest_level > 3) return to_x0(kInvalidParameters);
  if (lowest_level == 0) return static_cast<uint64_t>(machine.power(cpu));
  // A higher level is on if any CPU in it is: all are in one.
  for (unsigned i = 0; i < machine.cpu_count(); ++i) {
    if (machine.power(i) == PowerControl::Power::kOn) return 0;
  }
  return 1;
}

}  // namespace

bool psci_answer(uint64_t function, uint64_t argument, uint64_t& value) {
  const auto id = static_cast<uint32_t>(function);
  switch (id) {
    case kSmcccVersion:
      value = kSmcccVersion1_1;
      return true;
    case kPsciVersion:
      value = kPsciVersion1_1;
      return true;
    case kPsciFeatures:
      value = to_x0(supported(static_cast<uint32_t>(argument)) ? kSuccess : kNotSupported);
      return true;
    case kMigrateInfoType:
      value = kNoTrustedOs;
      return true;
    default:  // SMCCC_ARCH_FEATURES of anything, and all that is unknown
      if (supported(id)) return false;
      value = to_x0(kNotSupported);
      return true;
  }
}

PsciResult psci_call(PowerControl& machine, const uint64_t args[4]) {
  using Action = PsciResult::Action;
  auto function = static_cast<uint32_t>(args[0]);
  bool wide = (function >> 30 & 1) != 0;
  auto arg = [&](unsigned i) { return wide ? args[i] : args[i] & 0xffff'ffff; };

  PsciResult result;
  if (psci_answer(function, args[1], result.value)) return result;
  switch (function) {
    case kCpuOff:
      result.action = Action::kCpuOff;
      break;
    case kCpuOn32:
    case kCpuOn64:
      result.value = cpu_on(machine, arg(1), arg(2), arg(3));
      break;
    case kAffinityInfo32:
    case kAffinityInfo64:
      result.value = affinity_info(machine, arg(1), arg(2));
      break;
    case kCpuSuspend32:
    case kCpuSuspend64:
      if ((arg(1) & kPowerDownState) == 0) {
        result.action = Action::kSuspend;
        result.value = to_x0(kSuccess);
      } else if ((arg(2) & 3) != 0 || !machine.is_guest_memory(arg(2))) {
        result.value = to_x0(kInvalidAddress);
      } else {
        result = {Action::kSuspendEntry, 0, arg(2), arg(3)};
      }
      break;
    case kSystemOff:
      result.action = Action::kSystemOff;
      break;
    case kSystemReset:
      result.action = Action::kSystemReset;
      break;
    case kSystemReset2_32:
    case kSystemReset2_64:
      // Only the architectural warm reset (type 0) is known.
      if (static_cast<uint32_t>(arg(1)) == 0) {
        result.action = Action::kSystemReset;
      } else {
        result.value = to_x0(kInvalidParameters);
      }
      break;
    default:
      break;
  }
  return result;
}

}  // namespace trapline
