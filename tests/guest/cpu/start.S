// Entry, vectors, and run(): the one way in which a test executes code whose exceptions it expects.
//
// TPIDR_EL1 points to the CPU's struct Context, TPIDRRO_EL0 is the vectors' scratch register. The
// vectors use no stack: SP may be what a test made of it.
        .arch   armv8.1-a

        .include "context.inc"
        .equ    C_DAIF, 312
        .equ    C_PAN, 320
        .equ    C_SIZE, 384
        .equ    STACK, 16384

        .section .text.start, "ax"
        .global start, secondary_start, vectors, run
start:
        mov     x0, #0
secondary_start:                        // x0: the CPU's number
        and     x19, x0, #3
        adrp    x1, stacks
        add     x1, x1, :lo12:stacks
        add     x2, x19, #1
        mov     x3, #STACK
        madd    x1, x2, x3, x1
        mov     sp, x1
        adrp    x1, contexts
        add     x1, x1, :lo12:contexts
        mov     x2, #C_SIZE
        madd    x1, x19, x2, x1
        msr     tpidr_el1, x1
        mov     x1, #(3 << 20)
        msr     cpacr_el1, x1
        adr     x1, vectors
        msr     vbar_el1, x1
        msr     oslar_el1, xzr
        mov     x1, #3
        msr     cntkctl_el1, xzr
        isb
        cbnz    x19, 1f
        bl      primary
1:      mov     x0, x19
        bl      secondary
2:      wfi
        b       2b

        .macro  vector offset
        .balign 128
        msr     tpidrro_el0, x30
        mrs     x30, tpidr_el1
        stp     x0, x1, [x30]
        mov     x0, #\offset
        b       taken
        .endm

        .balign 2048
vectors:
        .irp    offset, 0x000, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0x480, 0x500, 0x580, 0x600, 0x680, 0x700, 0x780
        vector  \offset
        .endr

        .balign 128
taken:
        str     x0, [x30, #C_VECTOR]
        save_x2_to_x29
        mrs     x1, tpidrro_el0
        str     x1, [x30, #C_X30]
        mov     x1, sp
        and     x2, x0, #0x600
        cmp     x2, #0x200
        b.eq    1f
        mrs     x1, sp_el0
1:      str     x1, [x30, #C_SP]
        mrs     x1, elr_el1
        str     x1, [x30, #C_PC]
        mrs     x1, spsr_el1
        str     x1, [x30, #C_SPSR]
        mrs     x1, esr_el1
        str     x1, [x30, #C_ESR]
        mrs     x1, far_el1
        str     x1, [x30, #C_FAR]
        mrs     x1, daif
        str     x1, [x30, #C_DAIF]
        mrs     x1, s3_0_c4_c2_3        // PAN
        str     x1, [x30, #C_PAN]
        msr     pan, #0
        ldr     x1, [x30, #C_HARNESS_SP]
        ldr     x2, [x30, #C_ACTIVE]
        mov     sp, x1
        mov     x0, x30
        cbz     x2, unexpected
        str     xzr, [x30, #C_ACTIVE]
        pop_callee_saved
        ret

run:                                    // x0: the context to enter; returns with the next exception
        push_callee_saved
        mov     x1, sp
        str     x1, [x0, #C_HARNESS_SP]
        mov     x1, #1
        str     x1, [x0, #C_ACTIVE]
        ldr     x1, [x0, #C_SPSR]
        msr     spsr_el1, x1
        ldr     x2, [x0, #C_PC]
        msr     elr_el1, x2
        ldr     x2, [x0, #C_SP]
        mov     x30, x0
        and     x1, x1, #15
        cmp     x1, #5
        b.eq    1f
        msr     sp_el0, x2
        b       2f
1:      mov     sp, x2
2:      load_x0_to_x30
        eret

        .section .bss
        .balign 4096
        .global contexts
stacks: .skip   4 * STACK
contexts: .skip 4 * C_SIZE
