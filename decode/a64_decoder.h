// The native A64 memory-instruction decoder: Arm ARM DDI 0487, C4.1 "Loads and stores" and the
// cache-maintenance corner of "System". Pure: no guest state, heap or I/O. Freestanding.
#ifndef TRAPLINE_DECODE_A64_DECODER_H_
#define TRAPLINE_DECODE_A64_DECODER_H_

#include "decode/access.h"

namespace trapline {

enum class DecodeStatus : uint8_t {
  kAccess,       // `out` describes the access
  kNotMemory,    // an instruction outside the memory classes (or an unallocated word there)
  kUnallocated,  // a word in the memory classes that no instruction is allocated to
  kUnsupported,  // a memory instruction recognised but not emulated: SVE, SME, RCW, GCS
};

// Decodes one instruction word. On kAccess fills `out` completely; otherwise leaves it zeroed.
DecodeStatus decode(uint32_t word, Access& out);

// The class of the word, as `trapline decode` prints it: "LDST", "PAIR", "MOPS"...; for what is not
// emulated "SVE", "SME", "RCW", "GCS"; else "unallocated" or "not-memory".
const char* decode_class(uint32_t word);

}  // namespace trapline

#endif  // TRAPLINE_DECODE_A64_DECODER_H_
