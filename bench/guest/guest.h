// What the benchmark guest stands on: addresses of QEMU's `virt`, registers, output.
#ifndef TRAPLINE_BENCH_GUEST_GUEST_H_
#define TRAPLINE_BENCH_GUEST_GUEST_H_

#include <stdint.h>

#define GICD 0x08000000
#define GICR 0x080a0000
#define ITS 0x08080000
#define DOORBELL 0x08090040  // GITS_TRANSLATER
#define UART 0x09000000
#define VIRTIO 0x0a000000  // the lowest slot, empty: MagicValue, Version
#define ECAM 0x4010000000ul
#define PCI_FUNCTION (ECAM + (1 << 15))  // device 1, the only one but for the bridge
#define RAM 0x40000000ul
#define RAM_MAPPED 0x4000000ul  // 64 MiB
#define PROGRAM 0x41000000ul
#define PROGRAM_DATA 0x42000000ul
#define ITS_TABLES 0x42800000ul
#define PAGES 0x43000000ul  // 16 MiB

#define PSCI_VERSION 0x84000000
#define PSCI_CPU_ON 0xc4000003
#define PSCI_SYSTEM_OFF 0x84000008

// By CPU; start.S knows the size and the first field.
struct Cpu {
  uint64_t interrupts;
  uint64_t ready;
  uint64_t unused[6];
};
extern struct Cpu cpus[2];

#define READ_SYSREG(name)                                   \
  ({                                                        \
    uint64_t value_;                                        \
    asm volatile("mrs %0, " name : "=r"(value_)::"memory"); \
    value_;                                                 \
  })
#define WRITE_SYSREG(name, value) \
  asm volatile("msr " name ", %0" ::"r"((uint64_t)(value)) : "memory")

static inline uint64_t now(void) {
  uint64_t v;
  asm volatile("isb; mrs %0, cntvct_el0" : "=r"(v)::"memory");
  return v;
}
static inline uint64_t frequency(void) { return READ_SYSREG("cntfrq_el0"); }
static inline void relax(void) { asm volatile("yield" ::: "memory"); }

static inline uint32_t read32(uint64_t address) {
  uint32_t v;
  asm volatile("ldr %w0, [%1]" : "=r"(v) : "r"(address) : "memory");
  return v;
}
static inline void write32(uint64_t address, uint32_t value) {
  asm volatile("str %w0, [%1]" ::"r"(value), "r"(address) : "memory");
}

static inline uint64_t read64(uint64_t address) {
  uint64_t v;
  asm volatile("ldr %0, [%1]" : "=r"(v) : "r"(address) : "memory");
  return v;
}
static inline void write64(uint64_t address, uint64_t value) {
  asm volatile("str %0, [%1]" ::"r"(value), "r"(address) : "memory");
}

static inline uint64_t psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c) {
  register uint64_t x0 asm("x0") = function;
  register uint64_t x1 asm("x1") = a;
  register uint64_t x2 asm("x2") = b;
  register uint64_t x3 asm("x3") = c;
  asm volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory");
  return x0;
}

// The driver that program_build() made; instructions executed.
static inline uint64_t call_program(uint64_t entry, uint64_t data) {
  register uint64_t x0 asm("x0") = data;
  asm volatile("blr %1"
               : "+r"(x0)
               : "r"(entry)
               : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
                 "x14", "x15", "x16", "x17", "x18", "x30", "cc", "memory");
  return x0;
}

static inline void put_char(char c) {
  while ((read32(UART + 0x18) & 0x20) != 0) relax();
  write32(UART, (uint32_t)c);
}
static inline void put_text(const char* text) {
  while (*text != 0) put_char(*text++);
}
static inline void put_number(uint64_t value) {
  char digits[20];
  unsigned n = 0;
  do {
    digits[n++] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (n != 0) put_char(digits[--n]);
}

#endif  // TRAPLINE_BENCH_GUEST_GUEST_H_
