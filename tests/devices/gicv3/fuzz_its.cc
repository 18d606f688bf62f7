// Fuzzes the ITS and the redistributors' LPIs: any register, any command, tables that the guest
// writes itself, that overlap, loop or lie outside RAM, messages in between, snapshots whole and
// damaged. What each access costs is bounded; the GIC's decisions are those made from scratch.
#include <cstdlib>
#include <cstring>

#include "devices/gicv3/core.h"
#include "tests/devices/gicv3/its_bench.h"
#include "tests/devices/virtio/fuzz/input.h"

namespace trapline::gicv3 {
namespace {

constexpr unsigned kCpus = 3;

void require(bool condition) {
  if (!condition) std::abort();
}

// Addresses meet: few pages, the edge of RAM, nowhere, and anything.
uint64_t address(fuzz::Input& in) {
  const uint8_t choice = in.take<uint8_t>();
  switch (choice & 7) {
    case 0:
      return in.take<uint64_t>() & 0x000f'ffff'ffff'ffff;
    case 1:
      return ItsRam::kBase + (16 << 20) - (choice >> 3) * 0x400;
    case 2:
      return ItsBench::kNowhere;
    default:
      return ItsRam::kBase + 0x10'0000 + (choice >> 3) * 0x1'0000;
  }
}

uint32_t small(fuzz::Input& in) {
  const uint8_t choice = in.take<uint8_t>();
  return choice < 0xf8 ? choice & 15 : in.take<uint32_t>();
}

ItsCommand command(fuzz::Input& in) {
  const uint64_t device = small(in);
  const uint32_t event = small(in);
  const uint16_t collection = static_cast<uint16_t>(small(in));
  const uint8_t opcode = in.take<uint8_t>();
  switch (opcode & 15) {
    case 0:
      return movi(device, event, collection);
    case 1:
      return make_int(device, event);
    case 2:
      return clear(device, event);
    case 3:
    case 4:
      return mapd(device, opcode >> 4, address(in) & ~0xffull);
    case 5:
      return mapc(collection, small(in) % 4, (opcode & 0x80) == 0);
    case 6:
    case 7:
    case 8:
      return mapti(device, event, kFirstLpi + small(in), collection);
    case 9:
      return inv(device, event);
    case 10:
      return invall(collection);
    case 11:
      return movall(collection % 4, event % 4);
    case 12:
      return discard(device, event);
    case 13:
      return mapi(device, event, collection);
    default:
      return {{in.take<uint64_t>(), in.take<uint64_t>(), in.take<uint64_t>(), in.take<uint64_t>()}};
  }
}

void save_and_load(ItsBench& b, fuzz::Input& in) {
  StateWriter out;
  b.its.quiesce();
  b.its.save(out);
  std::vector<uint8_t> bytes = out.buffer();
  const uint16_t damage = in.take<uint16_t>();
  if (damage < 0x100) bytes[damage % bytes.size()] ^= static_cast<uint8_t>(damage | 1);
  if (damage >= 0xff00) bytes.resize(bytes.size() * (damage & 0xff) / 256);
  StateReader reader(bytes.data(), bytes.size());
  const bool loaded = b.its.load(reader);
  require(loaded || damage < 0x100 || damage >= 0xff00);
  b.its.resume();
}

void step(ItsBench& b, fuzz::Input& in) {
  static constexpr uint32_t kItsRegisters[] = {
      kGitsCtlr,  kGitsTyper,     kGitsCbaser,    kGitsCwriter,     kGitsCreadr,
      kGitsBaser, kGitsBaser + 8, kGitsBaser + 4, kGitsCwriter + 4, kGitsTranslater};
  static constexpr uint32_t kLpiRegisters[] = {kGicrCtlr,          kGicrPropbaser, kGicrPendbaser,
                                               kGicrPendbaser + 4, kGicrTyper,     kGicrInvlpir};
  const uint8_t op = in.take<uint8_t>();
  const unsigned cpu = op / 16 % kCpus;
  switch (op & 15) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      b.put(command(in));
      if ((op & 16) != 0) b.ring();
      break;
    case 5:
    case 6:
      b.send(small(in), small(in));
      break;
    case 7: {
      const uint32_t at = kItsRegisters[in.take<uint8_t>() % std::size(kItsRegisters)];
      const uint64_t flags = in.take<uint8_t>();
      // Valid, Indirect, page size; address; size or offset.
      b.set_reg(at, flags >> 6 << 62 | (flags & 3) << 8 | address(in) | in.take<uint8_t>(),
                1u << (op / 16 % 4));
      break;
    }
    case 8: {
      const uint32_t at = kLpiRegisters[in.take<uint8_t>() % std::size(kLpiRegisters)];
      b.set_redist(cpu, at, address(in) | in.take<uint8_t>(), (op & 64) != 0 ? 4 : 8);
      break;
    }
    case 9:
      b.ram.put64(address(in) % b.ram.size() / 8 * 8 + ItsRam::kBase, in.take<uint64_t>());
      break;
    case 10: {
      const uint64_t intid = b.ack(cpu);
      if ((op & 64) == 0) b.eoi(cpu, intid);
      break;
    }
    case 11:
      b.eoi(cpu, kFirstLpi + small(in));
      break;
    case 12:
      b.clock.advance(in.take<uint16_t>());
      break;
    case 13:
      b.its.read(in.take<uint32_t>() % Its::kSize, 1u << (op / 16 % 4), cpu);
      b.its.write(in.take<uint32_t>() % Its::kSize, 1u << (op / 16 % 4), in.take<uint64_t>(), cpu);
      break;
    case 14:
      if ((op & 0xf0) == 0) {
        b.its.reset();
        b.gic.redistributors().reset();
      } else {
        b.set_icc(cpu, (op & 64) != 0 ? kIccIgrpen1 : kIccPmr, in.take<uint8_t>());
      }
      break;
    default:
      save_and_load(b, in);
      break;
  }
}

}  // namespace
}  // namespace trapline::gicv3

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trapline;
  using namespace trapline::gicv3;
  // One for all: a set of tables is large to make anew.
  static auto* b = new ItsBench(kCpus);
  fuzz::Input in(data, size);
  b->gic.distributor().reset();
  b->gic.redistributors().reset();
  b->its.reset();
  b->writer = 0;
  for (unsigned n = 0; n < 0x100; ++n) b->ram.put64(ItsBench::kCollections + n * 8, 0);
  for (unsigned n = 0; n < 0x100; ++n) b->ram.put64(ItsBench::kDevices + n * 8, 0);
  b->start_its();
  while (!in.empty()) {
    step(*b, in);
    require(b->gic.consistent());
    // One access does a batch at most, and one command more.
    require(b->clock.pending() <= 1);
  }
  return 0;
}
