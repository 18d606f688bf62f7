// Benchmarks under the names that they were registered by: the library appends how they were run
// ("/iterations:50/manual_time"), but the names are a contract (README.md). And where the
// iterations are timed by hand, the column CPU shows that time too: the library's own CPU time
// includes what the timing leaves out, such as a sweep of 64 MiB before each exit.
#ifndef TRAPLINE_BENCH_PLAIN_NAMES_H_
#define TRAPLINE_BENCH_PLAIN_NAMES_H_

#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

namespace trapline::bench {

class PlainNames final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& context) override { return inner_->ReportContext(context); }
  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<Run> plain = runs;
    for (Run& run : plain) {
      if (run.run_name.time_type == "manual_time") {
        run.cpu_accumulated_time = run.real_accumulated_time;
      }
      run.run_name.iterations = run.run_name.time_type = "";
    }
    inner_->ReportRuns(plain);
  }
  void Finalize() override { inner_->Finalize(); }

 private:
  // As --benchmark_format says: made after benchmark::Initialize().
  std::unique_ptr<BenchmarkReporter> inner_{benchmark::CreateDefaultDisplayReporter()};
};

inline void run_under_plain_names() {
  PlainNames reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
}

}  // namespace trapline::bench

#endif  // TRAPLINE_BENCH_PLAIN_NAMES_H_
