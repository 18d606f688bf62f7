// Entry at EL2, vectors of EL2 and EL1, and run(): the one way in which a test executes code whose
// exceptions it expects, at any level.
//
// TPIDR_EL2 points to the context, TPIDRRO_EL0 is the vectors' scratch register. An exception to EL1
// goes on to EL2 by HVC #(0x7c0 + number of the vector), with all registers as they were.
        .arch   armv8-a
        .include "context.inc"

        .equ    C_HPFAR, 312
        .equ    C_HCR, 320
        .equ    C_DAIF, 328
        .equ    C_PAN, 336
        .equ    STACK, 16384

        .macro  enter stack, main
        adrp    x1, \stack
        add     x1, x1, :lo12:\stack
        mov     sp, x1
        adrp    x1, ctx
        add     x1, x1, :lo12:ctx
        msr     tpidr_el2, x1
        adr     x1, el2_vectors
        msr     vbar_el2, x1
        isb
        bl      \main
1:      wfi
        b       1b
        .endm

        .section .text.start, "ax"
        .global start, second_start, el1_vectors, el1_vectors_smc, el2_vectors, run
        .weak   second
start:  enter   stack_top, primary

second_start:                           // CPU 1, by start_second()
        enter   second_stack_top, second

        .macro  vector offset
        .balign 128
        msr     tpidrro_el0, x30
        mrs     x30, tpidr_el2
        stp     x0, x1, [x30]
        mov     x0, #\offset
        b       taken
        .endm

        .balign 2048
el2_vectors:
        .irp    offset, 0x000, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0x480, 0x500, 0x580, 0x600, 0x680, 0x700, 0x780
        vector  \offset
        .endr

        .balign 128
taken:
        str     x0, [x30, #C_VECTOR]
        save_x2_to_x29
        mrs     x1, tpidrro_el0
        str     x1, [x30, #C_X30]
        mrs     x1, elr_el2
        str     x1, [x30, #C_PC]
        mrs     x1, spsr_el2
        str     x1, [x30, #C_SPSR]
        mrs     x1, esr_el2
        str     x1, [x30, #C_ESR]
        mrs     x1, far_el2
        str     x1, [x30, #C_FAR]
        mrs     x1, hpfar_el2
        str     x1, [x30, #C_HPFAR]
        mrs     x1, hcr_el2
        str     x1, [x30, #C_HCR]
        mrs     x1, daif
        str     x1, [x30, #C_DAIF]
        adrp    x1, has_pan
        ldr     w1, [x1, :lo12:has_pan]
        cbz     w1, 1f
        mrs     x1, s3_0_c4_c2_3        // PAN
        str     x1, [x30, #C_PAN]
        msr     s3_0_c4_c2_3, xzr
1:
        adrp    x1, base_hcr
        ldr     x1, [x1, :lo12:base_hcr]
        msr     hcr_el2, x1
        isb
        ldr     x1, [x30, #C_HARNESS_SP]
        ldr     x2, [x30, #C_ACTIVE]
        mov     sp, x1
        mov     x0, x30
        cbz     x2, unexpected
        str     xzr, [x30, #C_ACTIVE]
        pop_callee_saved
        ret

run:                                    // enters ctx; returns with the next exception to EL2
        push_callee_saved
        adrp    x0, ctx
        add     x0, x0, :lo12:ctx
        mov     x1, sp
        str     x1, [x0, #C_HARNESS_SP]
        mov     x1, #1
        str     x1, [x0, #C_ACTIVE]
        ldr     x1, [x0, #C_SPSR]
        msr     spsr_el2, x1
        ldr     x2, [x0, #C_PC]
        msr     elr_el2, x2
        ldr     x2, [x0, #C_SP]
        mov     x30, x0
        and     x1, x1, #15
        cmp     x1, #9
        b.eq    1f
        cmp     x1, #5
        b.eq    2f
        msr     sp_el0, x2
        b       3f
1:      mov     sp, x2
        b       3f
2:      msr     sp_el1, x2
3:      ldr     x1, [x30, #C_HCR]
        msr     hcr_el2, x1
        isb
        load_x0_to_x30
        eret

        .macro  forward by, number
        .balign 128
        \by     #(0x7c0 + \number)
        .endm

        .balign 2048
el1_vectors:
        .irp    number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        forward hvc, \number
        .endr
        .balign 2048
el1_vectors_smc:                        // where HCR_EL2.HCD is set, with TSC
        .irp    number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        forward smc, \number
        .endr

        .section .bss
        .balign 4096
        .skip   STACK
stack_top:
        .skip   4096
second_stack_top:
