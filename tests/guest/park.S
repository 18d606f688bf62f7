// Waits for what cannot come: no interrupt is enabled anywhere. A hypervisor that finds itself at EL1
// ends so.
#include "guest.inc"

        prologue
main:
1:      wfe
        b       1b
        epilogue
