// A row of the emulation tables: an instruction, the state before, what reached devices, and which
// registers changed.
#ifndef TRAPLINE_TESTS_MMIO_TABLE_H_
#define TRAPLINE_TESTS_MMIO_TABLE_H_

#include <gtest/gtest.h>

#include <string>

#include "tests/mmio/machine.h"

namespace trapline::test {

struct Case {
  uint32_t word;
  const char* text;
  const char* before;
  const char* log;      // device accesses in order: "A.r4@10=13121110"
  const char* changes;  // registers that changed
  const char* outcome = "done";
  const char* written = "";  // RAM writes announced: ipa+size
};

inline std::string trimmed(std::string text) {
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

inline void check(const Case& c) {
  SCOPED_TRACE(std::string(c.text) + "   " + c.before);
  Machine machine;
  machine.set(c.before);
  const std::string outcome = machine.run(c.word);
  EXPECT_EQ(outcome, c.outcome);
  EXPECT_EQ(trimmed(machine.log), c.log);
  EXPECT_EQ(trimmed(machine.changes()), c.changes);
  EXPECT_EQ(trimmed(machine.view.written), c.written);
}

template <size_t kCount>
void check_all(const Case (&cases)[kCount]) {
  for (const Case& c : cases) check(c);
}

}  // namespace trapline::test

#endif  // TRAPLINE_TESTS_MMIO_TABLE_H_
