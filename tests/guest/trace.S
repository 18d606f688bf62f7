// For recording and replay: what a fault of a decoder or of a cache would change. A sign extension, a
// write-back, and an instruction that is replaced where it stands. With --isv never each access is
// decoded.
#include "guest.inc"

        .equ    PRIO, GICD + 0x420      // SPI 32 and up

        prologue

main:
        ldr     x21, =PRIO
        mov     w1, #0xc0
        strb    w1, [x21]
        mov     w22, #20
again:
        ldrsb   x2, [x21]               // 0xffffffffffffffc0
        mov     x3, x21
        ldr     w4, [x3], #8            // x3: PRIO + 8

        // Here stands `ldrb w5, [x21]` and `ldrsb w5, [x21]` in turn.
        adr     x6, patched
        ldr     w7, =0x394002a5         // ldrb w5, [x21]
        tst     w22, #1
        b.eq    1f
        ldr     w7, =0x39c002a5         // ldrsb w5, [x21]
1:      str     w7, [x6]
        dc      cvau, x6
        dsb     ish
        ic      ivau, x6
        dsb     ish
        isb
patched:
        ldrb    w5, [x21]
        subs    w22, w22, #1
        b.ne    again
        b       finish
        epilogue
