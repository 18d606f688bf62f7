# bench_decode: the decoder's speed beside its peers'. bench_decode_coverage: its figures against
# LLVM 19. Both oracles are optional and found here for tests/decode too.
if(NOT TARGET PkgConfig::CAPSTONE)
  message(STATUS "libcapstone-dev not found: no bench_decode")
  return()
endif()
add_executable(bench_decode ${CMAKE_CURRENT_LIST_DIR}/bench_decode.cc ${CMAKE_CURRENT_LIST_DIR}/../tests/decode/oracle_compare.cc)
target_link_libraries(bench_decode PRIVATE trapline_decode trapline_capstone PkgConfig::CAPSTONE
                      benchmark::benchmark)

include(${CMAKE_CURRENT_LIST_DIR}/../tests/decode/llvm.cmake)
if(TARGET trapline_llvm_oracle)
  target_link_libraries(bench_decode PRIVATE trapline_llvm_oracle)
  target_compile_definitions(bench_decode PRIVATE TRAPLINE_HAVE_LLVM)
  add_executable(bench_decode_coverage ${CMAKE_CURRENT_LIST_DIR}/bench_decode_coverage.cc
    ${CMAKE_CURRENT_LIST_DIR}/../tests/decode/coverage.cc
    ${CMAKE_CURRENT_LIST_DIR}/../tests/decode/oracle_compare.cc
    ${CMAKE_CURRENT_LIST_DIR}/../tests/decode/word_check.cc)
  target_link_libraries(bench_decode_coverage PRIVATE trapline_decode trapline_decode_text
                        trapline_llvm_oracle fmt::fmt)
  set_target_properties(bench_decode_coverage PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
  target_link_options(bench_decode_coverage PRIVATE -fno-lto)
endif()

pkg_check_modules(VIXL IMPORTED_TARGET vixl)
if(VIXL_FOUND)
  # Its headers warn: take them as the system's.
  target_include_directories(bench_decode SYSTEM PRIVATE ${VIXL_INCLUDE_DIRS})
  target_compile_options(bench_decode PRIVATE ${VIXL_CFLAGS_OTHER})
  target_link_libraries(bench_decode PRIVATE ${VIXL_LINK_LIBRARIES})
  target_compile_definitions(bench_decode PRIVATE TRAPLINE_HAVE_VIXL)
else()
  message(STATUS "libvixl-dev not found: bench_decode runs without VIXL")
endif()
