// A guest that jumps into a device, or to where nothing is, takes a prefetch abort.
#include "guest.inc"

        prologue

        .macro  jump name, address
        ldr     x21, =\address
        expect_exception 1f
        br      x21
1:      exception_taken
        and     x12, x9, #0xfc000000
        check   "\name: exception class", x12, 0x84000000  // EC 0x21, Instruction Abort, same EL
        and     x12, x9, #0x3f
        check   "\name: fault status", x12, 0x10
        check   "\name: FAR", x10, \address
        check   "\name: ELR", x11, \address
        .endm

main:
        jump    "PL011", PL011
        jump    "GICD", GICD + 0x100
        jump    "hole", HOLE
        b       finish

        epilogue
