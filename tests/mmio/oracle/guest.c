/* Runs on AArch64 Linux (qemu-aarch64, user mode), freestanding: reads cases from standard input,
 * executes each on real registers and memory, writes the states after to standard output. */
#include "case.h"

void run_stub(struct OracleState* state, void* stub);
void stub_return(void);

static long call(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc #0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}

enum { kRead = 63, kWrite = 64, kExit = 93, kSigaltstack = 132, kSigaction = 134, kMmap = 222 };

static void fail(long status) { call(kExit, status, 0, 0, 0, 0, 0); }

static void transfer(long number, void* data, unsigned long size) {
  char* p = data;
  while (size != 0) {
    long n = call(number, number == kWrite, (long)p, (long)size, 0, 0, 0);
    if (n <= 0) fail(3);
    p += n;
    size -= (unsigned long)n;
  }
}

/* MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, readable, writable, executable */
static void map(unsigned long address, unsigned long size) {
  if (call(kMmap, (long)address, (long)size, 7, 0x32, -1, 0) != (long)address) fail(4);
}

static volatile unsigned long caught;

/* The interrupted PC, in the signal frame's struct ucontext. */
static void on_signal(int number, void* info, char* context) {
  (void)info;
  caught = (unsigned long)number;
  *(unsigned long*)(context + 440) = (unsigned long)stub_return;
}

struct KernelSigaction {
  void* handler;
  unsigned long flags;
  void* restorer;
  unsigned long mask;
};
struct KernelStack {
  void* sp;
  int flags;
  unsigned long size;
};

static char signal_stack[65536] __attribute__((aligned(16)));
static struct OracleState state;

static void copy(volatile uint8_t* to, const volatile uint8_t* from, unsigned size) {
  for (unsigned i = 0; i < size; ++i) to[i] = from[i];
}

int guest_main(void) {
  struct OracleHeader header;
  struct KernelStack stack = {signal_stack, 0, sizeof signal_stack};
  struct KernelSigaction action = {(void*)on_signal, 0x08000004 /* ONSTACK, SIGINFO */, 0, 0};
  call(kSigaltstack, (long)&stack, 0, 0, 0, 0, 0);
  static const int kSignals[] = {4 /* ILL */, 5 /* TRAP */, 7 /* BUS */, 11 /* SEGV */};
  for (unsigned i = 0; i < 4; ++i) call(kSigaction, kSignals[i], (long)&action, 0, 8, 0, 0);

  transfer(kRead, &header, sizeof header);
  if (header.count > ORACLE_MAX_CASES) fail(5);
  __asm__("mrs %0, dczid_el0" : "=r"(header.dczid));
  transfer(kWrite, &header, sizeof header);

  map(ORACLE_WINDOW & ~0xffful, 0x2000);
  map(ORACLE_CODE, ORACLE_MAX_CASES * sizeof(struct OracleCode));
  struct OracleCode* code = (struct OracleCode*)(unsigned long)ORACLE_CODE;
  transfer(kRead, code, header.count * sizeof *code);
  for (unsigned long i = 0; i < header.count; ++i) {
    unsigned long at = (unsigned long)&code[i].word[3];
    code[i].word[3] =
        0x14000000u | (uint32_t)((((unsigned long)stub_return - at) >> 2) & 0x3ffffff);
  }
  __asm__ volatile("dsb ish\n isb" ::: "memory");

  uint8_t* window = (uint8_t*)(unsigned long)ORACLE_WINDOW;
  for (unsigned long i = 0; i < header.count; ++i) {
    transfer(kRead, &state, sizeof state);
    copy(window, state.memory, ORACLE_WINDOW_BYTES);
    caught = 0;
    run_stub(&state, &code[i]);
    copy(state.memory, window, ORACLE_WINDOW_BYTES);
    state.signal = caught;
    transfer(kWrite, &state, sizeof state);
  }
  return 0;
}
