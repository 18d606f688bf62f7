# What an exit costs: bench_exit and bench_walk, and the model of nested guests made from their
# figures and from published ones.
add_executable(bench_exit bench_exit.cc)
target_link_libraries(bench_exit PRIVATE trapline_machine trapline_soft benchmark::benchmark)

add_executable(bench_walk bench_walk.cc walk_rig.cc)
target_link_libraries(bench_walk PRIVATE trapline_memory benchmark::benchmark)

add_executable(nested_model nested_model.cc nested_trace.cc walk_rig.cc)
target_link_libraries(nested_model PRIVATE trapline_machine trapline_soft nlohmann_json::nlohmann_json fmt::fmt)
set_target_properties(nested_model PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)  # it counts
target_link_options(nested_model PRIVATE -fno-lto)
target_compile_definitions(nested_model PRIVATE
  TRAPLINE_PUBLISHED_COSTS="${CMAKE_CURRENT_LIST_DIR}/data/published_costs.json")
