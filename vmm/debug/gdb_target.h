// What a debugger sees of one halted vCPU: its registers by GDB's numbers, their description, and
// memory by virtual address.
#ifndef TRAPLINE_VMM_DEBUG_GDB_TARGET_H_
#define TRAPLINE_VMM_DEBUG_GDB_TARGET_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/debug/debuggee.h"
#include "vmm/vcpu/stage1_walk.h"

namespace trapline {

// The target description (GDB manual, appendix G): org.gnu.gdb.aarch64.core and .fpu, which `g` and
// `G` carry, and org.trapline.system, whose registers are asked for one by one.
const std::string& gdb_target_xml();

class GdbTarget {
 public:
  explicit GdbTarget(Debuggee& debuggee) : debuggee_(debuggee) {}

  // Register contents are hex digits in the target's byte order; empty, and false, for a register
  // that does not exist, is read-only, or digits that are missing.
  std::string registers(unsigned cpu);
  bool set_registers(unsigned cpu, std::string_view hex);
  std::string reg(unsigned cpu, uint64_t number);
  bool set_reg(unsigned cpu, uint64_t number, std::string_view hex);

  // By the vCPU's translation tables as EL1 would read, whatever the rights say; RAM and flash
  // only: a debugger's look never touches a device. Hex digits, as many bytes as there are.
  std::string memory(unsigned cpu, uint64_t va, uint64_t size);
  bool set_memory(unsigned cpu, uint64_t va, std::string_view bytes);

  // The walk for a read of `va`; with `el0` by EL0's rights. PAN does not count.
  Stage1Walk walk(unsigned cpu, uint64_t va, bool el0);

 private:
  uint8_t* host(unsigned cpu, uint64_t va, uint64_t& ipa);

  Debuggee& debuggee_;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_DEBUG_GDB_TARGET_H_
