# The benchmark guests, which run under Trapline and QEMU alike (bench/roundtrip_vs_qemu,
# bench/cpu_micro_vs_qemu), and bench_cpu, which drives the software CPU alone.
find_program(GUEST_CLANG NAMES clang clang-14)
find_program(GUEST_LLD NAMES ld.lld ld.lld-14)
if(GUEST_CLANG AND GUEST_LLD)
  set(BENCH_GUEST ${CMAKE_CURRENT_SOURCE_DIR}/guest)
  set(BENCH_GUEST_IMAGE ${CMAKE_CURRENT_BINARY_DIR}/guest.bin)
  set(MICRO_GUEST_IMAGE ${CMAKE_CURRENT_BINARY_DIR}/micro.bin)
  # guest_image(IMAGE SOURCES...): what every guest has, and these.
  function(guest_image image)
    list(TRANSFORM ARGN PREPEND ${BENCH_GUEST}/ OUTPUT_VARIABLE sources)
    add_custom_command(
      OUTPUT ${image}
      COMMAND ${GUEST_CLANG} --target=aarch64-none-elf -march=armv8-a -mstrict-align -mgeneral-regs-only -std=gnu11
              -O2 -Wall -Wextra -Werror -ffreestanding -fno-builtin -fno-pic -nostdlib -static
              -fuse-ld=lld -Wl,-T,${BENCH_GUEST}/guest.ld -Wl,--oformat=binary -Wl,--build-id=none
              ${BENCH_GUEST}/start.S ${BENCH_GUEST}/machine.c ${sources} -o ${image}
      DEPENDS ${BENCH_GUEST}/start.S ${BENCH_GUEST}/machine.c ${sources} ${BENCH_GUEST}/guest.h
              ${BENCH_GUEST}/measure.h ${BENCH_GUEST}/micro_names.h ${BENCH_GUEST}/program.h
              ${BENCH_GUEST}/driven.h ${BENCH_GUEST}/guest.ld
      COMMENT "Compiling a benchmark guest"
      VERBATIM)
  endfunction()
  guest_image(${BENCH_GUEST_IMAGE} main.c)
  guest_image(${MICRO_GUEST_IMAGE} micro.c micro.S)
  add_custom_target(bench_guest ALL DEPENDS ${BENCH_GUEST_IMAGE} ${MICRO_GUEST_IMAGE})

  add_executable(bench_cpu bench_cpu.cc guest_rig.cc)
  target_link_libraries(bench_cpu PRIVATE trapline_machine trapline_soft benchmark::benchmark fmt::fmt)
  add_dependencies(bench_cpu bench_guest)
else()
  message(WARNING "clang or lld not found: no benchmark guest, no bench_cpu (scripts/install-deps)")
endif()
