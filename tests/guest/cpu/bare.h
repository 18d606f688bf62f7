// What every bare-metal C guest has: types, output on the UART, system registers, descriptors.
#ifndef TRAPLINE_TESTS_GUEST_CPU_BARE_H_
#define TRAPLINE_TESTS_GUEST_CPU_BARE_H_

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;
typedef long s64;

#define PL011 0x09000000ul
void put(char c);
void print(const char* text);
void print_hex(u64 value);
void* memset(void* to, int value, u64 size);
#define at(type, address) (*(volatile type*)(address))

#define STR_(x) #x
#define mrs(reg)                                             \
  ({                                                         \
    u64 v_;                                                  \
    asm volatile("mrs %0, " STR_(reg) : "=r"(v_)::"memory"); \
    v_;                                                      \
  })
#define msr(reg, value) asm volatile("msr " STR_(reg) ", %0\n isb" ::"r"((u64)(value)) : "memory")
#define barrier() asm volatile("dsb sy\n isb" ::: "memory")

enum {
  SCTLR_M = 1,
  SCTLR_A = 2,
  SCTLR_C = 4,
  SCTLR_SA = 8,
  SCTLR_SA0 = 0x10,
  SCTLR_UMA = 0x200,
  SCTLR_I = 0x1000,
  SCTLR_DZE = 0x4000,
  SCTLR_UCT = 0x8000,
  SCTLR_NTWI = 0x10000,
  SCTLR_NTWE = 0x40000,
  SCTLR_WXN = 0x80000,
  SCTLR_SPAN = 0x800000,
  SCTLR_E0E = 0x1000000,
  SCTLR_EE = 0x2000000,
  SCTLR_UCI = 0x4000000,
};

// Descriptors. MAIR: 0 Device-nGnRnE, 1 Normal write-back, 2 Normal non-cacheable, 3 Device-GRE.
#define PAGE 3ul
#define BLOCK 1ul
#define TABLE 3ul
#define DEVICE (0ul << 2)
#define NORMAL (1ul << 2 | 3ul << 8)
#define NONCACHEABLE (2ul << 2 | 2ul << 8)
#define USER (1ul << 6)
#define READ_ONLY (1ul << 7)
#define AF (1ul << 10)
#define NG (1ul << 11)
#define PXN (1ul << 53)
#define UXN (1ul << 54)
#define XN (PXN | UXN)

#endif  // TRAPLINE_TESTS_GUEST_CPU_BARE_H_
