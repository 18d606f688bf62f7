// `trapline decode`: what a word does, as one line of text.
#ifndef TRAPLINE_DECODE_FORMAT_H_
#define TRAPLINE_DECODE_FORMAT_H_

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "decode/access.h"

namespace trapline {

class CapstoneDecoder;

// "op=load size=4 count=2 rt=w1 rt2=w2 base=sp mode=post-index imm=8": the fields that matter for
// the operation, in this order: op, size (bytes of an element), count, rt, rt2, rs, base, index,
// extend, shift, mode, imm, sign, regs, lane, q, interleaved, options, key and order.
std::string format_access(const Access& access);

// The eight hex digits of the word, then `unallocated`, `not-memory`, `unsupported CLASS` or
// `CLASS k=v...`, then "; " and the assembly text where there is one. No newline.
std::string format_decode_line(uint32_t word, CapstoneDecoder& capstone);
std::string format_decode_line(uint32_t word);

// The subcommand. `args` are the words; "-" stands for words on `in`, apart by blanks, any number a
// line; "#" begins a comment. Returns the exit status: 1 after one line on `err` for a word that is
// none.
int decode_main(const std::vector<std::string>& args, std::istream& in, std::ostream& out,
                std::ostream& err);

}  // namespace trapline

#endif  // TRAPLINE_DECODE_FORMAT_H_
