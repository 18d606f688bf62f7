# What wants a KVM (label kvm). TRAPLINE_KVM_HOST is where it is: `native`, on an arm64 host that has one, or
# a qemu-system-aarch64, which runs Debian's arm64 kernel with EL2. The build of that host's programs is
# ${host_build}: it has the guests, and a trapline that replays what a KVM has recorded.
if(NOT TRAPLINE_KVM_HOST)
  return()
endif()
set(guests ${host_build}/tests/guest)
if(TRAPLINE_KVM_HOST STREQUAL "native")
  set(sysroot /)
  set(changes_host)
  find_program(QEMU_SYSTEM_AARCH64 qemu-system-aarch64)
  set(arm64_qemu ${QEMU_SYSTEM_AARCH64})
else()
  set(sysroot ${CMAKE_SYSROOT})
  set(changes_host choice events.none)
  set(arm64_qemu ${CMAKE_SOURCE_DIR}/.cache/arm64-qemu/usr/bin/qemu-system-aarch64)
endif()

# kvm_test(NAME SCRIPT ARGS...): Python is the building host's own, so not by its target, which would be
# emulated, too.
function(kvm_test name script)
  add_test(NAME guest.${name}
           COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${script} ${TRAPLINE_KVM_HOST}
                   ${GUEST_DIR} $<TARGET_FILE:trapline> ${sysroot} ${ARGN})
  set_tests_properties(guest.${name} PROPERTIES TIMEOUT 700 SKIP_RETURN_CODE 77 LABELS "guest;kvm")
endfunction()

# The backend.
add_library(no_nisv MODULE kvm/no_nisv.c)
set_target_properties(no_nisv PROPERTIES PREFIX "")
foreach(group bare run linux events perf edk2)
  set(groups ${group})
  if(group STREQUAL "bare")
    list(APPEND groups old ${changes_host})
  endif()
  kvm_test(kvm.${group} kvm/kvm_test.py ${guests}:$<TARGET_FILE_DIR:no_nisv> ${groups})
endforeach()
if(NOT TRAPLINE_KVM_HOST STREQUAL "native")
  # The same, where the KVM is a guest of Trapline's own.
  add_test(NAME guest.kvm.inside
           COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/kvm/kvm_test.py ${host_build}/trapline
                   ${GUEST_DIR} $<TARGET_FILE:trapline> ${sysroot} ${guests}:$<TARGET_FILE_DIR:no_nisv> bare linux)
  set_tests_properties(guest.kvm.inside PROPERTIES TIMEOUT 700 SKIP_RETURN_CODE 77 LABELS "guest;kvm")
endif()
set_tests_properties(guest.kvm.edk2 guest.kvm.perf PROPERTIES LABELS "guest;kvm;long")

# The drop-in under VMMs that know nothing of it: two small ones, and Debian's QEMU (scripts/arm64-qemu; of
# an arm64 host its own), which a static program is beside.
if(NOT TARGET trapline_nisv_preload)
  return()
endif()
foreach(vmm plain busy)
  add_executable(${vmm}_vmm nisv/${vmm}_vmm.c)
  target_link_libraries(${vmm}_vmm PRIVATE Threads::Threads)
  set_target_properties(${vmm}_vmm PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
endforeach()
add_executable(static_vmm nisv/plain_vmm.c)
add_executable(in_linux nisv/in_linux.c)
foreach(static static_vmm in_linux)
  target_link_libraries(${static} PRIVATE Threads::Threads)
  target_link_options(${static} PRIVATE -static)
  set_target_properties(${static} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
endforeach()
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
set(built ${CMAKE_CURRENT_BINARY_DIR}:$<TARGET_FILE:trapline_nisv_preload>:$<TARGET_FILE:no_nisv>)
foreach(group plain busy qemu linux)
  kvm_test(nisv.${group} nisv/nisv_test.py ${built} ${guests} "${arm64_qemu}" ${group})
endforeach()

# Each class of load and store on the backend, under the drop-in and in the C library's example.
add_executable(kvm_vmm ${CMAKE_SOURCE_DIR}/vmm/embed/examples/kvm_vmm.c)
target_link_libraries(kvm_vmm PRIVATE trapline_static)
set_target_properties(kvm_vmm PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
kvm_test(kvm.classes kvm/classes_test.py ${host_build} ${built})
if(NOT TRAPLINE_KVM_HOST STREQUAL "native")
  kvm_test(kvm.native kvm/native_test.py ${guests} ${built} ${arm64_qemu})
  set_tests_properties(guest.kvm.native PROPERTIES LABELS "guest;kvm;long")
endif()
