// The loops of bench/cpu_micro_vs_qemu: x0 times through each, the result in x0, so that two
// machines can be compared. `loop` and `again` count x0 down.

        .arch   armv8.4-a+sha3

        .macro  loop name
        .globl  \name
        .balign 64
\name:
        .endm
        .macro  again
        subs    x0, x0, #1
        b.ne    1b
        .endm
        .macro  value v, name           // a constant to a D register
        ldr     x9, =\name
        ldr     d\v, [x9]
        .endm

        .data
        .balign 4096                    // apart from code, whose pages are watched
factor: .double 0.9990234375001
addend: .double 0.3333333333333
three:  .double 3.0000000001
seven:  .double 7.1
half:   .double 0.5
        .balign 64
numbers:
        .rept   64
        .double 1.1, 0.7
        .endr
singles:
        .rept   64
        .float  1.1, 0.7, 1.3, 0.9
        .endr
bytes:
        .rept   64
        .byte   3, 200, 17, 99, 250, 1, 128, 64, 5, 77, 180, 33, 9, 111, 222, 45
        .endr
indices:
        .byte   15, 3, 7, 1, 12, 200, 4, 9, 0, 16, 2, 11, 14, 6, 13, 5
        .balign 64
word:   .quad   0
        .balign 16
pair:   .quad   0, 0
count:  .quad   0, 0
        .text

// --- integers ---

loop    micro_udiv
        ldr     x1, =0xfedcba9876543210
        mov     x2, #12345
1:      udiv    x3, x1, x2
        eor     x1, x1, x3
        add     x2, x2, #2
        again
        mov     x0, x1
        ret

loop    micro_remainder
        ldr     x1, =0xfedcba9876543210
        mov     w2, #1000
1:      udiv    w3, w1, w2
        msub    w4, w3, w2, w1
        sdiv    x5, x1, x2
        add     x1, x1, x4, lsl #3
        add     x1, x1, x5
        again
        mov     x0, x1
        ret

loop    micro_mac64                     // 64 x 64 multiply-accumulate with carry, as bignum code
        ldr     x1, =0xfedcba9876543210
        ldr     x2, =0x9e3779b97f4a7c15
        mov     x3, #1
        mov     x4, #2
        mov     x5, #3
1:      mul     x6, x1, x2
        umulh   x7, x1, x2
        adds    x3, x3, x6
        adcs    x4, x4, x7
        adc     x5, x5, xzr
        eor     x1, x1, x3
        again
        eor     x0, x4, x5
        ret

loop    micro_exclusive
        ldr     x1, =word
1:      ldxr    x2, [x1]
        add     x2, x2, #1
        stxr    w3, x2, [x1]
        cbnz    w3, 1b
        again
        mov     x0, x2
        ret

loop    micro_exclusive_pair            // a counter of 128 bits
        ldr     x1, =count
        stp     xzr, xzr, [x1]
1:      ldxp    x2, x3, [x1]
        adds    x2, x2, x0
        adc     x3, x3, x2
        stxp    w4, x2, x3, [x1]
        cbnz    w4, 1b
        again
        eor     x0, x2, x3
        ret

loop    micro_lock                      // as a spin lock of Armv8.0
        ldr     x1, =word
        mov     w2, #1
1:      ldaxr   w3, [x1]
        eor     w3, w3, w2
        stlxr   w4, w3, [x1]
        cbnz    w4, 1b
        stlr    wzr, [x1]
        again
        mov     x0, x3
        ret

loop    micro_ldadd
        ldr     x1, =word
        mov     x2, #3
1:      ldaddal x2, x3, [x1]
        ldset   w2, w4, [x1]
        ldclr   w2, w4, [x1]
        swp     x2, x5, [x1]
        again
        mov     x0, x4
        ret

loop    micro_cas
        ldr     x1, =word
        str     xzr, [x1]
        mov     x2, #0
1:      add     x3, x2, #1
        casal   x2, x3, [x1]
        mov     x2, x3
        again
        mov     x0, x2
        ret

loop    micro_casp                      // as the kernel's allocator
        ldr     x1, =pair
        ldp     x2, x3, [x1]
1:      add     x4, x2, #1
        eor     x5, x3, x4
        caspal  x2, x3, x4, x5, [x1]
        mov     x2, x4
        mov     x3, x5
        again
        mov     x0, x3
        ret

loop    micro_bits                      // RBIT, CLZ, REV, RORV, BFI, EXTR
        ldr     x1, =0xfedcba9876543210
        mov     x2, #5
1:      rbit    x3, x1
        clz     x3, x3
        rev16   x4, x1
        ror     x4, x4, x2
        bfi     x4, x3, #8, #7
        extr    x1, x4, x1, #13
        add     x2, x2, #1
        again
        mov     x0, x1
        ret

loop    micro_crc32c
        mov     w1, #1
        ldr     x2, =0xfedcba9876543210
1:      crc32cx w1, w1, x2
        crc32cw w1, w1, w2
        again
        mov     x0, x1
        ret

// --- floating point ---

loop    micro_fp_chain                  // a chain with a comparison
        value   1, factor
        value   2, addend
        value   3, half
        fmov    d0, #1.0
1:      fmul    d0, d0, d1
        fadd    d0, d0, d2
        fcmp    d0, d3
        b.le    2f
        fsub    d0, d0, d3
2:      again
        fmov    x0, d0
        ret

loop    micro_fp_select
        value   1, factor
        value   2, addend
        value   3, half
        fmov    d0, #1.0
1:      fmadd   d0, d0, d1, d2
        fsub    d4, d0, d3
        fcmp    d0, d3
        fcsel   d0, d4, d0, gt
        fabs    d0, d0
        again
        fmov    x0, d0
        ret

loop    micro_fp_div
        value   1, three
        value   2, seven
        fmov    d0, #1.0
1:      fadd    d0, d0, d2
        fdiv    d0, d0, d1
        again
        fmov    x0, d0
        ret

loop    micro_fp_sqrt
        value   1, three
        fmov    d0, #1.0
1:      fadd    d0, d0, d1
        fsqrt   d0, d0
        again
        fmov    x0, d0
        ret

loop    micro_fp_sqrt_steps             // by estimate and three steps, as compilers write it
        value   1, three
        fmov    d0, #1.0
1:      fadd    d0, d0, d1
        frsqrte d2, d0
        fmul    d3, d2, d2
        frsqrts d3, d0, d3
        fmul    d2, d2, d3
        fmul    d3, d2, d2
        frsqrts d3, d0, d3
        fmul    d2, d2, d3
        fmul    d3, d2, d2
        frsqrts d3, d0, d3
        fmul    d2, d2, d3
        fmul    d0, d0, d2
        again
        fmov    x0, d0
        ret

loop    micro_fp_recip_steps            // of four singles
        ldr     x9, =singles
        ldr     q0, [x9]
        fmov    v4.4s, #0.5
1:      frecpe  v1.4s, v0.4s
        frecps  v2.4s, v0.4s, v1.4s
        fmul    v1.4s, v1.4s, v2.4s
        frecps  v2.4s, v0.4s, v1.4s
        fmul    v0.4s, v1.4s, v2.4s
        again
        fmov    x0, d0
        ret

loop    micro_fp_convert
        value   1, seven
        mov     x1, #12345
1:      scvtf   d0, x1
        fdiv    d0, d0, d1
        fcvtzs  x2, d0
        ucvtf   d3, w2
        fcvtns  w3, d3
        add     x1, x1, x3
        and     x1, x1, #0xffffff
        again
        mov     x0, x1
        ret

loop    micro_fp_single                 // singles and conversions to doubles
        value   1, addend
        fcvt    s1, d1
        fmov    s0, #1.0
1:      fmul    s2, s0, s1
        fcvt    d3, s2
        fadd    d3, d3, d3
        fcvt    s0, d3
        fadd    s0, s0, s1
        again
        fmov    w0, s0
        ret

loop    micro_fp_round
        value   1, seven
        fmov    d0, #1.0
1:      fadd    d0, d0, d1
        frintm  d2, d0
        fsub    d0, d0, d2
        again
        fmov    x0, d0
        ret

loop    micro_fp_away                   // ties away, fixed point and unsigned numbers
        value   1, seven
        fmov    d0, #1.0
        ldr     x9, =bytes
        ldr     q4, [x9]
1:      fadd    d0, d0, d1
        fcvtas  w2, d0
        frinta  d2, d0
        scvtf   d3, w2, #4
        fcvtzs  w2, d3, #8
        ucvtf   v5.4s, v4.4s
        fmaxv   s6, v5.4s
        fcvtzu  v4.4s, v5.4s
        again
        fadd    d0, d2, d3
        fmov    x0, d0
        fmov    x1, d4
        eor     x0, x0, x1
        eor     x0, x0, x2
        ret

loop    micro_fp_half                   // half precision, as a format of storage
        ldr     x9, =singles
        ldr     q0, [x9]
        fcvtn   v1.4h, v0.4s
        fmov    v4.4s, #0.75
1:      fcvtl   v2.4s, v1.4h
        fmul    v2.4s, v2.4s, v4.4s
        fadd    v2.4s, v2.4s, v0.4s
        fcvtn   v1.4h, v2.4s
        fcvt    s3, h1
        fcvt    h3, s3
        ins     v1.h[1], v3.h[0]
        again
        fmov    x0, d1
        ret

loop    micro_dot_f64
        ldr     x1, =numbers
        movi    v0.2d, #0
        movi    v1.2d, #0
1:      and     x2, x0, #31
        add     x2, x1, x2, lsl #4
        ldp     q2, q3, [x2]
        ldp     q4, q5, [x1]
        fmla    v0.2d, v2.2d, v4.2d
        fmla    v1.2d, v3.2d, v5.2d
        again
        fadd    v0.2d, v0.2d, v1.2d
        faddp   d0, v0.2d
        fmov    x0, d0
        ret

loop    micro_axpy_f32
        ldr     x1, =singles
        fmov    v0.4s, #0.5
        fmov    v5.4s, #1.5
1:      and     x2, x0, #31
        add     x2, x1, x2, lsl #4
        ldr     q2, [x2]
        fmul    v3.4s, v2.4s, v0.4s
        fadd    v3.4s, v3.4s, v5.4s
        fmax    v5.4s, v3.4s, v0.4s
        again
        fmov    x0, d5
        ret

// --- vectors of integers ---

loop    micro_wide_mac
        ldr     x1, =bytes
        movi    v0.4s, #0
        movi    v1.4s, #0
1:      and     x2, x0, #31
        add     x2, x1, x2, lsl #4
        ldp     q2, q3, [x2]
        smlal   v0.4s, v2.4h, v3.4h
        smlal2  v1.4s, v2.8h, v3.8h
        again
        add     v0.4s, v0.4s, v1.4s
        addv    s0, v0.4s
        fmov    w0, s0
        ret

loop    micro_sad                       // sum of absolute differences of bytes
        ldr     x1, =bytes
        mov     x4, #0
1:      and     x2, x0, #31
        add     x2, x1, x2, lsl #4
        ldp     q2, q3, [x2]
        uabdl   v0.8h, v2.8b, v3.8b
        uabal2  v0.8h, v2.16b, v3.16b
        uaddlv  s0, v0.8h
        fmov    w3, s0
        add     x4, x4, x3
        again
        mov     x0, x4
        ret

loop    micro_search                    // for a byte, as memchr() and strlen() do
        ldr     x1, =bytes
        movi    v1.16b, #111
        mov     x4, #0
1:      and     x2, x0, #31
        add     x2, x1, x2, lsl #4
        ldr     q2, [x2]
        cmeq    v2.16b, v2.16b, v1.16b
        shrn    v3.8b, v2.8h, #4
        fmov    x3, d3
        rbit    x3, x3
        clz     x3, x3
        umaxp   v2.16b, v2.16b, v2.16b
        fmov    x5, d2
        add     x4, x4, x3
        add     x4, x4, x5
        again
        mov     x0, x4
        ret

loop    micro_permute
        ldr     x1, =bytes
        ldp     q0, q1, [x1]
        ldr     x9, =indices
        ldr     q5, [x9]
1:      zip1    v2.16b, v0.16b, v1.16b
        uzp2    v3.8h, v0.8h, v1.8h
        ext     v4.16b, v2.16b, v3.16b, #5
        tbl     v0.16b, {v4.16b}, v5.16b
        rev64   v1.8h, v3.8h
        add     v1.16b, v1.16b, v5.16b
        again
        eor     v0.16b, v0.16b, v1.16b
        fmov    x0, d0
        ret

loop    micro_shift_widen               // pixels: bytes widened, scaled, narrowed
        ldr     x1, =bytes
        movi    v5.8h, #77
1:      and     x2, x0, #31
        add     x2, x1, x2, lsl #4
        ldr     q0, [x2]
        ushll   v1.8h, v0.8b, #0
        ushll2  v2.8h, v0.16b, #0
        mul     v1.8h, v1.8h, v5.8h
        mul     v2.8h, v2.8h, v5.8h
        ushr    v1.8h, v1.8h, #8
        shrn    v3.8b, v1.8h, #1
        shrn2   v3.16b, v2.8h, #8
        str     q3, [x2]
        again
        fmov    x0, d3
        ret

loop    micro_filter                    // of a picture: products, rounded and saturated to bytes
        ldr     x1, =bytes
        movi    v5.16b, #0
1:      and     x2, x0, #31
        add     x2, x1, x2, lsl #4
        ldp     q0, q1, [x2]
        sqrdmulh v2.8h, v0.8h, v1.8h
        srshr   v3.8h, v2.8h, #3
        sqadd   v3.8h, v3.8h, v1.8h
        sqrshrun v4.8b, v3.8h, #4
        sqxtun2 v4.16b, v0.8h
        rshrn   v2.8b, v0.8h, #5
        raddhn2 v2.16b, v0.8h, v1.8h
        uhadd   v4.16b, v4.16b, v2.16b
        usqadd  v5.16b, v4.16b
        again
        fmov    x0, d5
        ret

loop    micro_dot_bytes                 // as quantized networks do
        ldr     x1, =bytes
        movi    v0.4s, #0
        movi    v1.4s, #0
1:      and     x2, x0, #31
        add     x2, x1, x2, lsl #4
        ldp     q2, q3, [x2]
        sdot    v0.4s, v2.16b, v3.4b[1]
        udot    v1.4s, v2.16b, v3.16b
        again
        eor     v0.16b, v0.16b, v1.16b
        addv    s0, v0.4s
        fmov    w0, s0
        ret

loop    micro_saturate                  // of words, as speech codecs do
        ldr     x1, =bytes
        movi    v5.4s, #0
        movi    v6.4s, #0
1:      and     x2, x0, #31
        add     x2, x1, x2, lsl #4
        ldp     q0, q1, [x2]
        sqdmulh v2.4s, v0.4s, v1.4s
        sqadd   v5.4s, v5.4s, v2.4s
        sqshl   v3.4s, v2.4s, #3
        sqsub   v6.4s, v6.4s, v3.4s
        sqxtn   v4.4h, v5.4s
        sqneg   v4.4h, v4.4h
        again
        eor     v0.16b, v5.16b, v6.16b
        eor     v0.16b, v0.16b, v4.16b
        fmov    x0, d0
        ret

loop    micro_shift_each                // by registers, as compilers write shifts to the right
        ldr     x1, =bytes
        ldp     q0, q1, [x1]
        movi    v2.4s, #5
        neg     v3.4s, v2.4s
1:      ushl    v4.4s, v0.4s, v3.4s
        sshl    v5.8h, v1.8h, v2.8h
        srshl   v6.2d, v1.2d, v3.2d
        add     v0.4s, v0.4s, v4.4s
        eor     v1.16b, v5.16b, v6.16b
        add     v1.4s, v1.4s, v0.4s
        again
        eor     v0.16b, v0.16b, v1.16b
        fmov    x0, d0
        ret

loop    micro_popcount                  // as compilers write it
        ldr     x1, =0xfedcba9876543210
        mov     x2, #0
1:      fmov    d0, x1
        cnt     v0.8b, v0.8b
        addv    b0, v0.8b
        fmov    w3, s0
        add     x2, x2, x3
        add     x1, x1, x2
        again
        mov     x0, x2
        ret

loop    micro_ld1_st1
        ldr     x1, =bytes
        add     x2, x1, #512
1:      mov     x3, x1
        mov     x4, x2
        ld1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x3], #64
        st1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x4], #64
        ld1     {v4.16b}, [x3], #16
        ld1r    {v5.4s}, [x3]
        st1     {v4.16b, v5.16b}, [x4]
        again
        ldr     x0, [x2, #64]
        ret

loop    micro_ld3_st3                   // pixels of three bytes, sorted by colour and back
        ldr     x1, =bytes
        add     x2, x1, #512
1:      ld3     {v0.16b, v1.16b, v2.16b}, [x1]
        uhadd   v0.16b, v0.16b, v1.16b
        eor     v2.16b, v2.16b, v0.16b
        st3     {v0.16b, v1.16b, v2.16b}, [x2]
        again
        ldr     x0, [x2, #16]
        ret

loop    micro_ld4_lanes                 // complex numbers: pairs of two, and a lane of each
        ldr     x1, =bytes
        add     x2, x1, #512
1:      ld2     {v0.4s, v1.4s}, [x1]
        ld4     {v2.2s, v3.2s, v4.2s, v5.2s}, [x1]
        add     v0.4s, v0.4s, v1.4s
        ld2     {v2.s, v3.s}[1], [x1]
        eor     v0.16b, v0.16b, v3.16b
        st2     {v0.4s, v1.4s}, [x2]
        again
        ldr     x0, [x2, #16]
        ret

// --- crypto ---

loop    micro_aes_encrypt               // a block after another, as CBC does: ten rounds
        ldr     x1, =bytes
        ldp     q0, q1, [x1]
1:      .rept   9
        aese    v0.16b, v1.16b
        aesmc   v0.16b, v0.16b
        .endr
        aese    v0.16b, v1.16b
        eor     v0.16b, v0.16b, v1.16b
        again
        fmov    x0, d0
        ret

loop    micro_aes_decrypt               // four blocks side by side
        ldr     x1, =bytes
        ldp     q0, q1, [x1]
        ldp     q2, q3, [x1, #32]
        ldr     q4, [x1, #64]
1:      .rept   9
        aesd    v0.16b, v4.16b
        aesimc  v0.16b, v0.16b
        aesd    v1.16b, v4.16b
        aesimc  v1.16b, v1.16b
        aesd    v2.16b, v4.16b
        aesimc  v2.16b, v2.16b
        aesd    v3.16b, v4.16b
        aesimc  v3.16b, v3.16b
        .endr
        again
        eor     v0.16b, v0.16b, v1.16b
        eor     v2.16b, v2.16b, v3.16b
        eor     v0.16b, v0.16b, v2.16b
        fmov    x0, d0
        ret

loop    micro_ghash                     // a block of GCM: four products, folded
        ldr     x1, =bytes
        ldp     q0, q1, [x1]
        movi    v7.8h, #0xc2, lsl #8
1:      ext     v2.16b, v0.16b, v0.16b, #8
        pmull   v3.1q, v0.1d, v1.1d
        pmull2  v4.1q, v0.2d, v1.2d
        pmull   v5.1q, v2.1d, v1.1d
        pmull2  v6.1q, v2.2d, v1.2d
        eor     v5.16b, v5.16b, v6.16b
        pmull   v6.1q, v3.1d, v7.1d
        eor     v3.16b, v3.16b, v6.16b
        eor     v4.16b, v4.16b, v5.16b
        eor     v0.16b, v3.16b, v4.16b
        again
        fmov    x0, d0
        ret

loop    micro_sha1                      // four rounds of a kind each
        ldr     x1, =bytes
        ldp     q0, q1, [x1]
        ldp     q2, q3, [x1, #32]
        ldr     q4, [x1, #64]
1:      sha1h   s5, s0
        sha1c   q0, s4, v1.4s
        sha1su0 v1.4s, v2.4s, v3.4s
        sha1h   s6, s0
        sha1p   q0, s5, v2.4s
        sha1su1 v1.4s, v4.4s
        sha1m   q0, s6, v3.4s
        again
        eor     v0.16b, v0.16b, v1.16b
        fmov    x0, d0
        ret

loop    micro_sha256                    // four rounds and four words of the schedule
        ldr     x1, =bytes
        ldp     q0, q1, [x1]
        ldp     q2, q3, [x1, #32]
        ldp     q4, q5, [x1, #64]
1:      add     v6.4s, v2.4s, v5.4s
        mov     v7.16b, v0.16b
        sha256su0 v2.4s, v3.4s
        sha256h q0, q1, v6.4s
        sha256h2 q1, q7, v6.4s
        sha256su1 v2.4s, v4.4s, v5.4s
        again
        eor     v0.16b, v0.16b, v2.16b
        fmov    x0, d0
        ret

loop    micro_sha512                    // two rounds and two words of the schedule
        ldr     x1, =bytes
        ldp     q0, q1, [x1]
        ldp     q2, q3, [x1, #32]
        ldp     q4, q5, [x1, #64]
1:      ext     v6.16b, v2.16b, v3.16b, #8
        sha512su0 v4.2d, v5.2d
        sha512h q0, q6, v1.2d
        sha512su1 v4.2d, v2.2d, v6.2d
        add     v2.2d, v1.2d, v0.2d
        sha512h2 q0, q1, v3.2d
        again
        eor     v0.16b, v0.16b, v2.16b
        eor     v0.16b, v0.16b, v4.16b
        fmov    x0, d0
        ret
        .ltorg
