// An Access as assembly text, in the spelling of the Arm ARM (C6.2, C7.2).
#ifndef TRAPLINE_DECODE_ACCESS_TEXT_H_
#define TRAPLINE_DECODE_ACCESS_TEXT_H_

#include <string>

#include "decode/access.h"

namespace trapline {

// Text that assembles to an instruction with this Access; empty for Op::kNone. What the Access does
// not keep is not there: LDUR prints as LDR, PRFUM as PRFM, LDLAR as LDAR, STLLR as STLR, and an
// acquire without effect (LDADDA with Rt = XZR) is dropped. A literal prints as an offset from PC.
std::string access_text(const Access& access);

}  // namespace trapline

#endif  // TRAPLINE_DECODE_ACCESS_TEXT_H_
