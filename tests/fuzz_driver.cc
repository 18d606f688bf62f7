// A driver for compilers without libFuzzer: replays the files it is given, or makes random inputs.
// Usage: PROGRAM [-runs=N] [-seed=N] [FILE...]
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  unsigned long runs = 10'000, seed = 1;
  bool files = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "-runs=", 6) == 0) {
      runs = std::strtoul(argv[i] + 6, nullptr, 0);
    } else if (std::strncmp(argv[i], "-seed=", 6) == 0) {
      seed = std::strtoul(argv[i] + 6, nullptr, 0);
    } else {
      files = true;
      std::ifstream in(argv[i], std::ios::binary);
      const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    }
  }
  if (files) return 0;
  std::mt19937_64 random(seed);
  std::vector<uint8_t> input;
  for (unsigned long run = 0; run < runs; ++run) {
    input.resize(random() % 2048);
    // Small values are common in what devices read: half of the bytes are below 16.
    for (uint8_t& byte : input) {
      const uint64_t word = random();
      byte = static_cast<uint8_t>((word & 0x100) != 0 ? word : word & 15);
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%lu inputs\n", runs);
  return 0;
}
