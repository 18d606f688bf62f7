#include "vmm/symbols/disassemble.h"

#include "decode/a64_decoder.h"
#include "decode/access_text.h"
#include "decode/capstone_adapter.h"

namespace trapline {

std::string disassemble(uint32_t word, uint64_t pc) {
  // An object a thread: opening one costs more than a word.
  static thread_local CapstoneDecoder capstone;
  Access access;
  const DecodeStatus status = decode(word, access);
  // What is no instruction now may have been one when Capstone 4 was written, and wrongly so.
  if (status == DecodeStatus::kUnallocated) return {};
  if (status == DecodeStatus::kAccess) {
    // Capstone knows Armv8.0 only, and prints a negative post-index as a 64-bit number.
    Access unused;
    capstone.decode(word, unused);
    const bool negative = access.imm < 0 && access.mode == AddressMode::kPostIndex;
    if (capstone.last_was_native() || negative) return access_text(access);
  }
  std::string text = capstone.text(word, pc);
  return text.empty() && status == DecodeStatus::kAccess ? access_text(access) : text;
}

}  // namespace trapline
