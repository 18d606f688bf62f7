#include "devices/pci/routes.h"

namespace trapline::pci {
namespace {

// Adds what of `claim` nobody in `taken`, ascending, has.
void add_rest(const Route& claim, std::vector<Route>& taken) {
  std::vector<Route> rest;
  uint64_t next = claim.first;
  bool done = false;
  const auto add = [&](uint64_t first, uint64_t last) {
    rest.push_back({first, last, claim.device, claim.offset + (first - claim.first)});
  };
  for (const Route& other : taken) {
    if (other.last < next) continue;
    if (other.first > claim.last) break;
    if (other.first > next) add(next, other.first - 1);
    done = other.last >= claim.last;
    if (done) break;
    next = other.last + 1;
  }
  if (!done) add(next, claim.last);
  taken.insert(taken.end(), rest.begin(), rest.end());
  std::sort(taken.begin(), taken.end(),
            [](const Route& a, const Route& b) { return a.first < b.first; });
}

}  // namespace

std::vector<Route> without_overlaps(const std::vector<Route>& claims) {
  std::vector<Route> taken;
  for (const Route& claim : claims) add_rest(claim, taken);
  return taken;
}

}  // namespace trapline::pci
