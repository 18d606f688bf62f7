// Resets the system at once, for ever.
#include "guest.inc"

        .equ    PSCI_SYSTEM_RESET, 0x84000009

        prologue
main:
        ldr     x0, =PSCI_SYSTEM_RESET
        hvc     #0
        b       .
        epilogue
