trapline_test(engine_test SOURCES engine_fixture.cc engine_exit_test.cc engine_inside_test.cc engine_interrupt_test.cc
              engine_order_test.cc engine_run_test.cc
              tail_call_test.cc translate_test.cc unshown_test.cc
              LIBS trapline_soft)
# The same on host code from a block's first run, and without any.
foreach(after 0 1)
  add_test(NAME engine_test.translate_after_${after} COMMAND engine_test)
  set_tests_properties(engine_test.translate_after_${after} PROPERTIES
                       ENVIRONMENT TRAPLINE_TRANSLATE_AFTER=${after})
endforeach()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND TARGET PkgConfig::CAPSTONE)
  trapline_test(x64_assembler_test SOURCES x64_assembler_test.cc LIBS PkgConfig::CAPSTONE)
endif()
