// CPU n of the guest: a stack of its own, vectors, main(n).
  .section .start, "ax"
  .globl _start, secondary
_start:
  mov     x0, #0
secondary:
  msr     spsel, #1
  adrp    x1, stacks
  add     x2, x0, #1
  add     x1, x1, x2, lsl #13
  mov     sp, x1
  adr     x1, vectors
  msr     vbar_el1, x1
  mov     x1, #3 << 20          // FP and SIMD
  msr     cpacr_el1, x1
  isb
  bl      guest_main
  b       .

// An exception: x0 its class and syndrome, x1 where. `expected_skip` is what the guest wants of it.
  .balign 2048
vectors:
  .rept 16
  .balign 128
  b       exception
  .endr
exception:
  stp     x0, x1, [sp, #-32]!
  stp     x2, x3, [sp, #16]
  adrp    x0, aborts_expected
  ldr     w1, [x0, :lo12:aborts_expected]
  cbz     w1, 1f
  adrp    x0, aborts_seen
  ldr     w1, [x0, :lo12:aborts_seen]
  add     w1, w1, #1
  str     w1, [x0, :lo12:aborts_seen]
  mrs     x0, elr_el1
  add     x0, x0, #4
  msr     elr_el1, x0
  ldp     x2, x3, [sp, #16]
  ldp     x0, x1, [sp], #32
  eret
1:
  mrs     x0, esr_el1
  mrs     x1, elr_el1
  mrs     x2, far_el1
  bl      guest_exception
  b       .

  .bss
  .balign 8192
stacks:
  .space  8 * 8192
