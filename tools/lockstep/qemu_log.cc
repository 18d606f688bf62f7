#include "tools/lockstep/qemu_log.h"

#include <cstdlib>
#include <cstring>

namespace trapline::lockstep {
namespace {

// "X05=..." or " SP=...": the value after the next '=' from `cursor` on, which moves past it.
uint64_t next_value(const char*& cursor) {
  const char* equals = std::strchr(cursor, '=');
  if (equals == nullptr) return 0;
  char* end = nullptr;
  const uint64_t value = std::strtoull(equals + 1, &end, 16);
  cursor = end;
  return value;
}

bool starts_with(const char* line, const char* prefix) {
  return std::strncmp(line, prefix, std::strlen(prefix)) == 0;
}

}  // namespace

bool Record::same_state(const Record& other) const {
  return pc == other.pc && pstate == other.pstate && std::memcmp(x, other.x, sizeof x) == 0;
}

bool QemuLog::read_line() {
  return std::fgets(line_.data(), static_cast<int>(line_.size()), file_) != nullptr;
}

bool QemuLog::next(Record& record) {
  record = Record{};
  bool in_registers = false;
  unsigned index = 0;
  while (read_line()) {
    const char* cursor = line_.data();
    if (starts_with(cursor, " PC=")) {
      record.pc = next_value(cursor);
      in_registers = true;
      index = 0;
    }
    if (in_registers) {
      if (starts_with(cursor, "PSTATE=")) {
        record.pstate = next_value(cursor);
        return index == 32;
      }
      while (index < 32 && std::strchr(cursor, '=') != nullptr) {
        record.x[index++] = next_value(cursor);
      }
      continue;
    }
    if (starts_with(cursor, "Taking exception ")) record.exception = true;
    if (starts_with(cursor, "Taking exception 5 ") || starts_with(cursor, "Taking exception 6 ")) {
      record.interrupt = static_cast<unsigned>(cursor[17] - '0');
    } else if (starts_with(cursor, "...with ELR ") && record.interrupt != 0 &&
               record.interrupt_elr == 0) {
      record.interrupt_elr = std::strtoull(cursor + 12, nullptr, 16);
    }
  }
  return false;
}

}  // namespace trapline::lockstep
