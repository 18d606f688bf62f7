// The process around the machine: descriptors, signals that are faults, messages on standard error.
#ifndef TRAPLINE_VMM_CLI_PROCESS_H_
#define TRAPLINE_VMM_CLI_PROCESS_H_

namespace trapline {

// First thing in main(): standard descriptors that were closed become /dev/null (a disk that got
// descriptor 2 would receive what is printed); a fault restores the terminal; what nothing catches
// ends in one line and status 1; writing where nobody reads, or past a file's size limit, is an
// error of that write.
void prepare_process();

}  // namespace trapline

#endif  // TRAPLINE_VMM_CLI_PROCESS_H_
