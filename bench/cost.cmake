# What an exit costs: bench_exit and bench_walk, and the model of nested guests made from their
# figures and from published ones.
add_executable(bench_exit bench_exit.cc)
target_link_libraries(bench_exit PRIVATE trapline_vmm benchmark::benchmark)
