#include "vmm/soft/engine/tlb.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "vmm/soft/engine/engine_state.h"
#include "vmm/soft/mmu.h"

namespace trapline::soft {
namespace {

constexpr uint64_t kAddressBits = (uint64_t{1} << 56) - 1;  // without an address tag

void clear(TlbEntry& t) { t = {kTlbInvalid, kTlbInvalid, 0, 0}; }
bool valid(const TlbEntry& t) { return (t.read_tag & t.write_tag & kTlbInvalid) == 0; }
// The VA page, of an entry of which at least one tag is valid.
uint64_t page_of(const TlbEntry& t) {
  return ((t.read_tag & kTlbInvalid) == 0 ? t.read_tag : t.write_tag) & ~kPageMask;
}

void flush(TlbTable& table) {
  if (!table.used) return;
  for (TlbEntry& t : table.entries) clear(t);
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
  for (TlbEntry& t : table.entries) {
    if (valid(t) && drop(t)) clear(t);
  }
}

template <typename F>
void each_table(EngineState& e, F&& f) {
  f(e.el1);
  for (TlbTable& table : e.el0) f(table);
}

unsigned filter_index(uint64_t page) {
  return (page >> 12 ^ page >> 24 ^ page >> 36) & (sizeof(EngineState::exec_filter) - 1);
}

// Every block must be looked up again before it is entered from another page.
void renew_tokens(EngineState& e) {
  each_table(e, [&e](TlbTable& table) { table.token = ++e.last_token; });
  std::memset(e.exec_filter, 0, sizeof e.exec_filter);
  e.exec_large_count = 0;
  e.el1_exec_nonglobal = false;
  e.context_dirty = true;
}

void note_exec(EngineState& e, uint64_t page, unsigned log2, bool global, bool el1) {
  e.exec_filter[filter_index(page & kAddressBits)] = 1;
  if (el1 && !global) e.el1_exec_nonglobal = true;
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
  TlbTable* oldest = &e.el0[0];
  for (TlbTable& table : e.el0) {
    if (table.asid == asid) return table;
    if (table.last_use < oldest->last_use) oldest = &table;
  }
  flush(*oldest);
  oldest->asid = asid;
  oldest->token = ++e.last_token;
  return *oldest;
}

uint8_t current_mode(const Cpu& cpu) {
  const bool el1 = cpu.ps.el == 1;
  const uint64_t sctlr = cpu.sys.mmu.sctlr;
  const unsigned fpen = cpu.sys.cpacr_el1 >> 20 & 3;  // x0 traps all, 01 traps EL0
  uint8_t mode = el1 ? kModeEl1 : 0;
  if (el1 ? (fpen & 1) != 0 : fpen == 3) mode |= kModeFp;
  if ((sctlr & (kSctlrA | (el1 ? kSctlrEe : kSctlrE0e))) != 0) mode |= kModeSlowData;
  return mode;
}

uint8_t stage2_fault_status(const Stage2Walk& walk) {
  return walk.ok ? static_cast<uint8_t>(kFscPermission | walk.level) : walk.fsc;
}

// Stage 1, for both kinds of TLB. False: `result` is the fault.
bool walk_or_fault(const Cpu& cpu, uint64_t va, WalkFor purpose, bool el0, Stage1Walk& walk,
                   MmuResult& result) {
  TableReader reader(*cpu.stage2);
  walk = walk_stage1(cpu.sys.mmu, va, purpose, el0, reader);
  if (walk.status == Stage1Walk::Status::kOk) return true;
  result = MmuResult{};
  if (walk.status == Stage1Walk::Status::kFault) {
    result.kind = MmuResult::Kind::kStage1Fault;
    result.fsc = walk.fsc;
  } else {
    result.kind = MmuResult::Kind::kStage2Fault;
    result.fsc = reader.fsc();
    result.s1ptw = true;
    result.ipa = (walk.table_ipa & ~kPageMask) | (va & kPageMask);
  }
  return false;
}

bool user_page(const Cpu& cpu, const Stage1Walk& walk) {
  if (walk.table_loads == 0) return false;  // MMU off
  if ((cpu.sys.mmu.sctlr & kSctlrEe) != 0) return true;
  return (walk.descriptor[walk.table_loads - 1] >> 6 & 1) != 0;  // AP[1]
}

}  // namespace

TlbFill tlb_fill(Cpu& cpu, uint64_t va, WalkFor purpose, bool el0, MmuResult& result) {
  EngineState& e = *cpu.engine;
  ++e.stats.tlb_fills;
  Stage1Walk s1;
  if (!walk_or_fault(cpu, va, purpose, el0, s1, result)) {
    return result.s1ptw ? TlbFill::kWalkFault : TlbFill::kStage1Fault;
  }
  const Stage2Walk s2 = cpu.stage2->walk(s1.ipa);
  const uint64_t page = va & ~kPageMask;
  TlbTable& table = el0 ? *e.current_el0 : e.el1;
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
  return TlbFill::kFilled;
}

const uint8_t* tlb_exec(Cpu& cpu, uint64_t page, MmuResult& result) {
  EngineState& e = *cpu.engine;
  ExecEntry& entry = e.exec[page >> kPageLog2 & (EngineState::kExecEntries - 1)];
  if (entry.va_page == page && entry.token == e.token) return entry.host_page;
  Stage1Walk s1;
  if (!walk_or_fault(cpu, page, WalkFor::kFetch, cpu.ps.el == 0, s1, result)) return nullptr;
  const Stage2Walk s2 = cpu.stage2->walk(s1.ipa);
  if (!s2.ok || !s2.executable) {
    result = MmuResult{};
    result.kind = MmuResult::Kind::kStage2Fault;
    result.fsc = stage2_fault_status(s2);
    result.ipa = s1.ipa;
    result.ipa_valid = !s2.ok;
    return nullptr;
  }
  note_exec(e, page, s1.page_log2, s1.global, cpu.ps.el == 1);
  entry = {page, e.token, s2.host};
  return s2.host;
}

void tlb_flush_all(EngineState& e) {
  ++e.stats.tlb_flushes;
  each_table(e, flush);
  renew_tokens(e);
}

void tlb_flush_asid(EngineState& e, uint16_t asid) {
  for (TlbTable& table : e.el0) {
    if (table.asid != asid) continue;
    flush(table);
    table.token = ++e.last_token;
  }
  if (e.el1.nonglobal) {
    clear_if(e.el1, [](const TlbEntry& t) { return (t.meta & kTlbGlobal) == 0; });
    e.el1.nonglobal = false;
  }
  if (e.el1_exec_nonglobal) e.el1.token = ++e.last_token;
  e.context_dirty = true;
}

void tlb_flush_va(EngineState& e, uint64_t va) {
  const uint64_t address = va & kAddressBits;
  each_table(e, [&](TlbTable& table) {
    if (!table.used) return;
    TlbEntry& t = *tlb_slot(table.entries, va);
    if (valid(t) && ((page_of(t) ^ address) & kAddressBits & ~kPageMask) == 0) clear(t);
    // Any address in a larger page names the whole page.
    if (!may_hold_large(table, va)) return;
    clear_if(table, [&](const TlbEntry& other) {
      return ((page_of(other) ^ address) & kAddressBits) >> (other.meta & kTlbLog2Mask) == 0;
    });
  });
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
    for (TlbEntry& t : table.entries) {
      if ((t.write_tag & (kTlbInvalid | kTlbIo)) != 0) continue;
      if ((t.write_tag & ~kPageMask) + t.addend == reinterpret_cast<uint64_t>(host_page)) {
        t.write_tag |= kTlbSlow;
      }
    }
  });
}

void tlb_update_context(Cpu& cpu) {
  EngineState& e = *cpu.engine;
  e.context_dirty = false;
  const TranslationRegs& now = cpu.sys.mmu;
  const uint64_t sctlr_changes = now.sctlr ^ e.seen.sctlr;
  if ((sctlr_changes & (kSctlrM | kSctlrWxn | kSctlrEe)) != 0 || now.tcr != e.seen.tcr ||
      now.mair != e.seen.mair) {
    tlb_flush_all(e);
  } else if (sctlr_changes != 0 || cpu.sys.cpacr_el1 != e.seen_cpacr) {
    renew_tokens(e);  // BlockMode
  }
  if (now.pan && !e.seen.pan && e.el1.user_no_pan) {
    clear_if(e.el1, [](const TlbEntry& t) { return (t.meta & kTlbUser) != 0; });
    e.el1.user_no_pan = false;
  }
  const uint16_t asid = current_asid(now);
  if (e.current_el0 == nullptr || e.current_el0->asid != asid) {
    e.current_el0 = &table_for(e, asid);
    e.current_el0->last_use = ++e.use_counter;
    if (e.el1.nonglobal) {
      clear_if(e.el1, [](const TlbEntry& t) { return (t.meta & kTlbGlobal) == 0; });
      e.el1.nonglobal = false;
    }
    if (e.el1_exec_nonglobal) e.el1.token = ++e.last_token;
  }
  TlbTable& table = cpu.ps.el == 0 ? *e.current_el0 : e.el1;
  e.tlb = table.entries;
  e.tlb_el0 = e.current_el0->entries;
  e.token = table.token;
  e.mode = current_mode(cpu);
  e.seen = now;
  e.seen_cpacr = cpu.sys.cpacr_el1;
  e.context_dirty = false;
}

}  // namespace trapline::soft
