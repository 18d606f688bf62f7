// LLVM 19's AArch64 disassembler as an oracle: every architectural feature on, or those asked for.
#ifndef TRAPLINE_TESTS_DECODE_LLVM_ORACLE_H_
#define TRAPLINE_TESTS_DECODE_LLVM_ORACLE_H_

#include <cstdint>
#include <memory>
#include <string>

namespace trapline::test {

class LlvmOracle {
 public:
  enum class Verdict : uint8_t {
    kUnallocated,
    kAllocated,
    kUnpredictable,  // allocated, with fields that make it CONSTRAINED UNPREDICTABLE ("soft fail")
  };

  // `features` as llvm-mc's -mattr.
  explicit LlvmOracle(const std::string& features = "+all");
  ~LlvmOracle();

  // False when LLVM was built without the AArch64 target.
  bool ok() const;

  // Decodes only: what a hypervisor that linked LLVM would pay. Returns the number of operands, or
  // a negative value for an unallocated word.
  int decode(uint32_t word);

  // `text` is the assembly, blanks as LLVM prints them, for an allocated word.
  Verdict disassemble(uint32_t word, std::string& text);

  // The opcode's name in LLVM's tables ("LDRXui") of the last allocated word.
  std::string opcode_name() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trapline::test

#endif  // TRAPLINE_TESTS_DECODE_LLVM_ORACLE_H_
