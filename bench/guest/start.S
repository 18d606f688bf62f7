// How the benchmark guest begins: an arm64 Image header (so that QEMU and `trapline run --kernel`
// load it at RAM + 0x80000, where `--raw` puts it too), entry of both CPUs, vectors.

        .equ    RAM, 0x40000000
        .equ    TEXT_OFFSET, 0x80000
        .equ    DRIVEN_MMU_OFF, 1       // as driven.h has them
        .equ    DRIVEN_HVC, 1
        .equ    VIRTUAL_TIMER, 27       // INTID of PPI 11

        .section .text.start, "ax"
        .global start, secondary_start
start:
        b       primary                 // code0
        .long   0                       // code1
        .quad   TEXT_OFFSET             // from a 2 MiB boundary of RAM
        .quad   image_size
        .quad   2                       // little endian, 4 KiB pages
        .quad   0, 0, 0
        .ascii  "ARM\x64"
        .long   0                       // no PE header

primary:                                // x1: 0, or how bench_cpu wants it (driven.h)
        mov     x20, x1
        ldr     x1, =stack0_top
        mov     sp, x1
        ldr     x0, =bss_start
        ldr     x1, =bss_end
1:      stp     xzr, xzr, [x0], #16
        cmp     x0, x1
        b.lo    1b
        ldr     x0, =cpus
        bl      cpu_registers
        bl      build_tables
        tbnz    x20, #DRIVEN_MMU_OFF, 2f
        bl      mmu_on
2:      cbnz    x20, driven
        bl      guest_main
3:      b       3b

driven:                                 // from here on bench_cpu calls what it likes
        ldr     x0, =benchmarks
        ldr     x1, =benchmark_count
        ldr     x1, [x1]
4:      hvc     #DRIVEN_HVC
        b       4b

secondary_start:
        ldr     x1, =stack1_top
        mov     sp, x1
        ldr     x0, =cpus + 64
        bl      cpu_registers
        bl      mmu_on
        bl      secondary_main
5:      b       5b

cpu_registers:                          // x0: this CPU's record (struct Cpu)
        msr     tpidr_el1, x0
        adr     x1, vectors
        msr     vbar_el1, x1
        mov     x1, #(3 << 20)          // CPACR_EL1.FPEN
        msr     cpacr_el1, x1
        isb
        ret

mmu_on:
        ldr     x0, =0x04ff             // attribute 0: Normal write-back; 1: Device-nGnRE
        msr     mair_el1, x0
        // T0SZ 16, walks cacheable and inner shareable, 4 KiB, EPD1, 40-bit IPA
        ldr     x0, =(16 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2 << 32)
        msr     tcr_el1, x0
        ldr     x0, =table0
        msr     ttbr0_el1, x0
        dsb     sy
        tlbi    vmalle1
        dsb     sy
        isb
        mrs     x0, sctlr_el1
        ldr     x1, =(1 | 1 << 2 | 1 << 12)     // M, C, I
        orr     x0, x0, x1
        msr     sctlr_el1, x0
        isb
        ret
        .ltorg

        // Counts in the CPU's record, so that who waits can see it: acknowledge, end, done.
irq:
        stp     x0, x1, [sp, #-16]!
        mrs     x0, S3_0_C12_C12_0      // ICC_IAR1_EL1
        sub     x1, x0, #1020           // to 1023: none. LPIs are above
        cmp     x1, #4
        b.lo    2f
        cmp     x0, #VIRTUAL_TIMER
        b.ne    1f
        msr     cntv_ctl_el0, xzr       // its level falls before the end of interrupt
        isb
1:      msr     S3_0_C12_C12_1, x0      // ICC_EOIR1_EL1
        mrs     x1, tpidr_el1
        ldr     x0, [x1]
        add     x0, x0, #1
        stlr    x0, [x1]
2:      ldp     x0, x1, [sp], #16
        eret

        .balign 2048
vectors:
        .rept   4
        b       unexpected
        .balign 128
        .endr
        b       unexpected
        .balign 128
        b       irq
        .balign 128
        .rept   10
        b       unexpected
        .balign 128
        .endr

unexpected:
        mrs     x0, esr_el1
        mrs     x1, elr_el1
        mrs     x2, far_el1
        bl      unexpected_exception
4:      b       4b
