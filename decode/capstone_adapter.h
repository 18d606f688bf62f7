// Capstone 4 as the decoder, behind the native decoder's interface (`--decoder capstone`), and as
// the source of assembly text. Not freestanding, and apart from trapline_decode for that reason.
#ifndef TRAPLINE_DECODE_CAPSTONE_ADAPTER_H_
#define TRAPLINE_DECODE_CAPSTONE_ADAPTER_H_

#include <cstdint>
#include <string>

#include "decode/a64_decoder.h"

struct cs_insn;

namespace trapline {

// One Capstone handle and one instruction buffer an object; no allocation per word. Not for
// concurrent use: each vCPU has its own.
class CapstoneDecoder {
 public:
  CapstoneDecoder();
  ~CapstoneDecoder();
  CapstoneDecoder(const CapstoneDecoder&) = delete;
  CapstoneDecoder& operator=(const CapstoneDecoder&) = delete;

  // Whether the program has Capstone at all (CMake's TRAPLINE_CAPSTONE).
  static bool built_in();
  // Loads it. What is missing, in words; empty if nothing is.
  static std::string missing();

  // False when something is, or Capstone could not be opened; decode() is then all native and
  // text() empty.
  bool ok() const { return insn_ != nullptr; }

  // As trapline::decode(), built from Capstone's operand detail. What Capstone 4 does not know
  // (everything after Armv8.0) or wrongly rejects is decoded natively and counted.
  DecodeStatus decode(uint32_t word, Access& out);

  // Assembly text with `pc` as the address of the word; empty when Capstone does not know it.
  std::string text(uint32_t word, uint64_t pc);

  // Whether the last decode() fell to the native decoder.
  bool last_was_native() const { return last_was_native_; }

  struct Counts {
    uint64_t capstone = 0;    // answered from Capstone's detail
    uint64_t unknown = 0;     // Capstone does not disassemble the word
    uint64_t incomplete = 0;  // it does, but not as an instruction that its detail describes
  };
  const Counts& counts() const { return counts_; }

 private:
  bool disassemble(uint32_t word, uint64_t pc);
  DecodeStatus native(uint32_t word, Access& out);

  size_t handle_ = 0;  // csh
  cs_insn* insn_ = nullptr;
  bool last_was_native_ = false;
  Counts counts_;
};

}  // namespace trapline

#endif  // TRAPLINE_DECODE_CAPSTONE_ADAPTER_H_
