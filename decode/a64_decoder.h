// The native A64 memory-instruction decoder: Arm ARM DDI 0487, C4.1 "Loads and stores" and the
// cache-maintenance corner of "System". Pure: no guest state, heap or I/O. Freestanding.
#ifndef TRAPLINE_DECODE_A64_DECODER_H_
#define TRAPLINE_DECODE_A64_DECODER_H_

#include "decode/access.h"

namespace trapline {

// Where the decoder knows every encoding, the memory classes: the loads-and-stores group (28:25 ==
// x1x0), and of SVE and SME the parts that hold their loads, stores and prefetches (scalable.h).
bool in_memory_classes(uint32_t word);

enum class DecodeStatus : uint8_t {
  kAccess,  // `out` describes the access
  // Outside the memory classes, and none of the DC, IC and GCS operations by address there. It may
  // be an instruction or none: UDF and 0xffffffff are both this, for what is not an access is not
  // looked at any further.
  kNotMemory,
  // In the memory classes, and no instruction has this encoding. Never said of a word outside.
  kUnallocated,
  kUnsupported,  // a memory instruction recognised but not emulated: SVE, SME, RCW, GCS
};

// Decodes one instruction word. On kAccess fills `out` completely; otherwise leaves it zeroed.
DecodeStatus decode(uint32_t word, Access& out);

// The class of the word, as `trapline decode` prints it: "LDST", "PAIR", "MOPS"...; for what is not
// emulated "SVE", "SME", "RCW", "GCS"; else "unallocated" or "not-memory", as DecodeStatus has
// them.
const char* decode_class(uint32_t word);

}  // namespace trapline

#endif  // TRAPLINE_DECODE_A64_DECODER_H_
