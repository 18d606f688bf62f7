// FEAT_MOPS: copies and sets of memory, each in three instructions.
#ifndef TRAPLINE_DECODE_MOPS_H_
#define TRAPLINE_DECODE_MOPS_H_

#include "decode/access.h"

namespace trapline {

constexpr bool is_mops(Op op) { return op >= Op::kCopyForwardProlog && op <= Op::kSetTagEpilog; }

}  // namespace trapline

#endif  // TRAPLINE_DECODE_MOPS_H_
