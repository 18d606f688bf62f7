// Writes 40,000 lines of a counter in hexadecimal and never looks whether the PL011 has room.
#include "guest.inc"

        prologue

main:
        mov     w20, #0
        mov     w21, #40000
1:      mov     w2, #28
2:      lsr     w3, w20, w2
        and     w3, w3, #15
        cmp     w3, #10
        add     w4, w3, #'0'
        add     w3, w3, #('a' - 10)
        csel    w3, w4, w3, lo
        str     w3, [x19]
        subs    w2, w2, #4
        b.pl    2b
        mov     w3, #'\n'
        str     w3, [x19]
        add     w20, w20, #1
        cmp     w20, w21
        b.ne    1b
        b       off

        epilogue
