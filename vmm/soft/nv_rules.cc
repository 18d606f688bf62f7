#include "vmm/soft/nv_rules.h"

namespace trapline::soft {
namespace {

struct Row {
  SysregId id;
  int offset;
};

// "Registers redirected to memory" (D8.11.6), whatever HCR_EL2.NV1 says: EL2's.
constexpr Row kEl2InMemory[] = {
    {sysreg_id(3, 4, 0, 0, 0), 0x088},   // VPIDR_EL2
    {sysreg_id(3, 4, 0, 0, 5), 0x050},   // VMPIDR_EL2
    {sysreg_id(3, 4, 1, 1, 0), 0x078},   // HCR_EL2
    {sysreg_id(3, 4, 1, 1, 3), 0x080},   // HSTR_EL2
    {sysreg_id(3, 4, 2, 1, 0), 0x020},   // VTTBR_EL2
    {sysreg_id(3, 4, 2, 1, 2), 0x040},   // VTCR_EL2
    {sysreg_id(3, 4, 4, 1, 0), 0x240},   // SP_EL1
    {sysreg_id(3, 4, 13, 0, 2), 0x090},  // TPIDR_EL2
    {sysreg_id(3, 4, 14, 0, 3), 0x060},  // CNTVOFF_EL2
    {sysreg_id(3, 4, 12, 8, 0), 0x480},  // ICH_AP0R0_EL2
    {sysreg_id(3, 4, 12, 8, 1), 0x488},  {sysreg_id(3, 4, 12, 8, 2), 0x490},
    {sysreg_id(3, 4, 12, 8, 3), 0x498},  {sysreg_id(3, 4, 12, 9, 0), 0x4a0},  // ICH_AP1R0_EL2
    {sysreg_id(3, 4, 12, 9, 1), 0x4a8},  {sysreg_id(3, 4, 12, 9, 2), 0x4b0},
    {sysreg_id(3, 4, 12, 9, 3), 0x4b8},  {sysreg_id(3, 4, 12, 11, 0), 0x4c0},  // ICH_HCR_EL2
    {sysreg_id(3, 4, 12, 11, 7), 0x4c8},                                       // ICH_VMCR_EL2
};
constexpr SysregId kFirstLr = sysreg_id(3, 4, 12, 12, 0), kLastLr = sysreg_id(3, 4, 12, 13, 7);
constexpr int kLrOffset = 0x400;

// EL1's that the page holds: by their own names with NV1 == 1, by *_EL12 and *_EL02 with NV1 == 0.
constexpr Row kEl1InMemory[] = {
    {sysreg_id(3, 0, 1, 0, 0), 0x110},   // SCTLR_EL1
    {sysreg_id(3, 0, 1, 0, 2), 0x100},   // CPACR_EL1
    {sysreg_id(3, 0, 2, 0, 0), 0x200},   // TTBR0_EL1
    {sysreg_id(3, 0, 2, 0, 1), 0x210},   // TTBR1_EL1
    {sysreg_id(3, 0, 2, 0, 2), 0x120},   // TCR_EL1
    {sysreg_id(3, 0, 4, 0, 0), 0x160},   // SPSR_EL1
    {sysreg_id(3, 0, 4, 0, 1), 0x230},   // ELR_EL1
    {sysreg_id(3, 0, 5, 1, 0), 0x128},   // AFSR0_EL1
    {sysreg_id(3, 0, 5, 1, 1), 0x130},   // AFSR1_EL1
    {sysreg_id(3, 0, 5, 2, 0), 0x138},   // ESR_EL1
    {sysreg_id(3, 0, 6, 0, 0), 0x220},   // FAR_EL1
    {sysreg_id(3, 0, 10, 2, 0), 0x140},  // MAIR_EL1
    {sysreg_id(3, 0, 10, 3, 0), 0x148},  // AMAIR_EL1
    {sysreg_id(3, 0, 12, 0, 0), 0x250},  // VBAR_EL1
    {sysreg_id(3, 0, 13, 0, 1), 0x108},  // CONTEXTIDR_EL1
};
// *_EL02 alone: CTL and CVAL, not TVAL.
constexpr Row kTimersInMemory[] = {
    {sysreg_id(3, 3, 14, 2, 2), 0x178},  // CNTP_CVAL_EL0
    {sysreg_id(3, 3, 14, 2, 1), 0x180},  // CNTP_CTL_EL0
    {sysreg_id(3, 3, 14, 3, 2), 0x168},  // CNTV_CVAL_EL0
    {sysreg_id(3, 3, 14, 3, 1), 0x170},  // CNTV_CTL_EL0
};

// Under FEAT_NV2 these names are EL1's registers (D8.11.7).
constexpr SysregId kEl2AsEl1[] = {
    sysreg_id(3, 4, 4, 0, 0),  // SPSR_EL2
    sysreg_id(3, 4, 4, 0, 1),  // ELR_EL2
    sysreg_id(3, 4, 5, 2, 0),  // ESR_EL2
    sysreg_id(3, 4, 6, 0, 0),  // FAR_EL2
};

// What FEAT_NV alone traps of EL1's own names, of a hypervisor without E2H: HCR_EL2.NV1 (ELR, SPSR,
// VBAR), TVM and TRVM, CPTR_EL2.TCPAC: all of the table above.
template <unsigned n>
constexpr int find(const Row (&rows)[n], SysregId id) {
  for (const Row& row : rows) {
    if (row.id == id) return row.offset;
  }
  return -1;
}

constexpr unsigned op0_of(SysregId id) { return id >> 14; }
constexpr unsigned op1_of(SysregId id) { return id >> 11 & 7; }
constexpr unsigned crn_of(SysregId id) { return id >> 7 & 15; }
constexpr SysregId with_op1(SysregId id, unsigned op1) {
  return static_cast<SysregId>((id & ~(7u << 11)) | op1 << 11);
}

}  // namespace

int vncr_offset(SysregId name, bool nv1) {
  switch (op1_of(name)) {
    case 4:
      if (name >= kFirstLr && name <= kLastLr) return kLrOffset + 8 * (name - kFirstLr);
      return find(kEl2InMemory, name);
    case 5: {  // *_EL12, *_EL02
      if (nv1) return -1;
      const int timer = find(kTimersInMemory, with_op1(name, 3));
      return timer >= 0 ? timer : find(kEl1InMemory, with_op1(name, 0));
    }
    case 0:
      return nv1 ? find(kEl1InMemory, name) : -1;
    default:
      return -1;
  }
}

NvRule nv_rule(SysregId name, bool e2h) {
  const bool nv1 = !e2h;
  if (op0_of(name) == 1) {
    // TLBI and AT, EL1's by HCR_EL2.TTLB and AT. Caches are maintained without a trap.
    const bool at = crn_of(name) == 7 && (name >> 3 & 14) == 8;
    const bool trapped = crn_of(name) == 8 || at;
    return {trapped, trapped};
  }
  if (op0_of(name) != 3) return {};
  const unsigned op1 = op1_of(name);
  const bool of_el1 = op1 == 0 && nv1 && find(kEl1InMemory, name) >= 0;
  if (op1 != 4 && op1 != 5 && !of_el1) return {};
  bool without_trap = vncr_offset(name, nv1) >= 0;
  for (const SysregId id : kEl2AsEl1) without_trap |= id == name;
  return {true, !without_trap};
}

}  // namespace trapline::soft
