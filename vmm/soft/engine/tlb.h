// The software TLB: one entry a 4 KiB page, direct-mapped. Of each translation regime ("world":
// EL1&0 of a VMID, EL2, EL2&0) one table for its privileged level and one for each of the last few
// ASIDs at EL0 (also used by LDTR/STTR), so that neither a system call nor a process switch flushes
// anything, nor a hypervisor's to its guest.
#ifndef TRAPLINE_VMM_SOFT_ENGINE_TLB_H_
#define TRAPLINE_VMM_SOFT_ENGINE_TLB_H_

#include <cstdint>

#include "vmm/soft/cpu.h"

namespace trapline::soft {

// Low bits of a tag. A handler compares the whole tag with the page of the access's last byte, so
// any of these sends it to the slow path.
enum TlbTagBit : uint64_t {
  kTlbIo = 1,       // stage 2 faults: `meta` says how
  kTlbSlow = 2,     // memory whose accesses need more: flagged page, watchpoint
  kTlbInvalid = 4,  // nothing known
  kTlbAligned = 8,  // memory with a Device attribute (all of it with the MMU off): host code does
                    // aligned accesses, the slow path the others
};

struct TlbEntry {
  uint64_t read_tag;  // VA page (address tag included) | TlbTagBit
  uint64_t write_tag;
  uint64_t addend;  // host address = va + addend
  uint64_t meta;    // IPA page in 47:12 | TlbMeta
};
static_assert(sizeof(TlbEntry) == 32);
enum TlbMeta : uint64_t {
  kTlbLog2Mask = 0x3f,  // log2 of the stage-1 page
  kTlbDevice = 1 << 6,  // stage-1 attribute is Device: alignment is checked before stage 2
  kTlbGlobal = 1 << 7,
  kTlbUser = 1 << 8,  // EL0 may access it: PAN
  kTlbIpaMask = 0xffff'ffff'f000,
  kTlbFscShift = 48,  // of the stage-2 fault behind kTlbIo
};
constexpr uint8_t tlb_fault_status(uint64_t meta) { return meta >> kTlbFscShift & 0x3f; }

inline constexpr unsigned kTlbEntries = 1024;
inline constexpr unsigned kTlbContexts = 4;  // ASIDs at EL0

// An entry of zeroes is an empty one, for its tags name page 0, which only accesses that begin in
// the first or the last page may reach: those two entries say kTlbInvalid instead. So a table takes
// memory where it was used.
struct TlbTable {
  TlbEntry* entries = nullptr;  // kTlbEntries
  uint16_t asid = 0;
  bool used = false;
  bool nonglobal = false;    // holds nG entries
  bool user_no_pan = false;  // privileged only: holds entries that PAN would refuse
  bool huge = false;         // holds parts of pages of more than 2 MiB
  uint8_t mode = 0;          // BlockMode of the blocks of `token`
  uint64_t token = 0;        // of blocks executed with this table
  uint64_t last_use = 0;
  // Of parts of pages between those and 4 KiB: the 2 MiB regions that they are in, a bit each, by
  // hash.
  static constexpr unsigned kRegionLog2 = 21, kRegions = 4096;
  uint64_t large[kRegions / 64] = {};
};

struct World {
  TlbTable privileged;
  TlbTable user[kTlbContexts];
  TlbTable* current_user = nullptr;
  bool exec_nonglobal = false;  // the privileged level executed nG pages
  TranslationRegs seen;         // what the tables were made under
  uint64_t last_use = 0;
};
// Where there is EL2; else there is one.
inline constexpr unsigned kWorlds = 6;

// Of the page, whatever else the low bits say.
inline bool tag_known(uint64_t tag, uint64_t page) {
  return ((tag ^ page) & (~kPageMask | kTlbInvalid)) == 0;
}
inline TlbEntry* tlb_slot(TlbEntry* table, uint64_t va) {
  return &table[va >> kPageLog2 & (kTlbEntries - 1)];
}

// A table over `zeroes`, kTlbEntries of them, which outlive it.
void tlb_make(TlbTable& table, TlbEntry* zeroes);

// Walks for `va` and enters what was found into the table of `el0`. kFilled: the tag for `purpose`
// is set, possibly with kTlbSlow or kTlbIo. False: `result` is the fault.
bool tlb_fill(Cpu& cpu, uint64_t va, WalkFor purpose, bool el0, MmuResult& result);

// The host page that instructions at `page` (a canonical VA page) are fetched from; null on a
// fault, described by `result`.
const uint8_t* tlb_exec(Cpu& cpu, uint64_t page, MmuResult& result);

// Everything, and what a TLBI names.
void tlb_flush_all(EngineState& e);
void tlb_flush_world(EngineState& e, TlbiTarget target);
void tlb_flush_asid(EngineState& e, TlbiTarget target, uint16_t asid);
void tlb_flush_va(EngineState& e, TlbiTarget target, uint64_t va);
void tlb_flush_ipa(EngineState& e, uint64_t ipa, uint64_t size);
// Sends writes to the host page to the slow path.
void tlb_demote(EngineState& e, const uint8_t* host_page);
// And of all pages that are flagged with kTrackDirty or kShown.
void tlb_demote_tracked(EngineState& e, const GuestMemory& memory);
// Selects tables, token and mode for the present EL and ASID; flushes what a change of the
// translation registers made stale.
void tlb_update_context(Cpu& cpu);

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_ENGINE_TLB_H_
