// A machine that does what it is told.
#ifndef TRAPLINE_TESTS_VMM_CONTROL_FAKE_MACHINE_H_
#define TRAPLINE_TESTS_VMM_CONTROL_FAKE_MACHINE_H_

#include <optional>
#include <string>

#include "vmm/control/controlled.h"

namespace trapline {

class FakeMachine final : public Controlled {
 public:
  FakeMachine() {
    live_report.report.latency = std::make_unique<ExitLatency>();
    live_report.vcpus.resize(2);
  }
  MachineStatus status() override { return state; }
  LiveReport live() override {
    LiveReport out;
    out.report.latency = std::make_unique<ExitLatency>();
    out.report.latency->merge(*live_report.report.latency);
    out.report.total.merge(live_report.report.total);
    out.report.ns_per_cycle = live_report.report.ns_per_cycle;
    out.vcpus = live_report.vcpus;
    return out;
  }
  Result<Picture> picture() override {
    if (screen.width == 0) return Error{"nothing there"};
    return screen;
  }
  std::string profile_start() override { return called("start"); }
  std::string profile_stop() override { return called("stop"); }
  std::string profile_reset() override { return called("reset"); }
  std::optional<RunReport> report_now() override { return std::nullopt; }
  std::optional<virtio::Balloon::Shown> balloon() override { return lent; }
  std::string set_balloon(uint64_t bytes) override {
    return called("balloon " + std::to_string(bytes));
  }
  std::string pause_guest() override { return called("pause"); }
  std::string resume_guest() override { return called("resume"); }
  std::string reset_guest() override { return called("reset_guest"); }
  std::string end_guest(int status, const std::string&) override {
    return called("end " + std::to_string(status));
  }

  MachineStatus state;
  Picture screen;
  std::optional<virtio::Balloon::Shown> lent;
  LiveReport live_report;
  std::string calls;   // what was called
  std::string answer;  // to that

 private:
  std::string called(const std::string& what) {
    calls += what + ";";
    return answer;
  }
};

}  // namespace trapline

#endif  // TRAPLINE_TESTS_VMM_CONTROL_FAKE_MACHINE_H_
