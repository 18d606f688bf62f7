// Reads what `qemu-system-aarch64 -singlestep -d cpu,int,nochain` writes: the registers before each
// instruction, and the exceptions taken between two of them.
#ifndef TRAPLINE_TOOLS_LOCKSTEP_QEMU_LOG_H_
#define TRAPLINE_TOOLS_LOCKSTEP_QEMU_LOG_H_

#include <cstdint>
#include <cstdio>
#include <vector>

namespace trapline::lockstep {

struct Record {
  uint64_t x[32] = {};  // 31: SP
  uint64_t pc = 0;
  uint64_t pstate = 0;
  bool exception = false;  // of any kind, before this record's instruction
  // An interrupt was taken before this record's instruction: IRQ 5, FIQ 6, in QEMU's numbers; 0:
  // none. Its ELR tells whether the previous record's instruction was executed.
  unsigned interrupt = 0;
  uint64_t interrupt_elr = 0;

  bool same_state(const Record& other) const;
};

class QemuLog {
 public:
  explicit QemuLog(std::FILE* file) : file_(file), line_(1024) {}
  // False at the end of the log.
  bool next(Record& record);

 private:
  bool read_line();

  std::FILE* file_;
  std::vector<char> line_;
};

}  // namespace trapline::lockstep

#endif  // TRAPLINE_TOOLS_LOCKSTEP_QEMU_LOG_H_
