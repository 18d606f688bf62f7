// `monitor ...`: what GDB has no command for.
#include <fmt/format.h>

#include <string>

#include "vmm/debug/gdb_session.h"
#include "vmm/memory/walk_inl.h"

namespace trapline {
namespace {

constexpr char kHelp[] =
    "monitor exits                 the exit profile of the run so far\n"
    "monitor insns                 instructions executed, by vCPU\n"
    "monitor translate VA [THREAD] where a vCPU (the one that stopped last) finds VA: stages 1, 2\n"
    "monitor help                  this\n";

std::string size_text(unsigned log2) {
  if (log2 >= 30) return fmt::format("{} GiB", 1u << (log2 - 30));
  if (log2 >= 20) return fmt::format("{} MiB", 1u << (log2 - 20));
  return fmt::format("{} KiB", 1u << (log2 - 10));
}

// D17.2.37, DFSC.
std::string fault_text(uint8_t fsc) {
  const unsigned level = fsc & 3;
  switch (fsc & 0x3c) {
    case kFscAddressSize:
      return fmt::format("address size fault, level {}", level);
    case kFscTranslation:
      return fmt::format("translation fault, level {}", level);
    case kFscAccessFlag:
      return fmt::format("access flag fault, level {}", level);
    case kFscPermission:
      return fmt::format("permission fault, level {}", level);
    default:
      return fmt::format("fault status 0x{:02x}", fsc);
  }
}

std::string rights_text(bool read, bool write, bool execute) {
  return fmt::format("{}{}{}", read ? 'r' : '-', write ? 'w' : '-', execute ? 'x' : '-');
}

std::string stage2_text(Debuggee& debuggee, uint64_t ipa) {
  const Stage2Walk walk = debuggee.stage2().walk(ipa);
  const GuestMemory::Slot* slot = debuggee.guest_memory().slot(ipa);
  const std::string device = debuggee.device_at(ipa);
  const std::string place = !device.empty()   ? "device " + device
                            : slot == nullptr ? "nothing is there"
                            : slot->writable  ? "RAM"
                                              : "flash";
  if (!walk.ok) return fmt::format("stage 2: {}: {}\n", fault_text(walk.fsc), place);
  return fmt::format("stage 2: level {} ({}), {}: {}\n", walk.level, size_text(walk.page_log2),
                     rights_text(walk.readable, walk.writable, walk.executable), place);
}

std::string translate(Debuggee& debuggee, unsigned cpu, uint64_t va) {
  GdbTarget target(debuggee);
  const TranslationRegs& regs = debuggee.cpu(cpu).translation_regs();
  std::string out = fmt::format("vcpu {}, at EL{}: VA 0x{:x}\n", cpu, regs.el, va);
  const Stage1Walk el1 = target.walk(cpu, va, false);
  if (el1.status == Stage1Walk::Status::kTableFault) {
    return out +
           fmt::format("stage 1: the level {} table at IPA 0x{:x} cannot be read\n", el1.level,
                       el1.table_ipa) +
           stage2_text(debuggee, el1.table_ipa);
  }
  if (el1.status == Stage1Walk::Status::kFault) {
    return out + fmt::format("stage 1: {}\n", fault_text(el1.fsc));
  }
  if ((regs.sctlr & kSctlrM) == 0) {
    out += fmt::format("stage 1: off, IPA 0x{:x}\n", el1.ipa);
  } else {
    const bool upper = upper_region(va);
    const TranslationRegion region = translation_region(regs, upper);
    const Stage1Walk el0 = target.walk(cpu, va, true);
    out += fmt::format(
        "stage 1: TTBR{}_EL1, {} granule, level {} ({}), IPA 0x{:x}\n"
        "stage 1: EL1 {}, EL0 {}{}; {}, MAIR attribute {} (0x{:02x}), {}\n",
        upper ? 1 : 0, size_text(region.granule_log2), el1.level, size_text(el1.page_log2), el1.ipa,
        rights_text(el1.readable, el1.writable, el1.executable),
        rights_text(el0.readable, el0.writable, el0.executable),
        regs.pan && el0.readable ? " (PAN is set)" : "", el1.device ? "Device" : "Normal",
        el1.attr_index, regs.mair >> (8 * el1.attr_index) & 0xff, el1.global ? "global" : "nG");
    for (unsigned i = 0; i < el1.table_loads; ++i) {
      out += fmt::format("         descriptor 0x{:016x} at IPA 0x{:x}\n", el1.descriptor[i],
                         el1.descriptor_ipa[i]);
    }
  }
  return out + stage2_text(debuggee, el1.ipa);
}

std::string instructions(Debuggee& debuggee) {
  std::string out;
  uint64_t total = 0;
  for (unsigned i = 0; i < debuggee.cpus(); ++i) {
    const uint64_t n = debuggee.cpu(i).retired();
    total += n;
    out += fmt::format("vcpu {}: {} ({})\n", i, n, debuggee.cpu_state(i));
  }
  return out + fmt::format("total: {}\n", total);
}

}  // namespace

std::string gdb_monitor(Debuggee& debuggee, unsigned cpu, std::string_view line) {
  while (line.ends_with(' ') || line.ends_with('\n')) line.remove_suffix(1);
  if (line == "exits") return debuggee.exit_profile();
  if (line == "insns") return instructions(debuggee);
  if (line == "help" || line.empty()) return kHelp;
  GdbCursor at(line);
  if (at.eat("translate")) {
    uint64_t va = 0, thread = uint64_t{cpu} + 1;
    const auto spaces = [&at] {
      const bool some = at.eat(' ');
      while (at.eat(' ')) continue;
      return some;
    };
    bool good = spaces() && (at.eat("0x") || true) && at.number(va);
    if (good && !at.done()) good = spaces() && at.number(thread) && at.done();
    if (good && thread >= 1 && thread <= debuggee.cpus()) {
      return translate(debuggee, static_cast<unsigned>(thread) - 1, va);
    }
    return "usage: monitor translate VA [THREAD], VA being hexadecimal\n";
  }
  // The line is the client's, and goes back to it alone.
  return fmt::format("monitor {}: not known; `monitor help` lists what is\n", line.substr(0, 80));
}

}  // namespace trapline
