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

# The KVM backend on Debian's arm64 KVM, under qemu-system-aarch64, which has EL2.
find_program(QEMU_SYSTEM_AARCH64 qemu-system-aarch64 NO_CMAKE_FIND_ROOT_PATH)
if(QEMU_SYSTEM_AARCH64)
  add_library(no_nisv MODULE kvm/no_nisv.c)
  set_target_properties(no_nisv PROPERTIES PREFIX "")
  foreach(name bare run linux events perf edk2)
    set(group ${name})
    if(name STREQUAL "bare")
      list(APPEND group choice old)
    endif()
    add_test(NAME guest.kvm.${name}
             COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/kvm/kvm_test.py
                     ${QEMU_SYSTEM_AARCH64} ${GUEST_DIR} $<TARGET_FILE:trapline> ${CMAKE_SYSROOT}
                     ${host_build}/tests/guest:$<TARGET_FILE_DIR:no_nisv> ${group})
    set_tests_properties(guest.kvm.${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77
                         LABELS "guest;kvm")
  endforeach()
  # The same, where the KVM is a guest of Trapline's own.
  add_test(NAME guest.kvm.inside
           COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/kvm/kvm_test.py
                   ${host_build}/trapline ${GUEST_DIR} $<TARGET_FILE:trapline> ${CMAKE_SYSROOT}
                   ${host_build}/tests/guest:$<TARGET_FILE_DIR:no_nisv> bare linux)
  set_tests_properties(guest.kvm.inside PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS "guest;kvm")
  set_tests_properties(guest.kvm.edk2 PROPERTIES TIMEOUT 700 LABELS "guest;kvm;long")
  set_tests_properties(guest.kvm.perf PROPERTIES TIMEOUT 700 LABELS "guest;kvm;long")

  # The drop-in under VMMs that know nothing of it: two small ones, and Debian's QEMU
  # (scripts/arm64-qemu), which a static program is beside.
  foreach(vmm plain busy)
    add_executable(${vmm}_vmm nisv/${vmm}_vmm.c)
    target_link_libraries(${vmm}_vmm PRIVATE Threads::Threads)
    set_target_properties(${vmm}_vmm PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
  endforeach()
  add_executable(static_vmm nisv/plain_vmm.c)
  target_link_libraries(static_vmm PRIVATE Threads::Threads)
  target_link_options(static_vmm PRIVATE -static)
  set(nisv ${CMAKE_CURRENT_SOURCE_DIR}/nisv)
  set(nisv_guest ${CMAKE_CURRENT_BINARY_DIR}/nisv_guest)
  add_custom_command(
    OUTPUT ${nisv_guest}.bin
    COMMAND ${CMAKE_C_COMPILER} -march=armv8-a -mstrict-align -ffreestanding -fno-builtin -fno-pic
            -mno-outline-atomics -O1 -Wall -Wextra -nostdlib -static -Wl,-T,${nisv}/guest.ld
            -Wl,--build-id=none -Wl,--no-warn-rwx-segments ${nisv}/start.S ${nisv}/guest.c -o ${nisv_guest}.elf
    COMMAND ${CMAKE_OBJCOPY} -O binary ${nisv_guest}.elf ${nisv_guest}.bin
    DEPENDS ${nisv}/start.S ${nisv}/guest.c ${nisv}/guest.ld
    COMMENT "Building guest nisv"
    VERBATIM)
  add_custom_target(guest_nisv ALL DEPENDS ${nisv_guest}.bin)
  foreach(group plain busy qemu)
    add_test(NAME guest.nisv.${group}
             COMMAND ${Python3_EXECUTABLE} -B ${nisv}/nisv_test.py ${QEMU_SYSTEM_AARCH64} ${GUEST_DIR}
                     $<TARGET_FILE:trapline> ${CMAKE_SYSROOT} ${CMAKE_SOURCE_DIR}/.cache/arm64-qemu
                     ${CMAKE_CURRENT_BINARY_DIR}:$<TARGET_FILE:trapline_nisv_preload>:$<TARGET_FILE:no_nisv>
                     ${host_build}/tests/guest ${group})
    set_tests_properties(guest.nisv.${group} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77
                         LABELS "guest;kvm")
  endforeach()
  # Each class of load and store on the backend, under the drop-in and in the C library's example.
  add_executable(kvm_vmm ${CMAKE_SOURCE_DIR}/vmm/embed/examples/kvm_vmm.c)
  target_link_libraries(kvm_vmm PRIVATE trapline_static)
  set_target_properties(kvm_vmm PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
  add_test(NAME guest.kvm.classes
           COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/kvm/classes_test.py ${QEMU_SYSTEM_AARCH64}
                   ${GUEST_DIR} $<TARGET_FILE:trapline> ${CMAKE_SYSROOT} ${host_build}
                   ${CMAKE_CURRENT_BINARY_DIR} $<TARGET_FILE:trapline_nisv_preload>)
  set_tests_properties(guest.kvm.classes PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS "guest;kvm")

  # Each start of a QEMU takes it seconds there; on a busy host more than the four minutes that a boot has.
  set_tests_properties(guest.nisv.qemu PROPERTIES TIMEOUT 700 LABELS "guest;kvm;long")
endif()
