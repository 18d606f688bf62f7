// The C library with words, registers, syndromes and answers of callbacks that the input makes up:
// whatever comes, each call returns a result, writes no register of another number, and touches no
// memory but what ram() lent (AddressSanitizer looks on).
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "trapline-hosted.h"

namespace {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  uint64_t bits(unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; ++i) value |= uint64_t{byte()} << 8 * i;
    return value;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

constexpr uint64_t kRam = 0x40000000, kRamSize = 0x4000, kDevice = 0x09000000;

struct World {
  explicit World(Input& from) : in(from) {
    ram = static_cast<uint8_t*>(std::aligned_alloc(4096, kRamSize));
  }
  ~World() { std::free(ram); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Input& in;
  uint8_t* ram;
  uint64_t calls = 0;
};

void must(bool ok) {
  if (!ok) std::abort();
}

World& of(void* arg) { return *static_cast<World*>(arg); }

// An address that leads somewhere, more often than not.
uint64_t address(Input& in) {
  switch (in.byte() & 7) {
    case 0:
      return in.bits(8);
    case 1:
      return kDevice + in.bits(2);
    case 2:
      return kRam + kRamSize - in.byte() % 64;
    case 3:
      return kDevice + 0xfff - in.byte() % 64;
    default:
      return kRam + in.bits(2) % kRamSize;
  }
}

int read_gpr(void* arg, unsigned reg, uint64_t* value) {
  must(reg <= TL_REG_SP);
  Input& in = of(arg).in;
  *value = (in.byte() & 1) != 0 ? address(in) : in.bits(2);
  return in.byte() == 1;
}
int write_gpr(void* arg, unsigned reg, uint64_t) {
  must(reg <= TL_REG_SP);
  return of(arg).in.byte() == 1;
}
int read_vreg(void* arg, unsigned reg, uint64_t value[2]) {
  must(reg < 32);
  value[0] = value[1] = of(arg).in.bits(1);
  return 0;
}
int write_vreg(void* arg, unsigned reg, const uint64_t value[2]) {
  must(reg < 32);
  return of(arg).in.byte() == 1 && value[0] == 0;
}
void check_size(unsigned size) { must(size == 1 || size == 2 || size == 4 || size == 8); }
int mmio_read(void* arg, uint64_t, unsigned size, uint64_t* value) {
  check_size(size);
  must(++of(arg).calls < 200'000);
  *value = of(arg).in.bits(8);
  return of(arg).in.byte() == 1;
}
int mmio_write(void* arg, uint64_t, unsigned size, uint64_t value) {
  check_size(size);
  must(++of(arg).calls < 200'000);
  must(size == 8 || value >> 8 * size == 0);
  return of(arg).in.byte() == 1;
}
int accepts(void* arg, uint64_t, unsigned size, int) {
  check_size(size);
  return of(arg).in.byte() != 1;
}
int mmio_read64(void* arg, uint64_t, uint64_t data[8]) {
  for (unsigned i = 0; i < 8; ++i) data[i] = i;
  return of(arg).in.byte() & 1;
}
int mmio_write64(void* arg, uint64_t, const uint64_t data[8]) {
  return (of(arg).in.byte() & 1) != 0 || data[0] == 0x55;
}
void* lend(void* arg, uint64_t ipa, tl_direction) {
  if (ipa - kRam >= kRamSize) return nullptr;
  return of(arg).in.byte() == 1 ? nullptr : of(arg).ram + (ipa - kRam);
}
void ram_written(void*, uint64_t ipa, unsigned size) {
  must(ipa - kRam < kRamSize && size <= kRamSize - (ipa - kRam));
}
int read_memory(void* arg, uint64_t, void* to, unsigned size) {
  must(size == 4 || size == 8);
  const uint64_t value = of(arg).in.bits(size);
  std::memcpy(to, &value, size);
  return of(arg).in.byte() == 1;
}
tl_result translate(void* arg, const tl_cpu* cpu, uint64_t va, tl_direction, int,
                    tl_translation* to) {
  must(cpu != nullptr && (va & 0xfff) == 0);
  Input& in = of(arg).in;
  to->ipa = address(in) & ~uint64_t{0xfff};
  to->device = in.byte() & 1;
  to->fsc = in.byte();
  const uint8_t pick = in.byte();
  return pick == 1 ? TL_FAULT : pick == 2 ? TL_RETRY : TL_DONE;
}
int watch(void* arg, uint64_t page) {
  must((page & 0xfff) == 0);
  return of(arg).in.byte() == 1;
}

tl_ops random_ops(Input& in) {
  tl_ops ops{};
  ops.size = sizeof ops;
  ops.read_gpr = read_gpr;
  ops.write_gpr = write_gpr;
  ops.mmio_read = mmio_read;
  ops.mmio_write = mmio_write;
  const uint64_t with = in.bits(2);
  if ((with & 1) != 0) ops.read_vreg = read_vreg;
  if ((with & 3) != 0) ops.write_vreg = write_vreg;
  if ((with & 4) != 0) ops.accepts = accepts;
  if ((with & 8) != 0) ops.mmio_read64 = mmio_read64;
  if ((with & 16) != 0) ops.mmio_write64 = mmio_write64;
  if ((with & 96) != 0) ops.ram = lend;
  if ((with & 128) != 0) ops.ram_written = ram_written;
  if ((with & 256) != 0) ops.read_memory = read_memory;
  if ((with & 512) != 0) ops.translate = translate;
  if ((with & 1024) != 0) ops.watch = watch;
  return ops;
}

tl_cpu random_cpu(Input& in) {
  tl_cpu cpu{};
  cpu.pc = (in.byte() & 15) == 0 ? address(in) : kRam + (in.bits(2) % kRamSize & ~uint64_t{3});
  cpu.pstate = (in.byte() & 3) != 0 ? 5 | in.bits(1) << 28 : in.bits(8);
  cpu.sctlr = (in.byte() & 1) != 0 ? 0 : in.bits(4);
  cpu.tcr = (in.byte() & 1) != 0 ? 25 | 25 << 16 | uint64_t{2} << 30 : in.bits(8);
  cpu.ttbr0 = address(in);
  cpu.ttbr1 = address(in);
  cpu.mair = in.bits(8);
  cpu.flags = in.byte() & 7;
  cpu.zero_block_log2 = in.byte();
  return cpu;
}

void one_call(Input& in, World& world, tl_vcpu* vcpu) {
  tl_cpu cpu = random_cpu(in);
  const uint64_t pc = cpu.pc;
  tl_fault fault{};
  tl_result result = TL_DONE;
  for (unsigned i = 0, words = in.byte() & 15; i < words; ++i) {
    const auto word = static_cast<uint32_t>(in.bits(4));
    const uint64_t at = (pc - kRam + 4 * i) & ~uint64_t{3};
    if (at < kRamSize) std::memcpy(world.ram + at, &word, 4);
  }
  switch (in.byte() & 7) {
    case 0: {
      tl_access access;
      for (unsigned i = 0; i < sizeof access; ++i)
        reinterpret_cast<uint8_t*>(&access)[i] = in.byte();
      result = tl_emulate(vcpu, &cpu, &access, &fault);
      break;
    }
    case 1: {
      tl_access access;
      if (tl_decode(static_cast<uint32_t>(in.bits(4)), &access) == TL_OK) {
        result = tl_emulate(vcpu, &cpu, &access, &fault);
      }
      break;
    }
    case 2: {
      unsigned steps;
      result = tl_step(vcpu, &cpu, in.byte(), &steps, &fault);
      must(steps <= 64);
      break;
    }
    case 3: {
      tl_translation to;
      result = tl_walk(vcpu, &cpu, address(in), static_cast<tl_direction>(in.byte() & 3),
                       in.byte() & 1, &to);
      break;
    }
    default: {
      tl_abort abort{};
      abort.esr = (in.byte() & 3) != 0 ? 0x92000007 | (in.byte() & 1) << 6 : in.bits(4);
      abort.far = address(in);
      abort.ipa = address(in);
      abort.valid = in.byte() & 3;
      result = tl_handle_abort(vcpu, &cpu, &abort, &fault);
      if (result == TL_DONE_EXCLUSIVE) result = tl_step(vcpu, &cpu, 0, nullptr, &fault);
      break;
    }
  }
  must(result >= TL_DONE && result <= TL_BAD_ARGUMENT);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  World world(in);
  std::memset(world.ram, 0, kRamSize);
  const tl_ops ops = random_ops(in);
  tl_vcpu* vcpu = tl_vcpu_new(&ops, &world);
  const auto policy = static_cast<tl_cache_policy>(1 + in.byte() % 3);
  tl_cache* cache = tl_cache_new(policy, 1 + in.byte() % 4);
  tl_gate* gate = (in.byte() & 1) != 0 ? tl_gate_new() : nullptr;
  must(vcpu != nullptr && cache != nullptr);
  if ((in.byte() & 3) != 0) tl_vcpu_set_cache(vcpu, cache);
  tl_vcpu_set_gate(vcpu, gate, in.byte());
  for (unsigned i = 0; i < 64 && !in.empty(); ++i) {
    one_call(in, world, vcpu);
    if ((in.byte() & 15) == 0) tl_cache_invalidate(cache, address(in), in.bits(2));
    if ((in.byte() & 31) == 0) tl_cache_invalidate_all(cache);
    world.calls = 0;
  }
  tl_vcpu_free(vcpu);
  tl_cache_free(cache);
  tl_gate_free(gate);
  return 0;
}
