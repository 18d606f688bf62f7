// Runs one instruction per record: loads the state, executes the word, stores the state back into
// the record. Standard input: RECORDS records; standard output: the same after execution. SP walks
// the records, so that every X register but x30 (the link) belongs to the instruction under test.
//
// A record (784 bytes): x0..x29 at 0, NZCV 240, FPCR 248, FPSR 256, v0..v31 at 272.
// cases.inc holds one `CASE word` a record.
        .set RECORD, 784

        .bss
        .balign 16
buffer: .skip RECORDS * RECORD

        .text
        .global _start
_start: adrp    x20, buffer
        add     x20, x20, :lo12:buffer
        mov     x21, x20
        ldr     x22, =(RECORDS * RECORD)
1:      mov     x0, #0                  // read(0, x21, x22)
        mov     x1, x21
        mov     x2, x22
        mov     x8, #63
        svc     #0
        cmp     x0, #0
        b.le    fail
        add     x21, x21, x0
        subs    x22, x22, x0
        b.ne    1b
        mov     sp, x20

        .macro CASE word
        bl      load
        .inst   \word
        bl      store
        .endm
        .include "cases.inc"

        adrp    x20, buffer
        add     x20, x20, :lo12:buffer
        ldr     x22, =(RECORDS * RECORD)
2:      mov     x0, #1                  // write(1, x20, x22)
        mov     x1, x20
        mov     x2, x22
        mov     x8, #64
        svc     #0
        cmp     x0, #0
        b.le    fail
        add     x20, x20, x0
        subs    x22, x22, x0
        b.ne    2b
        mov     x0, #0
        mov     x8, #93
        svc     #0
fail:   mov     x0, #1
        mov     x8, #93
        svc     #0
        .ltorg

load:   ldr     x0, [sp, #240]
        msr     nzcv, x0
        ldr     x0, [sp, #248]
        msr     fpcr, x0
        ldr     x0, [sp, #256]
        msr     fpsr, x0
        ldp     q0, q1, [sp, #272]
        ldp     q2, q3, [sp, #304]
        ldp     q4, q5, [sp, #336]
        ldp     q6, q7, [sp, #368]
        ldp     q8, q9, [sp, #400]
        ldp     q10, q11, [sp, #432]
        ldp     q12, q13, [sp, #464]
        ldp     q14, q15, [sp, #496]
        ldp     q16, q17, [sp, #528]
        ldp     q18, q19, [sp, #560]
        ldp     q20, q21, [sp, #592]
        ldp     q22, q23, [sp, #624]
        ldp     q24, q25, [sp, #656]
        ldp     q26, q27, [sp, #688]
        ldp     q28, q29, [sp, #720]
        ldp     q30, q31, [sp, #752]
        ldp     x0, x1, [sp, #0]
        ldp     x2, x3, [sp, #16]
        ldp     x4, x5, [sp, #32]
        ldp     x6, x7, [sp, #48]
        ldp     x8, x9, [sp, #64]
        ldp     x10, x11, [sp, #80]
        ldp     x12, x13, [sp, #96]
        ldp     x14, x15, [sp, #112]
        ldp     x16, x17, [sp, #128]
        ldp     x18, x19, [sp, #144]
        ldp     x20, x21, [sp, #160]
        ldp     x22, x23, [sp, #176]
        ldp     x24, x25, [sp, #192]
        ldp     x26, x27, [sp, #208]
        ldp     x28, x29, [sp, #224]
        ret

store:  stp     x0, x1, [sp, #0]
        stp     x2, x3, [sp, #16]
        stp     x4, x5, [sp, #32]
        stp     x6, x7, [sp, #48]
        stp     x8, x9, [sp, #64]
        stp     x10, x11, [sp, #80]
        stp     x12, x13, [sp, #96]
        stp     x14, x15, [sp, #112]
        stp     x16, x17, [sp, #128]
        stp     x18, x19, [sp, #144]
        stp     x20, x21, [sp, #160]
        stp     x22, x23, [sp, #176]
        stp     x24, x25, [sp, #192]
        stp     x26, x27, [sp, #208]
        stp     x28, x29, [sp, #224]
        mrs     x0, nzcv
        str     x0, [sp, #240]
        mrs     x0, fpcr
        str     x0, [sp, #248]
        mrs     x0, fpsr
        str     x0, [sp, #256]
        stp     q0, q1, [sp, #272]
        stp     q2, q3, [sp, #304]
        stp     q4, q5, [sp, #336]
        stp     q6, q7, [sp, #368]
        stp     q8, q9, [sp, #400]
        stp     q10, q11, [sp, #432]
        stp     q12, q13, [sp, #464]
        stp     q14, q15, [sp, #496]
        stp     q16, q17, [sp, #528]
        stp     q18, q19, [sp, #560]
        stp     q20, q21, [sp, #592]
        stp     q22, q23, [sp, #624]
        stp     q24, q25, [sp, #656]
        stp     q26, q27, [sp, #688]
        stp     q28, q29, [sp, #720]
        stp     q30, q31, [sp, #752]
        add     sp, sp, #RECORD
        ret
