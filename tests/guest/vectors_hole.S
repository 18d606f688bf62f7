// As vectors_garbage, but the vectors are where nothing is: each exception begins with the next
// prefetch abort.
#include "guest.inc"

        prologue
main:
        ldr     x5, =0x5eed0fca5e
        ldr     x1, =HOLE
        msr     vbar_el1, x1
        isb
        svc     #0
        b       finish
        epilogue
