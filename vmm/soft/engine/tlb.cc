#include "vmm/soft/engine/tlb.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <span>

#include "vmm/soft/el2.h"
#include "vmm/soft/engine/engine_state.h"
#include "vmm/soft/mmu.h"

namespace trapline::soft {
namespace {

constexpr uint64_t kAddressBits = (uint64_t{1} << 56) - 1;  // without an address tag

void clear(TlbEntry& t) { t = {kTlbInvalid, kTlbInvalid, 0, 0}; }
// What is filled in has a page size.
bool valid(const TlbEntry& t) {
  return t.meta != 0 && (t.read_tag & t.write_tag & kTlbInvalid) == 0;
}
// The VA page, of an entry of which at least one tag is valid.
uint64_t page_of(const TlbEntry& t) {
  return ((t.read_tag & kTlbInvalid) == 0 ? t.read_tag : t.write_tag) & ~kPageMask;
}

void keep_page_0_out(TlbTable& table) {
  clear(table.entries[0]);
  clear(table.entries[kTlbEntries - 1]);
}

std::span<TlbEntry> all(const TlbTable& table) { return {table.entries, kTlbEntries}; }

void flush(TlbTable& table) {
  if (!table.used) return;
  std::memset(static_cast<void*>(table.entries), 0, kTlbEntries * sizeof(TlbEntry));
  keep_page_0_out(table);
  table.used = table.nonglobal = table.user_no_pan = table.huge = false;
  std::fill(std::begin(table.large), std::end(table.large), 0);
}

unsigned region_index(uint64_t va) {
  const uint64_t region = (va & kAddressBits) >> TlbTable::kRegionLog2;
  return (region ^ region >> 12) & (TlbTable::kRegions - 1);
}
void note_large(TlbTable& table, uint64_t va, unsigned log2) {
  if (log2 > TlbTable::kRegionLog2) {
    table.huge = true;
  } else if (log2 > kPageLog2) {
    table.large[region_index(va) / 64] |= uint64_t{1} << region_index(va) % 64;
  }
}
// Whether the table may hold parts of a page of more than 4 KiB that `va` is in.
bool may_hold_large(const TlbTable& table, uint64_t va) {
  return table.huge || (table.large[region_index(va) / 64] >> region_index(va) % 64 & 1) != 0;
}

template <typename Predicate>
void clear_if(TlbTable& table, Predicate&& drop) {
  if (!table.used) return;
  for (TlbEntry& t : all(table)) {
    if (valid(t) && drop(t)) clear(t);
  }
}

template <typename F>
void each_table(World& world, F&& f) {
  f(world.privileged);
  for (TlbTable& table : world.user) f(table);
}
template <typename F>
void each_table(EngineState& e, F&& f) {
  for (unsigned i = 0; i < e.world_count; ++i) each_table(e.worlds[i], f);
}
template <typename F>
void each_world(EngineState& e, TlbiTarget target, F&& f) {
  for (unsigned i = 0; i < e.world_count; ++i) {
    World& world = e.worlds[i];
    if (world.seen.regime != target.regime) continue;
    if (target.regime == Regime::kEl10 && target.vmid != TlbiTarget::kAnyVmid &&
        target.vmid != world.seen.vmid) {
      continue;
    }
    f(world);
  }
}

unsigned filter_index(uint64_t page) {
  return (page >> 12 ^ page >> 24 ^ page >> 36) & (sizeof(EngineState::exec_filter) - 1);
}

// Every block must be looked up again before it is entered from another page.
void renew_tokens(EngineState& e) {
  each_table(e, [&e](TlbTable& table) { table.token = ++e.last_token; });
  std::memset(e.exec_filter, 0, sizeof e.exec_filter);
  e.exec_large_count = 0;
  for (unsigned i = 0; i < e.world_count; ++i) e.worlds[i].exec_nonglobal = false;
  e.context_dirty = true;
}

void note_exec(EngineState& e, uint64_t page, unsigned log2, bool global, bool privileged) {
  e.exec_filter[filter_index(page & kAddressBits)] = 1;
  if (privileged && !global) e.world->exec_nonglobal = true;
  if (log2 <= kPageLog2) return;
  const uint64_t base = page & ~((uint64_t{1} << log2) - 1) & kAddressBits;
  for (unsigned i = 0; i < std::min(e.exec_large_count, EngineState::kExecLarge); ++i) {
    if (e.exec_large[i].va == base && e.exec_large[i].log2 == log2) return;
  }
  if (e.exec_large_count < EngineState::kExecLarge) {
    e.exec_large[e.exec_large_count] = {base, log2};
  }
  if (e.exec_large_count <= EngineState::kExecLarge) ++e.exec_large_count;
}

// Of another address space's pages, after a change of the ASID.
void forget_nonglobal(EngineState& e, World& world) {
  if (world.privileged.nonglobal) {
    clear_if(world.privileged, [](const TlbEntry& t) { return (t.meta & kTlbGlobal) == 0; });
    world.privileged.nonglobal = false;
  }
  if (world.exec_nonglobal) world.privileged.token = ++e.last_token;
}

bool may_be_executed(const EngineState& e, uint64_t va) {
  const uint64_t address = va & kAddressBits;
  if (e.exec_filter[filter_index(address & ~kPageMask)] != 0) return true;
  if (e.exec_large_count > EngineState::kExecLarge) return true;
  for (unsigned i = 0; i < e.exec_large_count; ++i) {
    if ((address ^ e.exec_large[i].va) >> e.exec_large[i].log2 == 0) return true;
  }
  return false;
}

uint16_t current_asid(const TranslationRegs& regs) {
  const uint64_t ttbr = (regs.tcr >> 22 & 1) != 0 ? regs.ttbr1 : regs.ttbr0;  // TCR_EL1.A1
  const auto asid = static_cast<uint16_t>(ttbr >> 48);
  return (regs.tcr >> 36 & 1) != 0 ? asid : asid & 0xff;  // TCR_EL1.AS
}

TlbTable& table_for(EngineState& e, uint16_t asid) {
  TlbTable* oldest = &e.world->user[0];
  for (TlbTable& table : e.world->user) {
    if (table.asid == asid) return table;
    if (table.last_use < oldest->last_use) oldest = &table;
  }
  flush(*oldest);
  oldest->asid = asid;
  oldest->token = ++e.last_token;
  return *oldest;
}

uint8_t current_mode(const Cpu& cpu) {
  const bool privileged = cpu.ps.el != 0;
  uint8_t mode = privileged ? kModePrivileged : 0;
  if (fp_trap_el(cpu) == 0) mode |= kModeFp;
  if ((cpu.sys.mmu.sctlr & (kSctlrA | (privileged ? kSctlrEe : kSctlrE0e))) != 0) {
    mode |= kModeSlowData;
  }
  if (!cpu.has_el2) return mode;
  if (cpu.ps.el < 2) return mode | kModeUnderEl2;
  if (cpu.ledger != nullptr) mode |= kModeCounted;
  return mode | (has(cpu, kHcrE2h) ? kModeEl2 | kModeE2h : kModeEl2);
}

// A hypervisor's stage 2 is another world's, as its VMID is. Of one regime a world.
bool same_world(const TranslationRegs& a, const TranslationRegs& b) {
  return a.regime == b.regime && a.guest_stage2 == b.guest_stage2 && a.vmid == b.vmid &&
         a.vttbr == b.vttbr && a.vtcr == b.vtcr;
}

World& world_for(EngineState& e, const TranslationRegs& now) {
  World* oldest = &e.worlds[0];
  for (unsigned i = 0; i < e.world_count; ++i) {
    World& world = e.worlds[i];
    if (world.last_use != 0 && same_world(world.seen, now)) return world;
    if (world.last_use < oldest->last_use) oldest = &world;
  }
  each_table(*oldest, [&e](TlbTable& table) {
    flush(table);
    table.token = ++e.last_token;
  });
  oldest->exec_nonglobal = false;
  oldest->seen = now;
  oldest->current_user = nullptr;
  return *oldest;
}

uint8_t stage2_fault_status(const Stage2Walk& walk) {
  return walk.ok ? static_cast<uint8_t>(kFscPermission | walk.level) : walk.fsc;
}

bool user_page(const Cpu& cpu, const Stage1Walk& walk) {
  if (walk.table_loads == 0 || cpu.sys.mmu.regime == Regime::kEl2) return false;  // MMU off; no PAN
  if ((cpu.sys.mmu.sctlr & kSctlrEe) != 0) return true;
  return (walk.descriptor[walk.table_loads - 1] >> 6 & 1) != 0;  // AP[1]
}

}  // namespace

void tlb_make(TlbTable& table, TlbEntry* zeroes) {
  table.entries = zeroes;
  keep_page_0_out(table);
}

bool tlb_fill(Cpu& cpu, uint64_t va, WalkFor purpose, bool el0, MmuResult& result) {
  EngineState& e = *cpu.engine;
  ++e.stats.tlb_fills;
  Stage1Walk s1;
  TableReader reader(*cpu.stage2);
  if (!walk_guest(cpu.sys.mmu, va, purpose, el0, reader, s1, result)) return false;
  const Stage2Walk s2 = cpu.stage2->walk(s1.ipa);
  const uint64_t page = va & ~kPageMask;
  TlbTable& table = el0 ? *e.world->current_user : e.world->privileged;
  TlbEntry& t = *tlb_slot(table.entries, va);

  uint64_t meta =
      (s1.ipa & kTlbIpaMask) | s1.page_log2 | uint64_t{stage2_fault_status(s2)} << kTlbFscShift;
  if (s1.device) meta |= kTlbDevice;
  if (s1.global) meta |= kTlbGlobal;
  if (user_page(cpu, s1)) meta |= kTlbUser;
  t.meta = meta;
  t.read_tag = t.write_tag = kTlbInvalid;
  if (s2.ok) t.addend = reinterpret_cast<uint64_t>(s2.host) - va;

  uint64_t slow = debug_page_watched(cpu, page) ? uint64_t{kTlbSlow}
                  : s1.device || s2.device      ? uint64_t{kTlbAligned}
                                                : 0;
  if (s1.readable) t.read_tag = page | (s2.ok && s2.readable ? slow : uint64_t{kTlbIo});
  if (s1.writable) {
    if (!s2.ok || !s2.writable) {
      t.write_tag = page | kTlbIo;
    } else {
      const std::atomic<uint8_t>* flags = flags_of_host(*cpu.memory, s2.host);
      if (flags != nullptr && flags->load(std::memory_order_seq_cst) != 0) slow = kTlbSlow;
      t.write_tag = page | slow;
    }
  }

  table.used = true;
  table.nonglobal |= !s1.global;
  note_large(table, va, s1.page_log2);
  if (!el0 && !cpu.sys.mmu.pan && (meta & kTlbUser) != 0) table.user_no_pan = true;
  return true;
}

bool tlb_reads_memory(Cpu& cpu, uint64_t va) {
  const EngineState& e = *cpu.engine;
  const bool el0 = cpu.ps.el == 0;
  const TlbEntry& t = *tlb_slot(el0 ? e.tlb_el0 : e.tlb, va);
  const uint64_t page = va & ~kPageMask;
  MmuResult fault;
  if (!tag_known(t.read_tag, page) && !tlb_fill(cpu, va, WalkFor::kRead, el0, fault)) return false;
  return tag_known(t.read_tag, page) && (t.read_tag & kTlbIo) == 0;
}

const uint8_t* tlb_exec(Cpu& cpu, uint64_t page, MmuResult& result) {
  EngineState& e = *cpu.engine;
  ExecEntry& entry = e.exec[page >> kPageLog2 & (EngineState::kExecEntries - 1)];
  if (entry.va_page == page && entry.token == e.token) return entry.host_page;
  Stage1Walk s1;
  TableReader reader(*cpu.stage2);
  if (!walk_guest(cpu.sys.mmu, page, WalkFor::kFetch, cpu.ps.el == 0, reader, s1, result)) {
    return nullptr;
  }
  const Stage2Walk s2 = cpu.stage2->walk(s1.ipa);
  if (!s2.ok || !s2.executable) {
    result = MmuResult{};
    result.kind = MmuResult::Kind::kStage2Fault;
    result.fsc = stage2_fault_status(s2);
    result.ipa = s1.ipa;
    result.ipa_valid = !s2.ok;
    return nullptr;
  }
  note_exec(e, page, s1.page_log2, s1.global, cpu.ps.el != 0);
  entry = {page, e.token, s2.host};
  return s2.host;
}

void tlb_flush_all(EngineState& e) {
  ++e.stats.tlb_flushes;
  each_table(e, flush);
  renew_tokens(e);
}

void tlb_flush_world(EngineState& e, TlbiTarget target) {
  ++e.stats.tlb_flushes;
  each_world(e, target, [](World& world) { each_table(world, flush); });
  renew_tokens(e);
}

void tlb_flush_asid(EngineState& e, TlbiTarget target, uint16_t asid) {
  each_world(e, target, [&e, asid](World& world) {
    for (TlbTable& table : world.user) {
      if (table.asid != asid) continue;
      flush(table);
      table.token = ++e.last_token;
    }
    forget_nonglobal(e, world);
  });
  e.context_dirty = true;
}

void tlb_flush_va(EngineState& e, TlbiTarget target, uint64_t va) {
  const uint64_t address = va & kAddressBits;
  const auto flush_page = [va, address](TlbTable& table) {
    if (!table.used) return;
    TlbEntry& t = *tlb_slot(table.entries, va);
    if (valid(t) && ((page_of(t) ^ address) & kAddressBits & ~kPageMask) == 0) clear(t);
    // Any address in a larger page names the whole page.
    if (!may_hold_large(table, va)) return;
    clear_if(table, [&](const TlbEntry& other) {
      return ((page_of(other) ^ address) & kAddressBits) >> (other.meta & kTlbLog2Mask) == 0;
    });
  };
  each_world(e, target, [&](World& world) { each_table(world, flush_page); });
  if (may_be_executed(e, va)) renew_tokens(e);
}

void tlb_flush_ipa(EngineState& e, uint64_t ipa, uint64_t size) {
  each_table(e, [&](TlbTable& table) {
    clear_if(table, [&](const TlbEntry& t) {
      // The page overlaps the range.
      const uint64_t page = t.meta & kTlbIpaMask;
      return page + kPageMask >= ipa && (size == 0 || page <= ipa + (size - 1));
    });
  });
  renew_tokens(e);
}

void tlb_demote(EngineState& e, const uint8_t* host_page) {
  each_table(e, [&](TlbTable& table) {
    if (!table.used) return;
    for (TlbEntry& t : all(table)) {
      if (!valid(t) || (t.write_tag & (kTlbInvalid | kTlbIo)) != 0) continue;
      if ((t.write_tag & ~kPageMask) + t.addend == reinterpret_cast<uint64_t>(host_page)) {
        t.write_tag |= kTlbSlow;
      }
    }
  });
}

void tlb_demote_tracked(EngineState& e, const GuestMemory& memory) {
  each_table(e, [&](TlbTable& table) {
    if (!table.used) return;
    for (TlbEntry& t : all(table)) {
      if (!valid(t) || (t.write_tag & (kTlbInvalid | kTlbIo | kTlbSlow)) != 0) continue;
      const std::atomic<uint8_t>* flags = flags_of_host(
          memory, reinterpret_cast<const uint8_t*>((t.write_tag & ~kPageMask) + t.addend));
      if (flags != nullptr && (flags->load(std::memory_order_seq_cst) &
                               (GuestMemory::kTrackDirty | GuestMemory::kShown)) != 0) {
        t.write_tag |= kTlbSlow;
      }
    }
  });
}

void tlb_update_context(Cpu& cpu) {
  EngineState& e = *cpu.engine;
  e.context_dirty = false;
  const TranslationRegs& now = cpu.sys.mmu;
  if (cpu.has_el2) {
    World& world = world_for(e, now);
    if (&world != e.world || world.last_use == 0) world.last_use = ++e.use_counter;
    e.world = &world;
  }
  World& w = *e.world;
  if (((now.sctlr ^ w.seen.sctlr) & (kSctlrM | kSctlrWxn | kSctlrEe)) != 0 ||
      now.tcr != w.seen.tcr || now.mair != w.seen.mair) {
    ++e.stats.tlb_flushes;
    each_table(w, flush);
    renew_tokens(e);
  }
  if (now.pan && !w.seen.pan && w.privileged.user_no_pan) {
    clear_if(w.privileged, [](const TlbEntry& t) { return (t.meta & kTlbUser) != 0; });
    w.privileged.user_no_pan = false;
  }
  const uint16_t asid = current_asid(now);
  if (w.current_user == nullptr || w.current_user->asid != asid) {
    w.current_user = &table_for(e, asid);
    w.current_user->last_use = ++e.use_counter;
    forget_nonglobal(e, w);
  }
  TlbTable& table = cpu.ps.el == 0 ? *w.current_user : w.privileged;
  const uint8_t mode = current_mode(cpu);
  if (table.mode != mode) {  // blocks of another mode are others
    table.mode = mode;
    table.token = ++e.last_token;
  }
  e.tlb = table.entries;
  e.tlb_el0 = as_el0(cpu, true) ? w.current_user->entries : table.entries;
  e.token = table.token;
  e.mode = mode;
  w.seen = now;
  e.context_dirty = false;
}

}  // namespace trapline::soft
