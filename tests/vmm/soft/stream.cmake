# Random streams against qemu-aarch64; skipped without it.
add_library(stream_cases STATIC stream_classes.cc stream_blocks.cc stream_image.cc engine_fixture.cc)
target_link_libraries(stream_cases PUBLIC fp_cases trapline_soft fmt::fmt GTest::gtest)
trapline_test(stream_test SOURCES stream_test.cc LIBS stream_cases trapline_capstone)
add_test(NAME Stream.TenMillion COMMAND stream_test)
set_tests_properties(Stream.TenMillion PROPERTIES LABELS long
  ENVIRONMENT "TRAPLINE_STREAM_INSTRUCTIONS=10000000;TRAPLINE_STREAM_SEED=1000")
if(TARGET trapline_llvm_oracle)
  trapline_test(undefined_test SOURCES undefined_test.cc LIBS stream_cases trapline_llvm_oracle)
endif()
