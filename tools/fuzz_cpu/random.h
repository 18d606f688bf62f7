// splitmix64: a program's whole world from one seed.
#ifndef TRAPLINE_TOOLS_FUZZ_CPU_RANDOM_H_
#define TRAPLINE_TOOLS_FUZZ_CPU_RANDOM_H_

#include <cstdint>

namespace trapline::fuzz {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  uint64_t below(uint64_t n) { return next() % n; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  template <typename T, uint64_t N>
  T pick(const T (&values)[N]) {
    return values[below(N)];
  }

 private:
  uint64_t state_;
};

}  // namespace trapline::fuzz

#endif  // TRAPLINE_TOOLS_FUZZ_CPU_RANDOM_H_
