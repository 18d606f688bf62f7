// What the disk guest (notify.c) stands on: memory, registers, output, the GIC and its ITS. Of
// QEMU's `virt`.
#ifndef TRAPLINE_BENCH_IO_BARE_H_
#define TRAPLINE_BENCH_IO_BARE_H_

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

enum { kBlock = 4096, kSector = 512 };
enum { kFirstSpi = 32, kFirstLpi = 8192 };

#define ACCESS(type, letter, suffix)                                                            \
  static inline type get_##type(u64 address) {                                                  \
    type v;                                                                                     \
    __asm__ volatile("ldr" suffix " %" letter "0, [%1]" : "=r"(v) : "r"(address) : "memory");   \
    return v;                                                                                   \
  }                                                                                             \
  static inline void set_##type(u64 address, type value) {                                      \
    __asm__ volatile("str" suffix " %" letter "0, [%1]" ::"r"(value), "r"(address) : "memory"); \
  }
ACCESS(u8, "w", "b")
ACCESS(u16, "w", "h")
ACCESS(u32, "w", "")
ACCESS(u64, "x", "")
#undef ACCESS

static inline u32 get(u64 address) { return get_u32(address); }
static inline void set(u64 address, u32 value) { set_u32(address, value); }
static inline void barrier(void) { __asm__ volatile("dsb sy" ::: "memory"); }

static inline u64 now(void) {
  u64 v;
  __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(v)::"memory");
  return v;
}

void put(const char* text);
void put_number(u64 n);
void power_off(void);
void fail(const char* why);

// The interrupt that the disk will make: an SPI, level, or the LPI of a message, for which the ITS
// is set up: event 0 of the device.
enum { kDoorbell = 0x08090040 };  // GITS_TRANSLATER
void start_gic(void);
int has_messages(void);  // else there is no ITS, nor PCIe
void expect_spi(u32 intid);
void expect_message(u32 device);
// PSTATE.I stays set: WFI wakes for an interrupt that is pending but masked.
void take_interrupt(void);
void end_interrupt(void);

#endif  // TRAPLINE_BENCH_IO_BARE_H_
