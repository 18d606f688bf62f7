// Interrupts masked, nothing but a branch to itself.
#include "guest.inc"

        prologue
main:
        mov     w14, #'.'
        str     w14, [x19]
        b       .
        epilogue
