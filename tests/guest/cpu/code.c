// Self-modifying code. Without IC IVAU the old or the new instruction may run; after DC CVAU, DSB,
// IC IVAU, DSB, ISB only the new one.
#include "guest.h"

SNIPPET(branch, "br x1");
// EL0 modifies its own code at x1: writes w2 there, cleans, calls it.
SNIPPET(modify_at_el0,
        "mov x9, x30\n str w2, [x1]\n dc cvau, x1\n dsb ish\n ic ivau, x1\n dsb ish\n isb\n"
        "mov x30, x1\n blr x1\n mov x30, x9");
// Modifies the instruction after the ISB, in the block that is running. In a page of the window.
SNIPPET(modify_ahead,
        "adr x3, 1f\n str w2, [x3]\n dc cvau, x3\n dsb ish\n ic ivau, x3\n dsb ish\n isb\n"
        "1: mov x0, #0\n nop");
SNIPPET(modify_ahead_all,
        "adr x3, 1f\n str w2, [x3]\n dsb ish\n ic iallu\n dsb ish\n isb\n"
        "1: mov x0, #0\n nop");
// The loop rewrites its own body each time round; x0 counts what it executed.
SNIPPET(modify_loop,
        "mov x0, #0\n mov x4, #1000\n adr x3, 1f\n"
        "0: str w2, [x3]\n dc cvau, x3\n dsb ish\n ic ivau, x3\n dsb ish\n isb\n"
        "1: nop\n eor w2, w2, w5\n subs x4, x4, #1\n b.ne 0b");

#define SVC_DONE 0xd400ffe1u
#define RET 0xd65f03c0u
#define MOV_X0(n) (0xd2800000u | (u32)((n)&0xffff) << 5)
#define ADD_X0(n) (0x91000000u | (u32)(n) << 10)
#define PAGE_VA (WINDOW + 0x21000ul)
#define ALIAS_VA (WINDOW + 0x22000ul)
#define EXECUTABLE (NORMAL | AF | USER)

static u64 called(u64 mode, u64 va) {
  ctx.x[1] = va;
  ctx.x[0] = 0xdead;
  run_at(mode, branch);
  return ctx.esr == DONE ? ctx.x[0] : ctx.esr;
}
static void maintain(u64 va) {
  asm volatile("dc cvau, %0\n dsb ish\n ic ivau, %0\n dsb ish\n isb" ::"r"(va) : "memory");
}

static void writers(void) {
  // Every way to write a word of code, 300 times each, through the executed address or an alias.
  window[0x21] = FRAME(0x30) | EXECUTABLE | PAGE;
  window[0x22] = FRAME(0x30) | RW_KERNEL | PAGE;
  tlbi_all();
  for (int how = 0; how < 10; ++how) {
    for (u64 n = 0; n < 300; ++n) {
      const u64 offset = 0x100 + 64 * (n % 5);
      const u64 va = PAGE_VA + offset;
      const u64 write = ALIAS_VA + offset;
      const u32 word = MOV_X0(n + 1);
      const u64 both = word | (u64)SVC_DONE << 32;
      u64 old;
      switch (how) {
        case 0:
        case 1:
          at(u32, write) = word;
          at(u32, write + 4) = SVC_DONE;
          break;
        case 2:
          at(u64, write) = both;
          break;
        case 3:
          asm volatile("stp %w1, %w2, [%0]" ::"r"(write), "r"(word), "r"(SVC_DONE) : "memory");
          break;
        case 4:
          asm volatile("swpal %1, %0, [%2]" : "=r"(old) : "r"(both), "r"(write) : "memory");
          break;
        case 5: {
          u32 failed;
          asm volatile("1: ldxr %0, [%3]\n stxr %w1, %2, [%3]\n cbnz %w1, 1b"
                       : "=&r"(old), "=&r"(failed)
                       : "r"(both), "r"(write)
                       : "memory");
          break;
        }
        case 6:
          for (u64 i = 0; i < 8; ++i) at(u8, write + i) = (u8)(both >> (8 * i));
          break;
        case 7:
          asm volatile(".arch_extension simd\n mov v0.d[0], %1\n st1 {v0.d}[0], [%0]" ::"r"(write),
                       "r"(both)
                       : "memory");
          break;
        case 8:
          asm volatile("dc zva, %0" ::"r"(write) : "memory");
          asm volatile("stlr %1, [%0]" ::"r"(write), "r"(both) : "memory");
          break;
        default:
          old = at(u64, write);
          asm volatile("casal %0, %1, [%2]" : "+r"(old) : "r"(both), "r"(write) : "memory");
          break;
      }
      if (how == 1) {
        asm volatile("dsb ish\n ic ialluis\n dsb ish\n isb" ::: "memory");
      } else {
        maintain(n & 1 ? va : write);
      }
      check_in("self-modifying code, written by", "way", (u64)how, called(EL0, va),
               (n + 1) & 0xffff);
    }
  }
  print("ok self-modifying code\n");
  // Without maintenance: old or new, nothing else.
  for (u64 n = 0; n < 200; ++n) {
    at(u32, ALIAS_VA + 0x400) = MOV_X0(0x10);
    at(u32, ALIAS_VA + 0x404) = SVC_DONE;
    maintain(PAGE_VA + 0x400);
    check_in("code before", "n", n, called(EL0, PAGE_VA + 0x400), 0x10);
    at(u32, ALIAS_VA + 0x400) = MOV_X0(0x20);
    const u64 got = called(EL0, PAGE_VA + 0x400);
    check_in("without IC IVAU: old or new", "n", n, got == 0x10 || got == 0x20, 1);
    maintain(PAGE_VA + 0x400);
    check_in("code after", "n", n, called(EL0, PAGE_VA + 0x400), 0x20);
  }
  print("ok without IC IVAU\n");
  // A word at the page's end and the next page's beginning.
  window[0x23] = FRAME(0x35) | EXECUTABLE | PAGE;
  window[0x24] = FRAME(0x35) | RW_KERNEL | PAGE;
  window[0x22] = FRAME(0x30) | RW_KERNEL | PAGE;
  window[0x21] = FRAME(0x30) | EXECUTABLE | PAGE;
  const u64 saved_22 = window[0x22];
  window[0x22] = FRAME(0x35) | EXECUTABLE | PAGE;  // after PAGE_VA
  tlbi_all();
  for (u64 n = 0; n < 100; ++n) {
    at(u32, FRAME(0x30) + 0xffc) = MOV_X0(n);
    at(u32, FRAME(0x35)) = ADD_X0(n);
    at(u32, FRAME(0x35) + 4) = SVC_DONE;
    maintain(PAGE_VA + 0xffc);
    maintain(PAGE_VA + 0x1000);
    check_in("code across pages", "n", n, called(EL0, PAGE_VA + 0xffc), 2 * n);
  }
  print("ok code across pages\n");
  window[0x22] = saved_22;
  tlbi_all();
}

static void copy(const u32* from, const u32* end, u64 to) {
  for (; from <= end; ++from, to += 4) at(u32, to) = *from;
}

static void itself(void) {
  sctlr_set(SCTLR_UCI | SCTLR_UCT);
  window[0x21] = FRAME(0x30) | EXECUTABLE | PAGE;
  tlbi_all();
  asm volatile("ic iallu\n dsb sy\n isb");
  // EL0 writes a function elsewhere in its page and calls it.
  at(u32, FRAME(0x30) + 0x804) = RET;
  maintain(PAGE_VA + 0x804);
  for (u64 n = 0; n < 300; ++n) {
    ctx.x[1] = PAGE_VA + 0x800;
    ctx.x[2] = MOV_X0(n);
    ctx.x[0] = 0xdead;
    run_at(EL0, modify_at_el0);
    check_in("EL0 modifies code", "ESR", n, ctx.esr, DONE);
    check_in("EL0 modifies code", "n", n, ctx.x[0], n);
  }
  print("ok EL0 modifies code\n");
  for (int all = 0; all < 2; ++all) {
    for (int el = all; el < 2; ++el) {
      // EL1 never executes what EL0 may write.
      const u64 frame = FRAME(0x31 + (u64)all);
      window[0x25] = frame | (el ? NORMAL | AF : EXECUTABLE) | PAGE;
      tlbi_all();
      if (all)
        copy(modify_ahead_all, modify_ahead_all_end, frame);
      else
        copy(modify_ahead, modify_ahead_end, frame);
      asm volatile("dsb sy\n ic iallu\n dsb sy\n isb");
      for (u64 n = 1; n < 300; ++n) {
        ctx.x[2] = MOV_X0(n);
        ctx.x[0] = 0xdead;
        run_at(el ? EL1H : EL0, (void*)(WINDOW + 0x25000));
        check_in("the running block modifies itself", "ESR", n, ctx.esr, DONE);
        check_in("the running block modifies itself", "n", n, ctx.x[0], n);
      }
      copy(modify_loop, modify_loop_end, frame + 0x800);
      asm volatile("dsb sy\n ic iallu\n dsb sy\n isb");
      ctx.x[2] = ADD_X0(1);
      ctx.x[5] = ADD_X0(1) ^ ADD_X0(16);
      run_at(el ? EL1H : EL0, (void*)(WINDOW + 0x25800));
      check_in("a loop modifies itself", "ESR", (u64)el, ctx.esr, DONE);
      check_in("a loop modifies itself", "EL", (u64)el, ctx.x[0], 500 + 500 * 16);
    }
  }
  print("ok code modifies itself\n");
}

void test(void) {
  mmu_on();
  sctlr_set(SCTLR_DZE);
  writers();
  itself();
}
