# The engine. The handlers' tail calls must not grow the stack, so these files are compiled with
# sibling-call optimisation in every build type, and without what would get in its way.
set(TRAPLINE_HANDLER_SOURCES ops_immediate.cc ops_register.cc ops_branch.cc ops_system.cc
    ops_memory.cc ops_ordered.cc ops_fused.cc ops_fp.cc slow_path.cc)
target_sources(trapline_soft PRIVATE engine.cc block.cc tlb.cc maintenance.cc engine_debug.cc
               ${TRAPLINE_HANDLER_SOURCES})
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_sources(trapline_soft PRIVATE translate_x64.cc translate_integer.cc translate_memory.cc
                 translate_branch.cc)
else()
  target_sources(trapline_soft PRIVATE translate_none.cc)
endif()
set(TRAPLINE_HANDLER_OPTIONS -O2 -foptimize-sibling-calls -fno-stack-protector -fno-exceptions)
if(TRAPLINE_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # ThreadSanitizer must see what the handlers do to guest memory; its calls at a function's end
  # would keep tail calls from being jumps.
  list(APPEND TRAPLINE_HANDLER_OPTIONS --param=tsan-instrument-func-entry-exit=0)
else()
  list(APPEND TRAPLINE_HANDLER_OPTIONS -fno-sanitize=all)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Each handler keeps its own dispatch jump, for the sake of the host's branch predictor.
  list(APPEND TRAPLINE_HANDLER_OPTIONS -fno-crossjumping -fno-gcse)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND TRAPLINE_HANDLER_OPTIONS -mcx16 -fcf-protection=none)
endif()
set_source_files_properties(${TRAPLINE_HANDLER_SOURCES} PROPERTIES
                            COMPILE_OPTIONS "${TRAPLINE_HANDLER_OPTIONS}")
