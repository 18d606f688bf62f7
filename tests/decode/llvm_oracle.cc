#include "tests/decode/llvm_oracle.h"

#include <llvm/MC/MCAsmInfo.h>
#include <llvm/MC/MCContext.h>
#include <llvm/MC/MCDisassembler/MCDisassembler.h>
#include <llvm/MC/MCInst.h>
#include <llvm/MC/MCInstPrinter.h>
#include <llvm/MC/MCInstrInfo.h>
#include <llvm/MC/MCRegisterInfo.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/MCTargetOptions.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Triple.h>

extern "C" {
void LLVMInitializeAArch64TargetInfo();
void LLVMInitializeAArch64TargetMC();
void LLVMInitializeAArch64Disassembler();
}

namespace trapline::test {

struct LlvmOracle::Impl {
  llvm::MCTargetOptions options;
  std::unique_ptr<llvm::MCRegisterInfo> registers;
  std::unique_ptr<llvm::MCAsmInfo> asm_info;
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget;
  std::unique_ptr<llvm::MCInstrInfo> instructions;
  std::unique_ptr<llvm::MCContext> context;
  std::unique_ptr<llvm::MCDisassembler> disassembler;
  std::unique_ptr<llvm::MCInstPrinter> printer;
  llvm::MCInst inst;

  llvm::MCDisassembler::DecodeStatus run(uint32_t word) {
    const uint8_t bytes[4] = {static_cast<uint8_t>(word), static_cast<uint8_t>(word >> 8),
                              static_cast<uint8_t>(word >> 16), static_cast<uint8_t>(word >> 24)};
    uint64_t size = 0;
    inst.clear();
    // LLVM 19 walks the operands of the opcode that it finds here even when nothing matched: with
    // one left over from an SME instruction it inserts past the end.
    inst.setOpcode(0);
    return disassembler->getInstruction(inst, size, bytes, 0, llvm::nulls());
  }
};

LlvmOracle::LlvmOracle(const std::string& features) : impl_(std::make_unique<Impl>()) {
  LLVMInitializeAArch64TargetInfo();
  LLVMInitializeAArch64TargetMC();
  LLVMInitializeAArch64Disassembler();
  const std::string triple = "aarch64-unknown-linux-gnu";
  std::string error;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target) return;
  Impl& i = *impl_;
  i.registers.reset(target->createMCRegInfo(triple));
  i.asm_info.reset(target->createMCAsmInfo(*i.registers, triple, i.options));
  i.subtarget.reset(target->createMCSubtargetInfo(triple, "", features));
  i.instructions.reset(target->createMCInstrInfo());
  i.context = std::make_unique<llvm::MCContext>(llvm::Triple(triple), i.asm_info.get(),
                                                i.registers.get(), i.subtarget.get());
  i.disassembler.reset(target->createMCDisassembler(*i.subtarget, *i.context));
  i.printer.reset(target->createMCInstPrinter(llvm::Triple(triple), 0, *i.asm_info, *i.instructions,
                                              *i.registers));
}

LlvmOracle::~LlvmOracle() = default;

bool LlvmOracle::ok() const { return impl_->disassembler && impl_->printer; }

int LlvmOracle::decode(uint32_t word) {
  if (impl_->run(word) == llvm::MCDisassembler::Fail) return -1;
  return static_cast<int>(impl_->inst.getNumOperands());
}

LlvmOracle::Verdict LlvmOracle::disassemble(uint32_t word, std::string& text) {
  text.clear();
  const auto status = impl_->run(word);
  if (status == llvm::MCDisassembler::Fail) return Verdict::kUnallocated;
  llvm::raw_string_ostream stream(text);
  impl_->printer->printInst(&impl_->inst, 0, "", *impl_->subtarget, stream);
  stream.flush();
  return status == llvm::MCDisassembler::Success ? Verdict::kAllocated : Verdict::kUnpredictable;
}

std::string LlvmOracle::opcode_name() const {
  return impl_->instructions->getName(impl_->inst.getOpcode()).str();
}

}  // namespace trapline::test
