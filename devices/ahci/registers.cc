#include "devices/ahci/registers.h"

#include <array>

namespace trapline::ahci {

std::string_view register_name(uint64_t offset) {
  static constexpr std::array<std::string_view, 11> kHba = {
      "CAP", "GHC", "IS", "PI", "VS", "CCC_CTL", "CCC_PORTS", "EM_LOC", "EM_CTL", "CAP2", "BOHC"};
  static constexpr std::array<std::string_view, 18> kPort = {
      "PxCLB", "PxCLBU", "PxFB",   "PxFBU",  "PxIS",   "PxIE", "PxCMD",  "",      "PxTFD",
      "PxSIG", "PxSSTS", "PxSCTL", "PxSERR", "PxSACT", "PxCI", "PxSNTF", "PxFBS", "PxDEVSLP"};
  if (offset < 4 * kHba.size()) return kHba[offset / 4];
  if (offset < kPortsAt || offset >= kPortsAt + kPorts * kPortBytes) return {};
  const uint64_t index = (offset - kPortsAt) % kPortBytes / 4;
  return index < kPort.size() ? kPort[index] : std::string_view{};
}

}  // namespace trapline::ahci
