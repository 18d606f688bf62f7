// What does it cost to decode one memory instruction, natively and with Capstone 4, LLVM 19 and
// VIXL? Names: Decode/<decoder>/<words>; the time is for one word.
//
// 64 words: a hot loop's worth of Armv8.0 forms that all four decoders know. 65,536 words: every
// class, opcodes drawn evenly, so that neither caches nor branch predictors can learn the stream.
// Each library does the least that a hypervisor needs of it: Capstone with operand detail and its
// buffer reused, LLVM to an MCInst without text, VIXL to the call of the visitor alone, which still
// leaves the operands to be extracted. Only the native figure includes a finished Access.
#include <benchmark/benchmark.h>
#include <capstone/capstone.h>

#include <random>
#include <string>
#include <vector>

#include "decode/a64_decoder.h"
#include "decode/capstone_adapter.h"
#include "tests/decode/oracle_compare.h"

#ifdef TRAPLINE_HAVE_LLVM
#include "tests/decode/llvm_oracle.h"
#endif
#ifdef TRAPLINE_HAVE_VIXL
#include <aarch64/decoder-aarch64.h>
#include <aarch64/instructions-aarch64.h>
#endif

namespace {

using trapline::Access;
using trapline::CapstoneDecoder;
using trapline::DecodeStatus;

std::vector<uint32_t> words_of(int64_t count) {
  std::mt19937_64 random(42);
  CapstoneDecoder capstone;
  const bool armv8_0_only = count <= 64;
  std::vector<uint32_t> words;
  while (static_cast<int64_t>(words.size()) < count) {
    const uint64_t r = random();
    const uint32_t word = trapline::test::group_word(r & (trapline::test::kOpcodes - 1),
                                                     r >> 20 & 31, r >> 28 & 31, r >> 36 & 31);
    Access access;
    if (trapline::decode(word, access) != DecodeStatus::kAccess) continue;
    if (armv8_0_only) {
      capstone.decode(word, access);
      if (capstone.last_was_native()) continue;
    }
    words.push_back(word);
  }
  return words;
}

template <typename Decode>
void run(benchmark::State& state, Decode decode) {
  const std::vector<uint32_t> words = words_of(state.range(0));
  const size_t mask = words.size() - 1;
  size_t i = 0;
  for (auto _ : state) {
    decode(words[i]);
    i = (i + 1) & mask;
  }
  state.SetItemsProcessed(state.iterations());
}

void native(benchmark::State& state) {
  run(state, [](uint32_t word) {
    Access access;
    benchmark::DoNotOptimize(trapline::decode(word, access));
    benchmark::DoNotOptimize(access);
  });
}

void capstone(benchmark::State& state) {
  csh handle = 0;
  if (cs_open(CS_ARCH_ARM64, CS_MODE_ARM, &handle) != CS_ERR_OK) {
    state.SkipWithError("cs_open failed");
    return;
  }
  cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
  cs_insn* insn = cs_malloc(handle);
  run(state, [&](uint32_t word) {
    const uint8_t* code = reinterpret_cast<const uint8_t*>(&word);
    size_t size = 4;
    uint64_t pc = 0;
    benchmark::DoNotOptimize(cs_disasm_iter(handle, &code, &size, &pc, insn));
  });
  cs_free(insn, 1);
  cs_close(&handle);
}

#ifdef TRAPLINE_HAVE_LLVM
void llvm_mc(benchmark::State& state) {
  trapline::test::LlvmOracle oracle;
  if (!oracle.ok()) {
    state.SkipWithError("LLVM has no AArch64 target");
    return;
  }
  run(state, [&](uint32_t word) { benchmark::DoNotOptimize(oracle.decode(word)); });
}
#endif

#ifdef TRAPLINE_HAVE_VIXL
void vixl_graph(benchmark::State& state) {
  vixl::aarch64::Decoder decoder;
  vixl::aarch64::DecoderVisitorWithDefaults visitor;
  decoder.AppendVisitor(&visitor);
  run(state, [&](uint32_t word) {
    decoder.Decode(reinterpret_cast<const vixl::aarch64::Instruction*>(&word));
    benchmark::ClobberMemory();
  });
}
#endif

const bool kRegistered = [] {
  for (int64_t words : {int64_t{64}, int64_t{65536}}) {
    benchmark::RegisterBenchmark("Decode/native", native)->Arg(words);
    benchmark::RegisterBenchmark("Decode/capstone", capstone)->Arg(words);
#ifdef TRAPLINE_HAVE_LLVM
    benchmark::RegisterBenchmark("Decode/llvm", llvm_mc)->Arg(words);
#endif
#ifdef TRAPLINE_HAVE_VIXL
    benchmark::RegisterBenchmark("Decode/vixl", vixl_graph)->Arg(words);
#endif
  }
  return true;
}();

}  // namespace

BENCHMARK_MAIN();
