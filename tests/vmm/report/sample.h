// A small profile that has one of everything.
#ifndef TRAPLINE_TESTS_VMM_REPORT_SAMPLE_H_
#define TRAPLINE_TESTS_VMM_REPORT_SAMPLE_H_

#include "vmm/report/profile.h"

namespace trapline {

// 2 vCPUs; 100 exits at pl011 UARTFR (70 and 30), 10 of a WFI, 5 of no row of their own.
Profile sample_profile();
// The same exits one by one: 10 ms apart, the n-th took 100 * n ns; row 0, 1, 0, 1, ...
Profile sample_with_events();

}  // namespace trapline

#endif  // TRAPLINE_TESTS_VMM_REPORT_SAMPLE_H_
