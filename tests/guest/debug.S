// A guest to be debugged: every CPU counts for ever in work(), CPU 1 also writes `shared` and CPU 2
// reads it. The debugger finds its way by the table, and ends it by writing `quit` or `crash`.
// Nothing here needs a stack; the MMU is off.
        .section .text.start, "ax"
        .global start
start:
        b       boot
        .balign 8
table:  .quad   work, shared, counters, quit, crash, store_shared, load_shared, powered_off

boot:
        mov     x20, #1
1:      ldr     x0, =0xc4000003         // PSCI CPU_ON(target, entry, context)
        mov     x1, x20
        adr     x2, secondary
        mov     x3, x20
        hvc     #0
        add     x20, x20, #1
        cmp     x20, #8
        b.ne    1b
        mov     x0, xzr
secondary:
        mov     x19, x0                 // this CPU's number
        adrp    x22, counters
        add     x22, x22, :lo12:counters
        adrp    x23, shared
        add     x23, x23, :lo12:shared
again:
        ldr     x1, [x23, #8]           // quit
        cbnz    x1, powered_off
        ldr     x1, [x23, #16]          // crash
        cbnz    x1, crashed
        bl      work
        b       again

        .global work
        .type   work, %function
work:
        ldr     x2, [x22, x19, lsl #3]
        add     x2, x2, #1
        str     x2, [x22, x19, lsl #3]
        tst     x2, #0xff
        b.ne    1f
        cmp     x19, #1
        b.eq    2f
        cmp     x19, #2
        b.eq    3f
1:      ret
2:      lsr     x3, x2, #8
        .global store_shared
store_shared:
        str     x3, [x23]
        ret
        .global load_shared
load_shared:
3:      ldr     x3, [x23]
        ret
        .size   work, . - work

        .global powered_off
powered_off:
        ldr     x0, =0x84000008         // PSCI SYSTEM_OFF
        hvc     #0
        b       .

crashed:
        ldr     x5, =0x5eed0fca5e
        adrp    x1, garbage
        msr     vbar_el1, x1
        isb
        svc     #0
        b       .
        .ltorg

        .balign 4096
garbage:
        .fill   512, 4, 0               // UDF #0

        .data
        .balign 4096
        .global shared, counters, quit, crash
        .type   shared, %object
        .size   shared, 8
shared:   .quad 0
quit:     .quad 0
crash:    .quad 0
        .balign 4096
counters: .skip 64
