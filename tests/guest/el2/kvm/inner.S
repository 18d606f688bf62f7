// Entry of the inner guest, at EL1 with the MMU off; a second CPU comes by PSCI with x0 != 0.
        .section .text.start, "ax"
        .global start
start:
        adr     x1, vectors
        msr     vbar_el1, x1
        mov     x1, #3 << 20
        msr     cpacr_el1, x1
        isb
        ldr     x1, =stacks
        mrs     x2, mpidr_el1
        and     x2, x2, #0xff
        add     x2, x2, #1
        add     x1, x1, x2, lsl #14
        mov     sp, x1
        sub     x0, x2, #1
        bl      inner_main
1:      wfi
        b       1b

        .text
        .macro  frame
        sub     sp, sp, #192
        stp     x0, x1, [sp]
        stp     x2, x3, [sp, #16]
        stp     x4, x5, [sp, #32]
        stp     x6, x7, [sp, #48]
        stp     x8, x9, [sp, #64]
        stp     x10, x11, [sp, #80]
        stp     x12, x13, [sp, #96]
        stp     x14, x15, [sp, #112]
        stp     x16, x17, [sp, #128]
        stp     x18, x30, [sp, #144]
        .endm
irq:
        frame
        bl      inner_irq
        ldp     x0, x1, [sp]
        ldp     x2, x3, [sp, #16]
        ldp     x4, x5, [sp, #32]
        ldp     x6, x7, [sp, #48]
        ldp     x8, x9, [sp, #64]
        ldp     x10, x11, [sp, #80]
        ldp     x12, x13, [sp, #96]
        ldp     x14, x15, [sp, #112]
        ldp     x16, x17, [sp, #128]
        ldp     x18, x30, [sp, #144]
        add     sp, sp, #192
        eret

        .balign 2048
vectors:
        .rept   5
        mrs     x0, esr_el1
        mrs     x1, elr_el1
        mrs     x2, far_el1
        b       inner_unexpected
        .balign 128
        .endr
        b       irq
        .balign 128
        .rept   10
        mrs     x0, esr_el1
        mrs     x1, elr_el1
        mrs     x2, far_el1
        b       inner_unexpected
        .balign 128
        .endr

        .bss
        .balign 16
stacks: .space  16384 * 5
