// Echoes what it receives on the PL011, polled as a driver does (RXFE, TXFF), until EOT (4); then
// powers off at once, whatever the transmit FIFO holds.
#include "guest.inc"

        prologue

main:
        mov     w1, #0x70               // UARTLCR_H: 8 bits, FIFOs
        str     w1, [x19, #0x2c]
1:      ldr     w1, [x19, #0x18]
        tbnz    w1, #4, 1b              // RXFE
        ldr     w2, [x19]
        and     w2, w2, #0xff
        cmp     w2, #4
        b.eq    off
2:      ldr     w1, [x19, #0x18]
        tbnz    w1, #5, 2b              // TXFF
        str     w2, [x19]
        b       1b

        epilogue
