// Entry, vectors and the instructions under test of the cache's stress guest. See stress.c.
        .arch   armv8.1-a

        .section .text.start, "ax"
        .global start
start:                                  // x0: device tree; the boot CPU, MMU off
        mov     x20, x0
        mov     x21, xzr
        b       1f
        .global start_secondary
start_secondary:                        // x0: index (the context of CPU_ON), MMU off
        mov     x20, xzr
        mov     x21, x0
1:      adrp    x1, stacks
        add     x2, x21, #1
        add     x1, x1, x2, lsl #14     // 16 KiB each
        mov     sp, x1
        mov     x1, #(3 << 20)          // CPACR_EL1.FPEN
        msr     cpacr_el1, x1
        adr     x1, vectors
        msr     vbar_el1, x1
        isb
        mov     x0, x21
        mov     x1, x20
        bl      guest_main
        b       .

        .balign 2048
vectors:
        .rept   4
        b       unexpected
        .balign 128
        .endr
        b       synchronous
        .balign 128
        .rept   11
        b       unexpected
        .balign 128
        .endr

// An instruction abort in the code that all CPUs share is another CPU's break-before-make: again.
synchronous:
        stp     x16, x17, [sp, #-16]!
        mrs     x16, esr_el1
        lsr     x16, x16, #26
        cmp     x16, #0x21              // Instruction Abort, same EL
        b.ne    1f
        mrs     x16, far_el1
        lsr     x16, x16, #39
        mov     x17, #0xfe01
        movk    x17, #0x1ff, lsl #16
        cmp     x16, x17                // VA 0xffff0080'00000000 and up: SHARED_VA
        b.ne    1f
        ldp     x16, x17, [sp], #16
        eret
1:      ldp     x16, x17, [sp], #16
unexpected:
        mrs     x0, esr_el1
        mrs     x1, elr_el1
        mrs     x2, far_el1
        b       guest_exception

// What is copied, remapped and read from disk: one instruction each, all of them without a syndrome
// (ISV = 0). stress.c holds what each must do, in the same order.
        .section .rodata
        .balign 8
        .global variants, variants_end, return_word
variants:
        str     w1, [x0], #4
        str     w2, [x0], #-4
        str     w1, [x0, #4]!
        str     w2, [x0, #-4]!
        ldr     w1, [x0], #8
        ldr     w2, [x0, #4]!
        stp     w1, w2, [x0]
        stp     w2, w1, [x0, #4]!
        ldp     w1, w2, [x0], #-4
        ldp     w2, w1, [x0, #-4]
        strb    w1, [x0], #1
        ldrb    w2, [x0, #1]!
        swp     w1, w2, [x0]
        ldset   w1, w2, [x0]
        ldpsw   x1, x2, [x0]
variants_end:
return_word:
        ret

        .section .bss.stacks, "aw", %nobits
        .balign 16384
stacks: .skip   16384 * 9
