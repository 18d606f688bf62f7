// In a Linux guest on QEMU's `virt`: a process whose own page tables map the GPIO controller
// (PL061), which no driver has, and that makes there the accesses that the hardware does not
// describe.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#define GPIO 0x09030000
#define SENSE 0x404     // GPIOIS, and behind it GPIOIBE: bits that are kept
#define IDENTITY 0xfe0  // PrimeCell: 0x61, 0x10, 0x04, 0x00, a word each

static int same(const char *what, uint64_t is, uint64_t wanted) {
  if (is == wanted) return 1;
  printf("%s: %#lx not %#lx\n", what, (unsigned long)is, (unsigned long)wanted);
  return 0;
}

int main(void) {
  const int memory = open("/dev/mem", O_RDWR | O_SYNC);
  char *gpio = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, memory, GPIO);
  int good = 1;
  if (memory < 0 || gpio == MAP_FAILED) {
    perror("/dev/mem");
    return 1;
  }
  for (uint64_t i = 0; i < 500 && good; ++i) {
    char *p = gpio + IDENTITY;
    uint64_t a, b, c, d, set = i & 0xff;
    asm volatile("ldp %w1, %w2, [%0], #8" : "+&r"(p), "=&r"(a), "=&r"(b)::"memory");
    asm volatile("ldr %w1, [%0], #4" : "+&r"(p), "=&r"(c)::"memory");
    good &= same("ldp, ldr", a | b << 8 | c << 16, 0x041061);
    good &= same("the base", (uint64_t)(p - gpio), IDENTITY + 12);
    p = gpio + SENSE;
    asm volatile("stp %w1, %w2, [%0], #8" : "+&r"(p) : "r"(set), "r"(set ^ 0x5a) : "memory");
    asm volatile("ldr %w0, [%2]\n ldr %w1, [%2, #4]"
                 : "=&r"(a), "=&r"(b)
                 : "r"(gpio + SENSE)
                 : "memory");
    good &= same("stp", a | b << 8, set | (set ^ 0x5a) << 8);
    asm volatile("1: ldxr %w0, [%3]\n eor %w1, %w0, #0xff\n stxr %w2, %w1, [%3]\n cbnz %w2, 1b"
                 : "=&r"(a), "=&r"(b), "=&r"(d)
                 : "r"(gpio + SENSE)
                 : "memory");
    asm volatile("ldr %w0, [%1]" : "=r"(c) : "r"(gpio + SENSE) : "memory");
    good &= same("ldxr, stxr", c, set ^ 0xff);
  }
  puts(good ? "PROCESS PASSED" : "PROCESS FAILED");
  return !good;
}
