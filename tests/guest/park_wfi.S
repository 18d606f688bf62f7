// Waits in WFI with the timer armed, but no interrupt is let through.
#include "guest.inc"

        prologue
main:
        mov     x1, #1
        msr     cntv_ctl_el0, x1
1:      wfi
        b       1b
        epilogue
