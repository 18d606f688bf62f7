trapline_test(engine_test SOURCES engine_fixture.cc engine_exit_test.cc engine_inside_test.cc engine_run_test.cc
              unshown_test.cc
              LIBS trapline_soft)
