// Says what a guest finds when it is entered: where it is, x0, and whether a device tree is where x0
// points and at the start of RAM. Position-independent: elf_test.py puts it anywhere.
#include "guest.inc"

        prologue

        .macro  line name, register
        adr     x15, 9901f
        bl      puts
        mov     x16, \register
        bl      puthex
        bl      newline
        b       9902f
9901:   .asciz  "\name"
        .balign 4
9902:
        .endm

main:
        mov     x21, x0
        adr     x22, start
        line    "at", x22
        line    "x0", x21
        mov     x23, xzr
        cbz     x21, 1f
        ldr     w23, [x21]              // the magic number, big-endian
        rev     w23, w23
1:      line    "x0-magic", x23
        mov     x22, #0x40000000
        ldr     w23, [x22]
        rev     w23, w23
        line    "ram-magic", x23
        adr     x22, start              // a segment's zeroes behind its bytes
        add     x22, x22, #0x10000
        ldr     x23, [x22]
        line    "behind", x23
        b       finish

        epilogue
