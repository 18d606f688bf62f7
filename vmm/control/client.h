// The other end of a control socket: what `trapline list`, `stat`, `top` and `ctl` speak through.
#ifndef TRAPLINE_VMM_CONTROL_CLIENT_H_
#define TRAPLINE_VMM_CONTROL_CLIENT_H_

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "vmm/config/result.h"

namespace trapline {

class ControlClient {
 public:
  static constexpr int kTimeoutS = 30;

  // The error names the VM, and those that are there if it is not.
  static Result<ControlClient> connect(const std::string& name, int timeout_s = kTimeoutS);

  ControlClient(ControlClient&& other) noexcept;
  ControlClient& operator=(ControlClient&& other) noexcept;
  ~ControlClient();

  // The reply, whose "ok" is true.
  // The descriptors go with it; they stay the caller's.
  Result<nlohmann::json> request(const nlohmann::json& request, std::span<const int> passed = {});
  // The next line, as it came, without its end; events. False: the VM is gone.
  bool next_line(std::string& line, bool wait_for_ever);

 private:
  ControlClient(std::string name, int fd) : name_(std::move(name)), fd_(fd) {}
  Error gone() const;

  std::string name_;
  int fd_;
  std::string input_;
  size_t searched_ = 0;
};

}  // namespace trapline

#endif  // TRAPLINE_VMM_CONTROL_CLIENT_H_
