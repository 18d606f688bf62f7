// In place of capstone_adapter.cc where the program is built without Capstone.
#include "decode/capstone_adapter.h"

namespace trapline {

bool CapstoneDecoder::built_in() { return false; }
std::string CapstoneDecoder::missing() { return "this program was built without Capstone"; }
CapstoneDecoder::CapstoneDecoder() = default;
CapstoneDecoder::~CapstoneDecoder() = default;

DecodeStatus CapstoneDecoder::decode(uint32_t word, Access& out) {
  last_was_native_ = true;
  ++counts_.unknown;
  return trapline::decode(word, out);
}

std::string CapstoneDecoder::text(uint32_t, uint64_t) { return {}; }

}  // namespace trapline
