// A guest for kvm_vmm.c: each way to touch a device that no syndrome describes. Prints GUEST PASSED, or
// the number of the step that went wrong, and powers off. EL1, MMU off.
  .text
  .global _start

  .macro step n
    mov     w28, #\n
  .endm
  .macro same a, b
    cmp     \a, \b
    b.ne    wrong
  .endm

_start:
  adr     x0, vectors
  msr     vbar_el1, x0
  mov     x0, #(3 << 20)              // CPACR_EL1.FPEN
  msr     cpacr_el1, x0
  isb
  movz    x20, #0x0900, lsl #16       // the device; what it remembers begins at 0x100
  add     x21, x20, #0x100

  step    1                           // post-index, pre-index
  mov     x0, x21
  movz    w1, #0x8123
  str     w1, [x0], #4
  mov     w2, #7
  strb    w2, [x0], #1
  sub     x3, x0, x21
  same    x3, #5
  mov     x0, x21
  ldrsh   x4, [x0], #4
  movn    x5, #0x7edc
  same    x4, x5
  ldrb    w4, [x0, #0]!
  same    w4, #7

  step    2                           // pairs
  mov     x0, x21
  movz    x1, #0x1111
  movz    x2, #0x2222
  stp     x1, x2, [x0], #16
  ldp     x3, x4, [x0, #-16]!
  same    x3, x1
  same    x4, x2
  same    x0, x21

  step    3                           // SIMD&FP registers
  ldr     q0, [x21]
  mov     x3, v0.d[1]
  same    x3, x2
  str     d0, [x21, #24]
  ldr     x3, [x21, #24]
  same    x3, x1
  movi    v1.16b, #0x3c
  st1     {v1.16b}, [x21]
  ld1     {v2.8h}, [x21]
  mov     x3, v2.d[1]
  mov     x4, #0x3c3c3c3c3c3c3c3c
  same    x3, x4

  step    4                           // a load-exclusive and its store
  mov     w1, #40
  str     w1, [x21]
  mov     w6, #0
1:
  add     w6, w6, #1
  cmp     w6, #3
  b.hi    wrong
  ldxr    w1, [x21]
  add     w1, w1, #2
  stxr    w2, w1, [x21]
  cbnz    w2, 1b
  ldr     w1, [x21]
  same    w1, #42

  step    5                           // without a syndrome for the zero register, and with one
  str     xzr, [x21], #8
  ldr     x1, [x21, #-8]!
  same    x1, #0
  str     wzr, [x21]

  adr     x1, passed
2:
  ldrb    w0, [x1], #1
  cbz     w0, off
  mov     x2, x20
  strb    w0, [x2], #0                // post-index by 0: no syndrome
  b       2b

wrong:
  add     w0, w28, #'0'
  strb    w0, [x20]
  mov     w0, #'\n'
  strb    w0, [x20]
off:
  movz    w0, #0x8400, lsl #16        // PSCI SYSTEM_OFF
  movk    w0, #8
  hvc     #0
  b       .

passed:
  .asciz  "GUEST PASSED\n"

  .balign 2048
vectors:
  .rept 16
  .balign 128
  b       wrong
  .endr
