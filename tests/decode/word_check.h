// What holds for the decoder's answer to every word, without an oracle.
#ifndef TRAPLINE_TESTS_DECODE_WORD_CHECK_H_
#define TRAPLINE_TESTS_DECODE_WORD_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

namespace trapline::test {

// Null when the answer to `word` is sound, else what is broken.
const char* check_word(uint32_t word);

struct AllWords {
  uint64_t access = 0, unsupported = 0, unallocated = 0, not_memory = 0;
  uint64_t broken = 0;
  std::vector<std::string> examples;  // of broken words, at most 20
};

// Words first, first + step, ... below end (at most 2^32).
AllWords check_words(uint64_t first, uint64_t end, uint64_t step);

}  // namespace trapline::test

#endif  // TRAPLINE_TESTS_DECODE_WORD_CHECK_H_
