#include "tests/vmm/soft/system_fixture.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "vmm/memory/walk_inl.h"
#include "vmm/soft/engine/engine.h"
#include "vmm/soft/machine.h"

namespace trapline::soft {

std::vector<std::string> g_engine_calls;

namespace {
[[gnu::format(printf, 1, 2)]] void record(const char* format, ...) {
  char text[128];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  g_engine_calls.emplace_back(text);
}
}  // namespace

// --- the engine's side of the seam -----------------------------------------------------------

void tlb_invalidate(Cpu&, TlbiTarget target, TlbiScope scope, uint64_t va, uint16_t asid,
                    bool broadcast) {
  constexpr const char* kNames[] = {"all", "asid", "va", "vaa"};
  constexpr const char* kRegimes[] = {" of EL1&0", " of EL2", " of EL2&0"};
  const bool all_of_el1 =
      target.regime == Regime::kEl10 && target.vmid == TlbiTarget::kAnyVmid;  // also without EL2
  std::string of = all_of_el1 ? "" : kRegimes[static_cast<unsigned>(target.regime)];
  if (target.regime == Regime::kEl10 && !all_of_el1) of += " vmid " + std::to_string(target.vmid);
  record("tlbi %s %#llx asid %u%s%s", kNames[static_cast<unsigned>(scope)],
         static_cast<unsigned long long>(va), unsigned{asid}, of.c_str(),
         broadcast ? " broadcast" : "");
}
bool tlb_reads_memory(Cpu& /*cpu*/, uint64_t /*va*/) { return false; }  // let the walk tell
void icache_invalidate_line(Cpu& cpu, const uint8_t* line, bool broadcast) {
  record("ic line %#llx%s",
         static_cast<unsigned long long>(line - cpu.memory->host(0x4000'0000, 1)),
         broadcast ? " broadcast" : "");
}
void icache_invalidate_all(Cpu&, bool broadcast) {
  record("ic all%s", broadcast ? " broadcast" : "");
}
void tlb_invalidate_ipa(SharedState&, Cpu* issuer, uint64_t ipa, uint64_t size) {
  record("stage2 %#llx %#llx%s", static_cast<unsigned long long>(ipa),
         static_cast<unsigned long long>(size), issuer != nullptr ? " by cpu" : "");
}
void tlb_demote_tracked_writes(SharedState& /*shared*/) {}
void tlb_demote_writes(SharedState&, Cpu*, uint64_t ipa_page) {
  record("demote %#llx", static_cast<unsigned long long>(ipa_page));
}
void engine_context_changed(Cpu&) { record("context"); }
void debug_context_changed(Cpu&) { record("debug"); }
void SharedState::memory_written(uint64_t ipa, uint64_t size) {
  record("written %#llx %#llx", static_cast<unsigned long long>(ipa),
         static_cast<unsigned long long>(size));
}

void engine_create(Cpu& cpu) { cpu.shared->cpus.push_back(&cpu); }
void engine_destroy(Cpu&) {}
void engine_reset(Cpu&) { record("reset"); }
void engine_run(Cpu&, uint64_t, ExitSink&) {}
void engine_step(Cpu&, ExitSink&) {}
void engine_set_breakpoints(Cpu&, const uint64_t*, unsigned) {}
void engine_set_watchpoints(Cpu&, const Watchpoint*, unsigned) {}

// --- the fixture -------------------------------------------------------------------------------

SystemTest::SystemTest(CpuModel model) {
  EXPECT_EQ(memory.add(kRam, kRamSize, true), "");
  EXPECT_EQ(memory.add(kFlash, 0x1'0000, false), "");
  EXPECT_EQ(memory.add(kWalkOnly, 0x1'0000, false), "");
  stage2.map(kRam, kRamSize, memory.host(kRam, kRamSize), kS2Read | kS2Write | kS2Exec);
  stage2.map(kFlash, 0x1'0000, memory.host(kFlash, 1), kS2Read | kS2Exec);
  stage2.map(kWalkOnly, 0x1'0000, memory.host(kWalkOnly, 1), kS2Exec | kS2Walk);
  machine = make_soft_machine(memory, stage2, clock, 1, false, kTranslateAfter, {}, model);
  vcpu = &machine->vcpu(0);
  vcpu->reset(kRam, 0);
  g_engine_calls.clear();
}

uint64_t SystemTest::ram(uint64_t ipa) const {
  uint64_t value = 0;
  EXPECT_TRUE(memory.read(ipa, &value, sizeof value));
  return value;
}

void SystemTest::set_ram(uint64_t ipa, uint64_t value) {
  std::memcpy(memory.host(ipa, sizeof value), &value, sizeof value);
}

void SystemTest::mmu_on() {
  auto& regs = cpu().sys.el1;
  regs.sctlr |= kSctlrM;
  regs.tcr = 16 | 16 << 16 | uint64_t{2} << 30 | uint64_t{2} << 32;
  regs.ttbr0 = kRam + 0x10'0000;
  regs.ttbr1 = kRam + 0x10'1000;
  regs.mair = 0x44ff00;  // 0 Device-nGnRnE, 1 Normal, 2 Normal non-cacheable
  update_regime(cpu());
}

void SystemTest::map_page(uint64_t va, uint64_t ipa, uint64_t attributes) {
  const auto& regs = cpu().sys.el1;
  uint64_t table = (va >> 55 & 1) != 0 ? regs.ttbr1 : regs.ttbr0;
  for (unsigned level = 0; level < 3; ++level) {
    const uint64_t entry = table + (va >> (39 - 9 * level) & 511) * 8;
    if ((ram(entry) & 1) == 0) {
      set_ram(entry, next_table_ | 3);
      next_table_ += 0x1000;
    }
    table = ram(entry) & 0xffff'ffff'f000;
  }
  set_ram(table + (va >> 12 & 511) * 8, ipa | attributes);
}

}  // namespace trapline::soft
