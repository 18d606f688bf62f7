# The arm64 program, on a host of another kind, under qemu-aarch64 (cmake/arm64.cmake). Interpreted
# twice it retires some 15 million guest instructions a second; Debian's kernel is silent for the
# first 105 million. There is no seccomp under such an emulator, hence no jail.
if(NOT CMAKE_CROSSCOMPILING_EMULATOR)
  message(STATUS "no emulator: the arm64 program is built and not run")
  return()
endif()
list(JOIN CMAKE_CROSSCOMPILING_EMULATOR "' '" emulator)
set(emulated ${CMAKE_BINARY_DIR}/trapline-emulated)
file(GENERATE OUTPUT ${emulated}
     CONTENT "#!/bin/sh\nexec '${emulator}' '$<TARGET_FILE:trapline>' \"$@\"\n"
     FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)

# emulated_test(NAME SCRIPT ARGS...): Python is the host's own, so not by its target, which would be
# emulated, too.
function(emulated_test name script)
  add_test(NAME guest.${name}
           COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${emulated} ${ARGN})
  set_tests_properties(guest.${name} PROPERTIES TIMEOUT 1800 SKIP_RETURN_CODE 77 LABELS "guest")
endfunction()

emulated_test(arm64.boot emulated_test.py ${GUEST_DIR} boot --cpus 2 --sandbox off)
emulated_test(arm64.stop emulated_test.py ${GUEST_DIR} stop --cpus 2 --sandbox off)

# The same program under the host's own, not an emulator: both presets have to be built.
set(host_build ${CMAKE_SOURCE_DIR}/build/release)
add_test(NAME guest.inside
         COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/inside_test.py
                 ${host_build}/trapline ${GUEST_DIR} $<TARGET_FILE:trapline> ${CMAKE_SYSROOT}
                 ${host_build}/tests/guest/isv0.bin)
set_tests_properties(guest.inside PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS "guest")

find_program(QEMU_SYSTEM_AARCH64 qemu-system-aarch64 NO_CMAKE_FIND_ROOT_PATH)
set(TRAPLINE_KVM_HOST ${QEMU_SYSTEM_AARCH64})
include(kvm.cmake)
