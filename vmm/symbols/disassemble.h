// The text of an instruction.
#ifndef TRAPLINE_VMM_SYMBOLS_DISASSEMBLE_H_
#define TRAPLINE_VMM_SYMBOLS_DISASSEMBLE_H_

#include <cstdint>
#include <string>

namespace trapline {

// "ldr w0, [x1, #24]": Capstone's where it is built in and knows the word, our own of memory
// instructions newer than that (LSE and the like). Empty: nobody knows it.
std::string disassemble(uint32_t word, uint64_t pc);

}  // namespace trapline

#endif  // TRAPLINE_VMM_SYMBOLS_DISASSEMBLE_H_
