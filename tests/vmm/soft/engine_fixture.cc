#include "tests/vmm/soft/engine_fixture.h"

#include <cstdlib>

namespace trapline::soft {

namespace {
uint16_t translate_after_from_environment() {
  const char* text = std::getenv("TRAPLINE_TRANSLATE_AFTER");
  return text == nullptr ? kTranslateAfter : static_cast<uint16_t>(std::atoi(text));
}
}  // namespace

Bench::Bench(unsigned cpus, bool isv_never, CpuModel model)
    : Bench(cpus, isv_never, translate_after_from_environment(), model) {}

Bench::Bench(unsigned cpus, bool isv_never, uint16_t translate_after, CpuModel model) {
  memory.add(kRam, kRamSize, true);
  stage2.map(kRam, kRamSize, memory.host(kRam, kRamSize), kS2Read | kS2Write | kS2Exec);
  machine = make_soft_machine(memory, stage2, clock, cpus, isv_never, translate_after, {}, model);
  for (unsigned i = 0; i < cpus; ++i) {
    clock.cpus.push_back(&cpu(i));
    cpu(i).sys.vbar_el1 = kVectors;
    cpu(i).sys.cpacr_el1 = 3 << 20;
  }
  for (uint32_t at = 0; at < 0x800; at += 4) {
    poke<uint32_t>(kVectors + at, kHvc0 | (0x8000 | at / 4) << 5);
  }
}

void Bench::enable_mmu() {
  for (uint64_t gib = 0; gib < 4; ++gib) {
    const uint64_t bits = kBlock | kAf | (gib == 0 ? uint64_t{kDeviceMemory} : 0);
    if (peek<uint64_t>(kTables + 8 * gib) == 0) poke<uint64_t>(kTables + 8 * gib, gib << 30 | bits);
  }
  for (unsigned i = 0; i < machine->cpus(); ++i) {
    auto& mmu = cpu(i).sys.el1;
    mmu.mair = 0x00ff;                                     // 0: Normal, 1: Device-nGnRnE
    mmu.tcr = uint64_t{2} << 32 | 25 | uint64_t{1} << 23;  // 40 bits out, 39 in, no TTBR1
    mmu.ttbr0 = kTables;
    mmu.sctlr |= 1;
    engine_reset(cpu(i));
  }
}

uint64_t* Bench::descriptor(uint64_t va) {
  uint64_t table = kTables;
  uint64_t size = uint64_t{1} << 30;
  for (int level = 1; level < 3; ++level, size >>= 9) {
    const uint64_t at = table + 8 * (va / size % 512);
    auto entry = peek<uint64_t>(at);
    if ((entry & 3) != kTable) {
      const uint64_t next = next_table_;
      next_table_ += 0x1000;
      for (uint64_t i = 0; i < 512; ++i) {  // what the block mapped, in smaller pieces
        uint64_t piece = entry == 0 ? 0 : entry + i * (size >> 9);
        if (piece != 0 && level == 2) piece |= 2;
        poke<uint64_t>(next + 8 * i, piece);
      }
      entry = next | kTable;
      poke<uint64_t>(at, entry);
    }
    table = entry & 0xffff'ffff'f000;
  }
  return reinterpret_cast<uint64_t*>(memory.host(table + 8 * (va / size % 512), 8));
}

void Bench::map_page(uint64_t va, uint64_t pa, uint64_t bits) {
  if (peek<uint64_t>(kTables) == 0) {
    for (uint64_t gib = 0; gib < 4; ++gib) {
      poke<uint64_t>(kTables + 8 * gib,
                     gib << 30 | kBlock | kAf | (gib == 0 ? uint64_t{kDeviceMemory} : 0));
    }
  }
  *descriptor(va) = bits == 0 ? 0 : pa | bits | kPage | kAf;
}

void Bench::put(uint64_t address, std::initializer_list<uint32_t> words) {
  for (uint32_t word : words) {
    poke<uint32_t>(address, word);
    address += 4;
  }
}

}  // namespace trapline::soft
