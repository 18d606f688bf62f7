// Timer interrupts on every CPU that there is. Each hashes where it was interrupted and what the
// counter said, and says so now and then; the first CPU ends the run. Two runs of one machine under
// --clock icount write the same, and one that differs by an instruction or a tick does not.
// Registers: x19 PL011, x20 GICD, x21 this CPU, x22 hash, x23 ticks, x24 work.

        .equ    PL011, 0x09000000
        .equ    GICD, 0x08000000
        .equ    GICR, 0x080a0000
        .equ    PERIOD, 12500           // ticks of the counter
        .equ    ROUNDS, 3000            // interrupts of the first CPU

        .section .text.start, "ax"
        .global start
start:
        mov     x21, xzr
        ldr     x20, =GICD
        mov     w1, #0x12               // ARE, EnableGrp1
        str     w1, [x20]
        mov     x25, #1                 // the others; what is not there refuses
1:      ldr     x0, =0xc4000003         // PSCI CPU_ON
        mov     x1, x25
        adr     x2, each
        mov     x3, x25
        hvc     #0
        add     x25, x25, #1
        cmp     x25, #8
        b.lo    1b
        mov     x0, xzr
each:                                   // x0: which CPU
        mov     x21, x0
        ldr     x19, =PL011
        mov     x22, #1
        mov     x23, xzr
        mov     x24, xzr
        adr     x1, stacks
        add     x2, x21, #1
        add     x1, x1, x2, lsl #12
        mov     sp, x1
        adr     x1, vectors
        msr     vbar_el1, x1
        mov     x1, #(3 << 20)          // CPACR_EL1.FPEN
        msr     cpacr_el1, x1
        isb
        fmov    d8, #1.0
        ldr     x1, =GICR
        add     x1, x1, x21, lsl #17
        str     wzr, [x1, #0x14]        // WAKER
2:      ldr     w2, [x1, #0x14]
        tbnz    w2, #2, 2b
        add     x1, x1, #0x10000
        mov     w2, #-1
        str     w2, [x1, #0x80]         // IGROUPR0
        mov     w2, #(1 << 27)
        str     w2, [x1, #0x100]        // ISENABLER0: the virtual timer
        mov     x2, #0xff
        msr     s3_0_c4_c6_0, x2        // ICC_PMR_EL1
        mov     x2, #1
        msr     s3_0_c12_c12_7, x2      // ICC_IGRPEN1_EL1
        isb
        mov     x2, #PERIOD
        msr     cntv_tval_el0, x2
        mov     x2, #1
        msr     cntv_ctl_el0, x2
        msr     daifclr, #2
work:
        add     x24, x24, #1
        fadd    d8, d8, d8
        tst     x24, #0xfff
        b.ne    work
        fmov    d8, #1.0
        tbz     x23, #2, work           // half of the time it works, half it waits
        wfi
        b       work

tick:
        mrs     x1, s3_0_c12_c12_0      // ICC_IAR1_EL1
        mov     x2, #PERIOD
        msr     cntv_tval_el0, x2
        msr     s3_0_c12_c12_1, x1      // ICC_EOIR1_EL1
        isb
        mrs     x2, cntvct_el0
        mrs     x3, elr_el1
        eor     x22, x22, x2
        eor     x22, x22, x3, lsl #20
        eor     x22, x22, x24, lsl #40
        fmov    x3, d8
        eor     x22, x22, x3
        ldr     x3, =6364136223846793005
        mul     x22, x22, x3
        add     x22, x22, x1
        add     x23, x23, #1
        tst     x23, #63
        b.ne    3f
        bl      say
3:      cbnz    x21, 4f
        mov     x1, #ROUNDS
        cmp     x23, x1
        b.lo    4f
        ldr     x0, =0x84000008         // PSCI SYSTEM_OFF
        hvc     #0
4:      eret

say:                                    // one at a time
        adr     x1, lock
        mov     w3, #1
5:      ldaxr   w2, [x1]
        cbnz    w2, 5b
        stlxr   w4, w3, [x1]
        cbnz    w4, 5b
        add     w2, w21, #'0'
        str     w2, [x19]
        mov     w2, #' '
        str     w2, [x19]
        mov     x2, x22
        mov     w3, #16
6:      ror     x2, x2, #60
        and     w4, w2, #15
        cmp     w4, #10
        add     w5, w4, #'0'
        add     w4, w4, #('a' - 10)
        csel    w4, w5, w4, lo
        str     w4, [x19]
        subs    w3, w3, #1
        b.ne    6b
        mov     w2, #'\n'
        str     w2, [x19]
        stlr    wzr, [x1]
        ret
        .ltorg

        .balign 2048
vectors:
        .rept   5
        b       wrong
        .balign 128
        .endr
        b       tick                    // IRQ, current EL with SP_ELx
        .balign 128
        .rept   10
        b       wrong
        .balign 128
        .endr
wrong:
        mov     w2, #'!'
        str     w2, [x19]
        b       .

        .balign 8
lock:   .word   0
        .section .bss, "aw"
        .balign 4096
stacks: .skip   4096 * 9
