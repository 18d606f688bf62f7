// Compares the decoder with an oracle's assembly text: the Access is printed by access_text(), and
// both texts are brought to one spelling. A difference in a register, size, sign extension,
// immediate, write-back or ordering is a difference in the text.
#ifndef TRAPLINE_TESTS_DECODE_ORACLE_COMPARE_H_
#define TRAPLINE_TESTS_DECODE_ORACLE_COMPARE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace trapline::test {

// The mnemonic, one blank, the operands without blanks; #0 offsets dropped, hexadecimal numbers
// made decimal, and what an Access does not keep made equal (ldur -> ldr, prfum -> prfm, ldlar ->
// ldar, stllr -> stlr, an acquire into XZR dropped).
std::string canonical(std::string_view text);

// A word of the loads-and-stores group: 29:28, 26, 24:21 and 15:10 with 31:30 as `opcode` numbers
// them (0 <= opcode < kOpcodes), the register fields 20:16, 9:5 and 4:0 as given.
inline constexpr uint32_t kOpcodes = 1u << 15;
uint32_t group_word(uint32_t opcode, uint32_t rm, uint32_t rn, uint32_t rt);

}  // namespace trapline::test

#endif  // TRAPLINE_TESTS_DECODE_ORACLE_COMPARE_H_
