# LLVM 19's disassembler as an imported target, for tests and benchmarks only. Without it they are
# left out, with a message.
include_guard(GLOBAL)

find_program(LLVM_CONFIG_19 NAMES llvm-config-19)
if(LLVM_CONFIG_19)
  execute_process(COMMAND ${LLVM_CONFIG_19} --includedir OUTPUT_VARIABLE LLVM19_INCLUDE
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  execute_process(COMMAND ${LLVM_CONFIG_19} --libdir OUTPUT_VARIABLE LLVM19_LIBDIR
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  find_library(LLVM19_LIBRARY NAMES LLVM-19 HINTS ${LLVM19_LIBDIR})
endif()

if(LLVM_CONFIG_19 AND LLVM19_LIBRARY AND EXISTS ${LLVM19_INCLUDE}/llvm/MC/MCInst.h)
  add_library(trapline_llvm_oracle STATIC ${CMAKE_CURRENT_LIST_DIR}/llvm_oracle.cc)
  target_include_directories(trapline_llvm_oracle SYSTEM PRIVATE ${LLVM19_INCLUDE})
  target_link_libraries(trapline_llvm_oracle PRIVATE ${LLVM19_LIBRARY})
else()
  message(STATUS "llvm-19-dev not found: the decoder is not compared with LLVM 19")
endif()
