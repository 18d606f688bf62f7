#include "vmm/jail/filter.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

namespace trapline::jail {
namespace {

bool is_needed(Need need, const Needs& needs) {
  switch (need) {
    case Need::kAlways:
      return true;
    case Need::kKvm:
      return needs.kvm;
    case Need::kTap:
      return needs.tap;
    case Need::kNbd:
      return needs.nbd;
  }
  return false;
}

// The number of a call; negative where this processor has none of that name.
int number_of(const char* name) { return seccomp_syscall_resolve_name(name); }

// Equal to `a`; or, masked, the bits of `a` are `b`.
scmp_arg_cmp is(unsigned argument, scmp_compare how, uint64_t a, uint64_t b = 0) {
  return {.arg = argument, .op = how, .datum_a = a, .datum_b = b};
}

int allow(scmp_filter_ctx filter, const Call& call) {
  const int number = number_of(call.name);
  if (number < 0) return 0;
  switch (call.test) {
    case Test::kNone:
      return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
    case Test::kEquals:
      return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                              is(call.argument, SCMP_CMP_EQ, call.value));
    case Test::kHasNone:
      return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                              is(call.argument, SCMP_CMP_MASKED_EQ, call.value, 0));
    case Test::kIsThisProcess:
      return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
                              is(call.argument, SCMP_CMP_EQ, static_cast<uint64_t>(getpid())));
  }
  return 0;
}

int fill(scmp_filter_ctx filter, std::span<const Call> calls, const Needs& needs) {
  int error = 0;
  const auto set = [&](scmp_filter_attr attribute, uint32_t value) {
    if (error == 0) error = seccomp_attr_set(filter, attribute, value);
  };
  set(SCMP_FLTATR_CTL_TSYNC, 1);
  set(SCMP_FLTATR_CTL_NNP, 1);
  // Kernels before 5.16 slow a filtered process down against Spectre v4 unless it says that it
  // needs no such thing: nothing in this process is a secret from its guest but other guests'.
  set(SCMP_FLTATR_CTL_SSB, 1);
  set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0) {
    // A list instead of a tree: slower, and as good.
  }
  for (const Call& call : calls) {
    if (error == 0 && is_needed(call.need, needs)) error = allow(filter, call);
  }
  for (const Refused& call : refused_calls()) {
    const int number = number_of(call.name);
    const bool allowed = std::any_of(calls.begin(), calls.end(), [&](const Call& one) {
      return std::string_view(one.name) == call.name;
    });
    if (error != 0 || number < 0 || allowed) continue;
    error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(static_cast<uint16_t>(call.error)), number, 0);
  }
  return error;
}

}  // namespace

std::string why_no_filter() {
  const uint32_t action = SECCOMP_RET_KILL_PROCESS;
  if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0) return {};
  return std::string("this kernel has no seccomp filters: ") + std::strerror(errno);
}

std::string install_filter(std::span<const Call> calls, const Needs& needs) {
  struct Release {
    void operator()(void* filter) const { seccomp_release(filter); }
  };
  const std::unique_ptr<void, Release> filter(seccomp_init(SCMP_ACT_KILL_PROCESS));
  int error = filter == nullptr ? -ENOMEM : fill(filter.get(), calls, needs);
  if (error == 0) error = seccomp_load(filter.get());
  if (error == 0) return {};
  return std::string("no seccomp filter here: ") + std::strerror(-error);
}

}  // namespace trapline::jail
