// DC ZVA on Device memory (here: the MMU is off) is the guest's own alignment fault, like any other
// access that the memory type refuses, and zeroes nothing (C6.2, "DC ZVA"; D7.5.9).
#include "guest.inc"

        prologue
main:
        ldr     x21, =GICD + 0x440
        mov     w1, #0x10
        str     w1, [x21]
        expect_exception 1f
        dc      zva, x21
1:      exception_taken
        and     x12, x9, #0xfc000000
        and     x13, x9, #0x3f
        orr     x12, x12, x13
        check   "dc zva: alignment fault", x12, 0x94000021
        check   "dc zva: FAR", x10, GICD + 0x440
        ldr     w12, [x21]
        check   "dc zva: nothing is zeroed", x12, 0x10
        b       finish
        epilogue
