// A guest that touches an address where nothing is gets a synchronous external abort, for each kind
// of access, and lives on. A pair half in a device and half in a hole changes nothing.
#include "guest.inc"

        prologue

        // EC 0x25 (Data Abort, same EL), IL, DFSC 0x10 (synchronous external abort, not on a walk),
        // D17.2.37. WnR and ISS bits that describe the access are masked off.
        .macro  check_abort name, address, wnr
        exception_taken
        and     x12, x9, #0xfc000000
        check   "\name: exception class", x12, 0x94000000
        and     x12, x9, #0x3f
        check   "\name: fault status", x12, 0x10
        ubfx    x12, x9, #6, #1
        check   "\name: WnR", x12, \wnr
        check   "\name: FAR", x10, \address
        .endm

main:
        ldr     x21, =HOLE
        mov     x1, #0x77

        expect_exception 1f
        ldr     w1, [x21]
1:      check_abort "ldr", HOLE, 0
        check   "ldr: the destination is unchanged", x1, 0x77

        expect_exception 1f
        str     w1, [x21, #8]
1:      check_abort "str", HOLE + 8, 1

        expect_exception 1f
        ldrb    w1, [x21, #1]
1:      check_abort "ldrb", HOLE + 1, 0

        mov     x2, #0x88
        mov     x22, x21
        expect_exception 1f
        ldp     w1, w2, [x22], #8
1:      check_abort "ldp post-index", HOLE, 0
        check   "ldp: first destination is unchanged", x1, 0x77
        check   "ldp: second destination is unchanged", x2, 0x88
        check   "ldp: the base is unchanged", x22, HOLE

        expect_exception 1f
        str     x1, [x22, #16]!
1:      check_abort "str pre-index", HOLE + 16, 1
        check   "str pre-index: the base is unchanged", x22, HOLE

        expect_exception 1f
        ldr     q0, [x21]
1:      check_abort "ldr q", HOLE, 0

        // The last word of PL011's page is a device's, the next one nobody's.
        ldr     x22, =PL011 + 0xffc
        expect_exception 1f
        ldp     w1, w2, [x22], #8
1:      exception_taken
        and     x12, x9, #0x3f
        check   "half in a hole: fault status", x12, 0x10
        check   "half in a hole: first destination is unchanged", x1, 0x77
        check   "half in a hole: the base is unchanged", x22, PL011 + 0xffc
        b       finish

        epilogue
