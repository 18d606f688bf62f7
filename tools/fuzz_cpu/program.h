// Random instruction words, drawn by encoding class.
#ifndef TRAPLINE_TOOLS_FUZZ_CPU_PROGRAM_H_
#define TRAPLINE_TOOLS_FUZZ_CPU_PROGRAM_H_

#include <cstdint>

#include "tools/fuzz_cpu/random.h"

namespace trapline::fuzz {

// `el2`: also what is there with EL2 alone.
uint32_t random_word(Random& random, bool el2);
// A value that means something: an address in RAM, near a page's end, in a device, in a hole, a
// small number, a tag, or any.
uint64_t random_value(Random& random);

// Guest-physical layout.
inline constexpr uint64_t kRam = 0x4000'0000, kRamSize = uint64_t{4} << 20;
inline constexpr uint64_t kRom = 0x5000'0000,
                          kRomSize = uint64_t{1} << 20;  // stage 2: read, execute
inline constexpr uint64_t kDevice = 0x0900'0000;
inline constexpr uint64_t kCode = kRam + 0x10'0000, kVectors = kRam + 0x20'0000;
inline constexpr uint64_t kTables = kRam + 0x30'0000, kWindow = 0x8000'0000;
// With EL2: its own vectors, and a stage 2 that maps each address to itself.
inline constexpr uint64_t kVectorsEl2 = kVectors + 0x1000, kStage2Tables = kTables + 0x8000;

}  // namespace trapline::fuzz

#endif  // TRAPLINE_TOOLS_FUZZ_CPU_PROGRAM_H_
