#include "bare.h"

void* memset(void* to, int value, u64 size) {
  for (u64 i = 0; i < size; ++i) ((volatile u8*)to)[i] = (u8)value;
  return to;
}

void put(char c) { at(u32, PL011) = (u8)c; }
void print(const char* text) {
  while (*text != 0) put(*text++);
}
void print_hex(u64 value) {
  print(" 0x");
  for (int shift = 60; shift >= 0; shift -= 4) {
    if (shift != 0 && value >> shift == 0) continue;
    put("0123456789abcdef"[value >> shift & 15]);
  }
}
