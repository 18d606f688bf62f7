#include "vmm/host/messages.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <utility>

#include "vmm/host/host_writer.h"

namespace trapline {
namespace {

constexpr size_t kCapacity = 256 * 1024;

std::mutex mutex;  // of `writer` itself; nothing waits with it held
std::shared_ptr<HostWriter> writer;
uint64_t refused = 0;  // bytes that had no room

std::shared_ptr<HostWriter> current() {
  std::lock_guard lock(mutex);
  return writer;
}

}  // namespace

void message(std::string_view text) {
  std::lock_guard lock(mutex);
  if (writer == nullptr) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    return;
  }
  refused += text.size() - writer->put(text);
}

Messages::Messages() {
  auto made = std::make_shared<HostWriter>(STDERR_FILENO, kCapacity, std::chrono::milliseconds{0});
  made->start(nullptr);
  std::fflush(stderr);
  std::lock_guard lock(mutex);
  writer = std::move(made);
  refused = 0;
}

Messages::~Messages() {
  const std::shared_ptr<HostWriter> last = current();
  last->finish();  // message() may still come meanwhile
  std::lock_guard lock(mutex);
  writer = nullptr;
  const uint64_t lost = refused + last->dropped();
  if (lost == 0 || last->abandoned() || last->error() != 0) return;
  std::fputs(fmt::format(
                 "trapline: {} bytes of messages were dropped: standard error was not read\n", lost)
                 .c_str(),
             stderr);
}

void abandon_messages() {
  if (const auto writing = current(); writing != nullptr) writing->abandon();
}

}  // namespace trapline
