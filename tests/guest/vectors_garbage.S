// A guest whose vectors are garbage: each exception's handler is an undefined instruction, for ever.
// The VMM must end it with status 2 and a register dump. x5 is a value to find in the dump.
#include "guest.inc"

        prologue
main:
        ldr     x5, =0x5eed0fca5e
        adr     x1, garbage
        msr     vbar_el1, x1
        isb
        svc     #0
        b       finish
        .ltorg
        .balign 2048
garbage:
        .fill   512, 4, 0               // UDF #0
        epilogue
