// Echoes what it receives on a virtio-console, a buffer at a time, until a buffer ends in EOT (4).
#include "guest.inc"

        .equ    VIRTIO, 0x0a000000
        .equ    ROOM, 4096

        prologue

        .macro  set_register offset, value
        mov     w1, #\value
        str     w1, [x21, #\offset]
        .endm

        // Queue `index`, of 4 descriptors, with its rings at `base`.
        .macro  set_queue index, base
        set_register 0x30, \index       // QueueSel
        set_register 0x38, 4            // QueueNum
        adrp    x2, \base
        str     w2, [x21, #0x80]        // QueueDesc
        str     wzr, [x21, #0x84]
        add     w3, w2, #64
        str     w3, [x21, #0x90]        // QueueDriver
        str     wzr, [x21, #0x94]
        add     w3, w2, #128
        str     w3, [x21, #0xa0]        // QueueDevice
        str     wzr, [x21, #0xa4]
        set_register 0x44, 1            // QueueReady
        .endm

        // Offers descriptor 0 (the buffer, w4 bytes, flags) on queue `index` at x22; waits until it
        // is used. x23: how many were used before.
        .macro  transfer index, flags
        adrp    x2, buffer
        str     x2, [x22]
        str     w4, [x22, #8]
        mov     w3, #\flags
        strh    w3, [x22, #12]
        and     w3, w23, #3
        add     x3, x22, x3, lsl #1
        strh    wzr, [x3, #68]          // available ring
        add     w3, w23, #1
        dmb     ish
        strh    w3, [x22, #66]
        dmb     ish
        set_register 0x50, \index       // QueueNotify
1:      ldrh    w1, [x22, #130]
        cmp     w1, w3, uxth
        b.ne    1b
        dmb     ish
        .endm

main:
        ldr     x21, =VIRTIO
1:      ldr     w1, [x21, #8]           // DeviceID
        cmp     w1, #3
        b.eq    2f
        add     x21, x21, #0x200
        b       1b
2:      set_register 0x70, 0
        set_register 0x70, 1
        set_register 0x70, 3
        set_register 0x24, 0
        set_register 0x20, 0
        set_register 0x24, 1
        set_register 0x20, 1            // VERSION_1
        set_register 0x70, 11           // FEATURES_OK
        set_queue 0, receive_queue
        set_queue 1, transmit_queue
        set_register 0x70, 15           // DRIVER_OK
        mov     w24, #0                 // received
        mov     w25, #0                 // transmitted

echo:   adrp    x22, receive_queue
        mov     w23, w24
        mov     w4, #ROOM
        transfer 0, 2                   // device-writable
        and     w3, w24, #3
        add     x3, x22, x3, lsl #3
        ldr     w26, [x3, #136]         // used ring: length
        add     w24, w24, #1
        cbz     w26, echo
        adrp    x2, buffer
        sub     w3, w26, #1
        ldrb    w27, [x2, x3]
        cmp     w27, #4
        csel    w26, w3, w26, eq
        cbz     w26, 2f
        adrp    x22, transmit_queue
        mov     w23, w25
        mov     w4, w26
        transfer 1, 0
        add     w25, w25, #1
2:      cmp     w27, #4
        b.ne    echo
        b       off

        .section .bss, "aw"
        .balign 4096
receive_queue:  .skip 4096
transmit_queue: .skip 4096
buffer:         .skip 4096
        .text

        epilogue
