// The only CPU turns itself off.
#include "guest.inc"

        .equ    PSCI_CPU_OFF, 0x84000002

        prologue
main:
        ldr     x0, =PSCI_CPU_OFF
        hvc     #0
        b       .
        epilogue
