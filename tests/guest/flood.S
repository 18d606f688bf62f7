// Writes to the serial line for ever, as a driver does: never into a full FIFO.
#include "guest.inc"

        prologue
main:
        mov     w2, #'0'
1:      ldr     w1, [x19, #0x18]        // UARTFR
        tbnz    w1, #5, 1b              // TXFF
        str     w2, [x19]
        add     w2, w2, #1
        cmp     w2, #'z'
        b.ls    1b
        b       main
        epilogue
