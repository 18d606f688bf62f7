// Fuzz target: any words through both decoders, the texts and the command line. Built with
// -fsanitize=fuzzer where clang has it, else with a driver of random words.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

#include "decode/a64_decoder.h"
#include "decode/access_text.h"
#include "decode/capstone_adapter.h"
#include "decode/format.h"
#include "tests/decode/word_check.h"

#ifdef TRAPLINE_FUZZ_DRIVER
#include <random>
#include <vector>
#endif

namespace {

void check(uint32_t word) {
  static trapline::CapstoneDecoder capstone;
  if (trapline::test::check_word(word)) std::abort();
  trapline::Access native, other;
  const trapline::DecodeStatus status = trapline::decode(word, native);
  if (status == trapline::DecodeStatus::kAccess && trapline::access_text(native).empty()) {
    std::abort();
  }
  if (capstone.decode(word, other) == trapline::DecodeStatus::kAccess && !(native == other)) {
    std::abort();
  }
  if (trapline::format_decode_line(word, capstone).size() < 9) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (size_t i = 0; i + 4 <= size && i < 256; i += 4) {
    uint32_t word;
    std::memcpy(&word, data + i, 4);
    check(word);
  }
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size < 64 ? size : 64));
  std::ostringstream out, err;
  const int status = trapline::decode_main({"-"}, in, out, err);
  if (status != (err.str().empty() ? 0 : 1)) std::abort();
  return 0;
}

#ifdef TRAPLINE_FUZZ_DRIVER
int main(int argc, char** argv) {
  const unsigned long runs = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 20000;
  std::mt19937_64 random(1);
  std::vector<uint8_t> data;
  for (unsigned long i = 0; i < runs; ++i) {
    data.resize(random() % 64);
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(random());
    LLVMFuzzerTestOneInput(data.data(), data.size());
  }
  return 0;
}
#endif
