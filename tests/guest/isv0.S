// Accesses of every kind that ESR_EL2 does not describe, to real devices, each with its results
// checked: GICD_IPRIORITYR (bytes or words that read back what was written), GICD_IROUTER (64 bits)
// and PL011's UARTIBRD (16 bits). Priorities use multiples of 8, so that five bits suffice.
//
// Needs FEAT_LSE. `qemu-system-aarch64 -M virt,gic-version=3 -cpu neoverse-n1 -kernel isv0.bin` agrees
// with these expectations, but for LD1/ST1 of consecutive words (QEMU makes 8-byte accesses of them,
// which its GICD refuses) and for the unaligned access.
#include "guest.inc"

        .equ    PRIO, GICD + 0x420      // SPI 32 and up
        .equ    ROUTE, GICD + 0x6100
        .equ    IBRD, PL011 + 0x24
        .equ    ROUTED, 0x30201            // GICD_IROUTER: an affinity, of no CPU here

        prologue

        // Fills 16 words from PRIO with 0x10, 0x20, ... in byte 0 and the index in byte 3.
        .macro  fill
        bl      fill_priorities
        .endm

fill_priorities:
        ldr     x14, =PRIO
        mov     w15, #0x10
        mov     w16, #16
1:      orr     w17, w15, w15, lsl #24
        str     w17, [x14]
        add     x14, x14, #4
        add     w15, w15, #8
        subs    w16, w16, #1
        b.ne    1b
        ret

        .macro  word_is name, offset, value
        ldr     w12, [x21, #\offset]
        check   "\name", x12, \value
        .endm

main:
        ldr     x21, =PRIO
        ldr     x22, =ROUTE
        ldr     x23, =IBRD

        // --- integer, write-back ----------------------------------------------------------------
        fill
        mov     x1, x21
        ldr     w2, [x1], #4
        check   "ldr w post-index", x2, 0x10000010
        check   "ldr w post-index: base", x1, PRIO + 4
        ldr     w2, [x1, #4]!
        check   "ldr w pre-index", x2, 0x20000020
        check   "ldr w pre-index: base", x1, PRIO + 8
        ldr     w2, [x1], #-8
        check   "ldr w post-index, negative: base", x1, PRIO
        mov     w2, #0xa0
        str     w2, [x1], #4
        word_is "str w post-index", 0, 0xa0
        check   "str w post-index: base", x1, PRIO + 4
        str     w2, [x1, #8]!
        word_is "str w pre-index", 12, 0xa0
        check   "str w pre-index: base", x1, PRIO + 12
        str     wzr, [x1], #-12
        word_is "str wzr post-index", 12, 0
        ldr     wzr, [x1], #4
        check   "ldr wzr post-index: base", x1, PRIO + 4
        mov     x1, x21
        ldrsw   x2, [x1], #0
        check   "ldrsw post-index by 0", x2, 0xa0

        mov     w2, #0xc8
        mov     x1, x21
        strb    w2, [x1, #1]!
        word_is "strb pre-index", 0, 0xc8a0
        ldrb    w3, [x1], #1
        check   "ldrb post-index", x3, 0xc8
        check   "ldrb post-index: base", x1, PRIO + 2
        ldrsb   w3, [x1, #-1]!
        check   "ldrsb w pre-index", x3, 0xffffffc8
        ldrsb   x3, [x1], #0
        check   "ldrsb x post-index", x3, 0xffffffffffffffc8

        mov     w2, #0x8001
        mov     x1, x23
        strh    w2, [x1], #2
        check   "strh post-index: base", x1, IBRD + 2
        mov     x1, x23
        ldrh    w3, [x1], #2
        check   "ldrh post-index", x3, 0x8001
        mov     x1, x23
        ldrsh   w3, [x1, #0]!
        check   "ldrsh w pre-index", x3, 0xffff8001
        ldrsh   x3, [x1], #0
        check   "ldrsh x post-index", x3, 0xffffffffffff8001

        ldr     x2, =ROUTED
        mov     x1, x22
        str     x2, [x1], #8
        check   "str x post-index: base", x1, ROUTE + 8
        ldr     x3, [x1, #-8]!
        check   "ldr x pre-index", x3, ROUTED

        // Register offsets and unprivileged forms have ISV=1 on hardware; the same results anyhow.
        fill
        mov     w1, #-4
        add     x2, x21, #16
        ldr     w3, [x2, w1, sxtw]
        check   "ldr w, sxtw", x3, 0x28000028
        mov     x1, #2
        ldr     w3, [x21, x1, lsl #2]
        check   "ldr w, lsl", x3, 0x20000020
        ldtr    w3, [x21, #4]
        check   "ldtr w", x3, 0x18000018
        mov     w2, #0x40
        sttr    w2, [x21, #4]
        word_is "sttr w", 4, 0x40
        b       pairs
        .ltorg

        // --- pairs ------------------------------------------------------------------------------
pairs:
        fill
        ldp     w2, w3, [x21, #8]
        check   "ldp w: first", x2, 0x20000020
        check   "ldp w: second", x3, 0x28000028
        mov     x1, x21
        ldp     w2, w3, [x1], #16
        check   "ldp w post-index: second", x3, 0x18000018
        check   "ldp w post-index: base", x1, PRIO + 16
        ldp     w2, w3, [x1, #-8]!
        check   "ldp w pre-index: first", x2, 0x20000020
        check   "ldp w pre-index: base", x1, PRIO + 8
        ldnp    w2, w3, [x21, #16]
        check   "ldnp w: second", x3, 0x38000038
        mov     w2, #0xb0
        lsl     w2, w2, #24
        str     w2, [x21]
        ldpsw   x2, x3, [x21]
        check   "ldpsw: negative", x2, 0xffffffffb0000000
        check   "ldpsw: positive", x3, 0x18000018
        mov     w2, #0x50
        mov     w3, #0x60
        mov     x1, x21
        stp     w2, w3, [x1], #8
        word_is "stp w post-index: first", 0, 0x50
        word_is "stp w post-index: second", 4, 0x60
        check   "stp w post-index: base", x1, PRIO + 8
        stp     w3, wzr, [x1, #8]!
        word_is "stp w pre-index: first", 16, 0x60
        word_is "stp w pre-index: second", 20, 0
        stnp    w2, w3, [x21, #24]
        word_is "stnp w: second", 28, 0x60
        ldr     x2, =ROUTED
        stp     x2, xzr, [x22]
        ldp     x3, x4, [x22]
        check   "stp, ldp x: first", x3, ROUTED
        check   "stp, ldp x: second", x4, 0
        mov     x1, x22
        stp     xzr, x2, [x1], #16
        ldp     x3, x4, [x1, #-16]!
        check   "stp, ldp x with write-back: first", x3, 0
        check   "stp, ldp x with write-back: second", x4, ROUTED
        // The stack pointer as the base.
        fill
        mov     x5, sp
        mov     sp, x21
        ldp     w2, w3, [sp], #16
        mov     x4, sp
        mov     sp, x5
        check   "ldp w, [sp]: second", x3, 0x18000018
        check   "ldp w, [sp]: base", x4, PRIO + 16
        b       simd
        .ltorg

        // --- SIMD and floating point ------------------------------------------------------------
        .macro  vector_is name, v, low, high
        mov     x12, \v\().d[0]
        mov     x13, \v\().d[1]
        check   "\name: low half", x12, \low
        check   "\name: high half", x13, \high
        .endm

simd:
        fill
        movi    v0.16b, #0xff
        ldr     b0, [x21, #3]
        vector_is "ldr b", v0, 0x10, 0
        movi    v0.16b, #0xff
        ldr     h0, [x23]
        vector_is "ldr h", v0, 0x8001, 0
        movi    v0.16b, #0xff
        ldr     s0, [x21, #4]
        vector_is "ldr s", v0, 0x18000018, 0
        mov     x1, x21
        movi    v0.16b, #0xff
        ldr     s0, [x1], #8
        vector_is "ldr s post-index", v0, 0x10000010, 0
        check   "ldr s post-index: base", x1, PRIO + 8
        ldr     x2, =ROUTED
        stp     x2, xzr, [x22]
        stp     xzr, x2, [x22, #16]
        movi    v0.16b, #0xff
        ldr     d0, [x22]
        vector_is "ldr d", v0, ROUTED, 0
        ldr     q0, [x22]
        vector_is "ldr q", v0, ROUTED, 0
        mov     x1, x22
        ldr     q1, [x1, #16]!
        vector_is "ldr q pre-index", v1, 0, ROUTED
        check   "ldr q pre-index: base", x1, ROUTE + 16
        ldp     d2, d3, [x22, #16]
        vector_is "ldp d: first", v2, 0, 0
        vector_is "ldp d: second", v3, ROUTED, 0
        ldp     q2, q3, [x22]
        vector_is "ldp q: first", v2, ROUTED, 0
        vector_is "ldp q: second", v3, 0, ROUTED
        ldp     s2, s3, [x21]
        vector_is "ldp s: first", v2, 0x10000010, 0
        vector_is "ldp s: second", v3, 0x18000018, 0
        str     q1, [x22]
        ldp     x3, x4, [x22]
        check   "str q: low half", x3, 0
        check   "str q: high half", x4, ROUTED
        mov     x1, x22
        stp     q0, q1, [x1], #32
        ldp     x3, x4, [x22]
        ldp     x5, x6, [x22, #16]
        check   "stp q: 0", x3, ROUTED
        check   "stp q: 1", x4, 0
        check   "stp q: 2", x5, 0
        check   "stp q: 3", x6, ROUTED
        check   "stp q post-index: base", x1, ROUTE + 32
        str     d0, [x22, #8]
        ldr     x3, [x22, #8]
        check   "str d", x3, ROUTED
        movi    v4.4s, #0x48
        str     s4, [x21]
        word_is "str s", 0, 0x48
        str     b4, [x21, #1]
        word_is "str b", 0, 0x4848
        str     h4, [x23]
        ldrh    w3, [x23]
        check   "str h", x3, 0x48
        stp     s4, s4, [x21, #4]
        word_is "stp s: second", 8, 0x48
        b       structures
        .ltorg

        // --- structures -------------------------------------------------------------------------
structures:
        fill
        mov     x1, x21
        movi    v0.16b, #0xff
        movi    v1.16b, #0xff
        ld1     {v0.4s}, [x1], #16
        vector_is "ld1 4s", v0, 0x1800001810000010, 0x2800002820000020
        check   "ld1 4s post-index: base", x1, PRIO + 16
        mov     x1, x21
        mov     x2, #20
        ld1     {v0.2s, v1.2s}, [x1], x2
        vector_is "ld1 2s, two registers: first", v0, 0x1800001810000010, 0
        vector_is "ld1 2s, two registers: second", v1, 0x2800002820000020, 0
        check   "ld1 post-register: base", x1, PRIO + 20
        movi    v0.16b, #0xff
        ld1     {v0.s}[1], [x21]
        vector_is "ld1 one lane keeps the others", v0, 0x10000010ffffffff, 0xffffffffffffffff
        ld1     {v0.b}[15], [x21]
        mov     x12, v0.d[1]
        check   "ld1 byte lane", x12, 0x10ffffffffffffff
        ld1r    {v0.4s}, [x21]
        vector_is "ld1r 4s", v0, 0x1000001010000010, 0x1000001010000010
        ld2     {v0.2s, v1.2s}, [x21]
        vector_is "ld2: first", v0, 0x2000002010000010, 0
        vector_is "ld2: second", v1, 0x2800002818000018, 0
        ld3     {v0.2s, v1.2s, v2.2s}, [x21]
        vector_is "ld3: first", v0, 0x2800002810000010, 0
        vector_is "ld3: third", v2, 0x3800003820000020, 0
        ld4     {v0.4s, v1.4s, v2.4s, v3.4s}, [x21]
        vector_is "ld4: first", v0, 0x3000003010000010, 0x7000007050000050
        vector_is "ld4: fourth", v3, 0x4800004828000028, 0x8800008868000068
        ld2     {v0.s, v1.s}[2], [x21]
        mov     x12, v1.d[1]
        check   "ld2 one lane: second", x12, 0x7800007818000018
        ld4r    {v0.2s, v1.2s, v2.2s, v3.2s}, [x21]
        vector_is "ld4r: fourth", v3, 0x2800002828000028, 0
        movi    v0.4s, #0x40
        movi    v1.4s, #0x50
        movi    v2.4s, #0x60
        movi    v3.4s, #0x70
        mov     x1, x21
        st1     {v0.2s, v1.2s}, [x1], #16
        word_is "st1: 1", 4, 0x40
        word_is "st1: 2", 8, 0x50
        check   "st1 post-index: base", x1, PRIO + 16
        st2     {v0.4s, v1.4s}, [x21]
        word_is "st2: 0", 0, 0x40
        word_is "st2: 1", 4, 0x50
        word_is "st2: 7", 28, 0x50
        st4     {v0.4s, v1.4s, v2.4s, v3.4s}, [x21]
        word_is "st4: 2", 8, 0x60
        word_is "st4: 15", 60, 0x70
        st1     {v3.s}[2], [x21]
        word_is "st1 one lane", 0, 0x70
        st3     {v0.b, v1.b, v2.b}[4], [x21]
        word_is "st3 byte lanes", 0, 0x605040
        b       exclusives
        .ltorg

        // --- exclusives, ordered ----------------------------------------------------------------
exclusives:
        fill
        ldar    w2, [x21]
        check   "ldar w", x2, 0x10000010
        mov     w2, #0x58
        stlr    w2, [x21]
        word_is "stlr w", 0, 0x58
        ldarb   w2, [x21, #0]
        check   "ldarb", x2, 0x58
1:      ldxr    w2, [x21]
        add     w2, w2, #8
        stxr    w3, w2, [x21]
        cbnz    w3, 1b
        word_is "ldxr, stxr", 0, 0x60
1:      ldaxr   w2, [x21]
        add     w2, w2, #8
        stlxr   w3, w2, [x21]
        cbnz    w3, 1b
        word_is "ldaxr, stlxr", 0, 0x68
        clrex
        mov     w2, #8
        stxr    w3, w2, [x21]
        check   "stxr without a monitor: status", x3, 1
        word_is "stxr without a monitor: memory", 0, 0x68
        b       atomics
        .ltorg

        // --- LSE --------------------------------------------------------------------------------
        .macro  atomic instruction, start, operand, result
        mov     w2, #\start
        str     w2, [x21]
        mov     w2, #\operand
        mov     x3, #-1
        \instruction w2, w3, [x21]
        check   "\instruction: old value", x3, \start
        word_is "\instruction: new value", 0, \result
        .endm

        .arch   armv8.1-a
atomics:
        atomic  ldadd, 0x40, 0x38, 0x78
        atomic  ldaddal, 0x40, 0x08, 0x48
        atomic  ldclr, 0x78, 0x28, 0x50
        atomic  ldset, 0x50, 0x28, 0x78
        atomic  ldeor, 0x78, 0x28, 0x50
        atomic  ldsmax, 0x50, 0x60, 0x60
        atomic  ldsmin, 0x50, 0x60, 0x50
        atomic  ldumax, 0x50, 0x40, 0x50
        atomic  ldumin, 0x50, 0x40, 0x40
        atomic  swp, 0x50, 0x40, 0x40
        atomic  swpal, 0x40, 0x48, 0x48
        mov     w2, #0x10
        stadd   w2, [x21]
        word_is "stadd", 0, 0x58
        mov     w2, #0x58
        mov     w3, #0x70
        cas     w2, w3, [x21]
        check   "cas, equal: old value", x2, 0x58
        word_is "cas, equal: new value", 0, 0x70
        mov     w2, #0x58
        casal   w2, w3, [x21]
        check   "casal, different: old value", x2, 0x70
        word_is "casal, different: memory", 0, 0x70
        mov     w2, #0x88
        mov     w3, #0x90
        ldaddb  w2, w3, [x21]
        check   "ldaddb: old value", x3, 0x70
        word_is "ldaddb: new value", 0, 0xf8
        b       special
        .ltorg

        // --- what is not a transfer -------------------------------------------------------------
special:
        fill
        prfm    pldl1keep, [x21]
        word_is "prfm does nothing", 0, 0x10000010
        // With the MMU off the memory is Device: an unaligned access is the guest's own alignment
        // fault (EC 0x25, DFSC 0x21), before anything reaches the VMM. (QEMU lets it pass.)
        expect_exception 1f
        ldr     w2, [x21, #1]
1:      exception_taken
        and     x12, x9, #0xfc000000
        and     x13, x9, #0x3f
        orr     x12, x12, x13
        check   "unaligned ldr: alignment fault", x12, 0x94000021
        check   "unaligned ldr: FAR", x10, PRIO + 1
        b       finish

        epilogue
