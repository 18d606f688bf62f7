# The benchmark guest, which runs under Trapline and QEMU alike (bench/roundtrip_vs_qemu), and
# bench_cpu, which drives the software CPU alone.
find_program(GUEST_CLANG NAMES clang clang-14)
find_program(GUEST_LLD NAMES ld.lld ld.lld-14)
if(GUEST_CLANG AND GUEST_LLD)
  set(BENCH_GUEST ${CMAKE_CURRENT_SOURCE_DIR}/guest)
  set(BENCH_GUEST_IMAGE ${CMAKE_CURRENT_BINARY_DIR}/guest.bin)
  add_custom_command(
    OUTPUT ${BENCH_GUEST_IMAGE}
    COMMAND ${GUEST_CLANG} --target=aarch64-none-elf -march=armv8-a -mstrict-align -mgeneral-regs-only -std=gnu11
            -O2 -Wall -Wextra -Werror -ffreestanding -fno-builtin -fno-pic -nostdlib -static
            -fuse-ld=lld -Wl,-T,${BENCH_GUEST}/guest.ld -Wl,--oformat=binary -Wl,--build-id=none
            ${BENCH_GUEST}/start.S ${BENCH_GUEST}/main.c -o ${BENCH_GUEST_IMAGE}
    DEPENDS ${BENCH_GUEST}/start.S ${BENCH_GUEST}/main.c ${BENCH_GUEST}/guest.h
            ${BENCH_GUEST}/program.h ${BENCH_GUEST}/driven.h ${BENCH_GUEST}/guest.ld
    COMMENT "Compiling the benchmark guest"
    VERBATIM)
  add_custom_target(bench_guest ALL DEPENDS ${BENCH_GUEST_IMAGE})

  add_executable(bench_cpu bench_cpu.cc guest_rig.cc)
  target_link_libraries(bench_cpu PRIVATE trapline_machine trapline_soft benchmark::benchmark fmt::fmt)
  add_dependencies(bench_cpu bench_guest)
else()
  message(WARNING "clang or lld not found: no benchmark guest, no bench_cpu (scripts/install-deps)")
endif()
