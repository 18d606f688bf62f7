#include "vmm/trace/needs.h"

#include "mmio/named_registers.h"
#include "vmm/vcpu/syndrome.h"

namespace trapline::trace {
namespace {

constexpr uint64_t general(unsigned r) { return r < 31 ? uint64_t{1} << r : 0; }

}  // namespace

Needs needs_of(const Access& access) {
  const bool state = access.op == Op::kLoadExclusive || access.op == Op::kStoreExclusive ||
                     access.op >= Op::kCopyForwardProlog;
  const NamedRegisters named = named_registers(access);
  return {named.general, named.general_results, access.vector != 0, state};
}

Needs needs_of(const Exit& exit) {
  switch (exit.kind) {
    case ExitKind::kDataAbort: {
      const DataAbort abort{exit.esr};
      const uint64_t rt = general(abort.rt());
      return {rt, abort.write() ? 0 : rt};
    }
    case ExitKind::kSysreg: {
      const uint64_t rt = general(exit.sysreg_rt);
      return {rt, exit.sysreg_write ? 0 : rt};
    }
    case ExitKind::kHvc:
      return {0xff};
    default:
      return {};
  }
}

}  // namespace trapline::trace
