// On KVM: a load-exclusive of a device's register whose store-exclusive is beyond the stepper's reach gets
// an external abort, and one whose store is within it goes on.
#include "guest.inc"

        prologue

        .macro  check_abort name
        exception_taken
        and     x12, x9, #0xfc000000
        check   "\name: exception class", x12, 0x94000000
        and     x12, x9, #0x3f
        check   "\name: fault status", x12, 0x10
        check   "\name: FAR", x10, GICD + 0x420
        .endm

main:
        ldr     x21, =GICD + 0x420
        ldr     w2, =0x50505050
        str     w2, [x21]

        expect_exception 1f
        ldxr    w2, [x21]
        fmov    s0, w2
        stxr    w3, w2, [x21]
1:      check_abort "a vector register"

        expect_exception 1f
        ldxr    w2, [x21]
        .rept   64
        nop
        .endr
        stxr    w3, w2, [x21]
1:      check_abort "too far"

1:      ldxr    w2, [x21]
        .rept   61
        nop
        .endr
        add     w2, w2, #8
        stxr    w3, w2, [x21]
        cbnz    w3, 1b
        ldr     w2, [x21]
        check   "near enough", x2, 0x50505058
        b       finish

        epilogue
