// --cpu: what the software CPU shows in its ID registers, whatever the host has.
#ifndef TRAPLINE_VMM_CONFIG_CPU_MODEL_H_
#define TRAPLINE_VMM_CONFIG_CPU_MODEL_H_

#include <cstdint>

namespace trapline {

// Ascending: what one has, those after it have, too. Saves and recordings say it by name.
enum class CpuModel : uint8_t {
  kBase,  // Armv8.0 with CRC32, LSE, RDM and PAN2
  kMax,   // all that is implemented
};

inline constexpr const char* kCpuModelNames[] = {"base", "max"};
constexpr const char* name_of(CpuModel model) {
  return kCpuModelNames[static_cast<unsigned>(model)];
}

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONFIG_CPU_MODEL_H_
