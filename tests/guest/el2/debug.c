// Debug exceptions and EL2: breakpoints, watchpoints, software step and BRK from each level, by
// MDCR_EL2.TDE, HCR_EL2.TGE, MDSCR_EL1.KDE and PSTATE.D, and by the levels that DBGBCR and DBGWCR
// name.
#include "el2.h"

SNIPPET(nothing, "nop\n nop\n nop\n nop");
SNIPPET(load, "nop\n ldr w1, [x0]\n nop");
SNIPPET(store, "nop\n str w1, [x0]\n nop");
SNIPPET(brk, "nop\n brk #7");
static u64 data[8] __attribute__((aligned(64)));

enum { MDSCR_SS = 1, MDSCR_KDE = 1 << 13, MDSCR_MDE = 1 << 15, TDE = 1 << 8 };
static const u64 kModes[] = {EL0, EL1H, EL2H};
static const char* const kModeNames[] = {"EL0", "EL1", "EL2"};

struct Levels {
  const char* name;
  u64 bits;  // PMC and HMC, or PAC and HMC
};
static const struct Levels kLevels[] = {{"EL1", 1 << 1},
                                        {"EL0", 2 << 1},
                                        {"EL0, EL1", 3 << 1},
                                        {"EL1, EL2", 1 << 1 | 1 << 13},
                                        {"all", 3 << 1 | 1 << 13}};

// Whether TDE, TGE, KDE and PSTATE.D let it through, for one thing to be watched.
static void each(const char* what, const u32* code, u64 mdscr) {
  for (int mode = 0; mode < 3; ++mode) {
    for (int tde = 0; tde < 2; ++tde) {
      for (int tge = 0; tge < (mode == 1 ? 1 : 2); ++tge) {
        for (int kde = 0; kde < 2; ++kde) {
          for (int masked = 0; masked < 2; ++masked) {
            msr(mdcr_el2, tde ? TDE : 0);
            msr(mdscr_el1, mdscr | (kde ? MDSCR_KDE : 0));
            ctx.x[0] = (u64)data;
            enter(kModes[mode] | 0x1c0 | (masked ? 0x200 : 0) | (mdscr & MDSCR_SS ? 1ul << 21 : 0),
                  (u64)code, HCR_RW | (base_hcr & HCR_E2H) | (tge ? HCR_TGE : 0));
            msr(mdscr_el1, 0);
            // EL0's snippet ends in an UNDEFINED HVC.
            if (outcome.done || (mode == 0 && ec() == 0)) continue;
            print(what);
            print(" ");
            print(kModeNames[mode]);
            print(tde ? " TDE" : "");
            print(tge ? " TGE" : "");
            print(kde ? " KDE" : "");
            print(masked ? " D: " : ": ");
            print_outcome();
            if (ec() == 0x34 || ec() == 0x35) {
              print(" at");
              print_hex(outcome.far - (u64)data);
            }
            print("\n");
          }
        }
      }
    }
  }
  msr(mdcr_el2, 0);
}

static void all(void) {
  section("breakpoints");
  msr(dbgbvr0_el1, (u64)&nothing[2]);
  for (u64 l = 0; l < sizeof kLevels / sizeof kLevels[0]; ++l) {
    msr(dbgbcr0_el1, 1 | 15 << 5 | kLevels[l].bits);
    each(kLevels[l].name, nothing, MDSCR_MDE);
  }
  msr(dbgbcr0_el1, 0);
  section("watchpoints");
  msr(dbgwvr0_el1, (u64)data);
  for (u64 l = 0; l < sizeof kLevels / sizeof kLevels[0]; ++l) {
    msr(dbgwcr0_el1, 1 | 3 << 3 | 0xff << 5 | kLevels[l].bits);
    each(kLevels[l].name, l & 1 ? load : store, MDSCR_MDE);
  }
  msr(dbgwcr0_el1, 0);
  section("step");
  each("step", nothing, MDSCR_SS);
  section("BRK");
  each("BRK", brk, 0);
}

void test(void) {
  all();
  if (!has_vhe) return;
  set_e2h(1);
  section("E2H");
  all();
}
