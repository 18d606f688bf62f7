// A handler ends by a jump to the next one's: what is run without end may not grow the stack.
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <climits>
#include <iterator>

#include "tests/vmm/soft/engine_fixture.h"

namespace trapline::soft {
namespace {

constexpr uint64_t kInstructions = 100'000'000;
// The least that a thread may have: 64 KiB, 128 on arm64.
const size_t kStack = std::max<size_t>(size_t{64} << 10, PTHREAD_STACK_MIN);

// Of each file of handlers, the slow path included: integer, memory, order, exclusives, atomics,
// floating point, vectors, system registers, every kind of branch; without end.
constexpr uint32_t kLoop[] = {
    0x91000400,  // add x0, x0, #1
    0xeb000021,  // subs x1, x1, x0
    0x9a811002,  // csel x2, x0, x1, ne
    0xfa43b044,  // ccmp x2, x3, #4, lt
    0x54000040,  // b.eq +8
    0xcac21c63,  // eor x3, x3, x2, ror #7
    0xd3453464,  // ubfx x4, x3, #5, #9
    0x9b031485,  // madd x5, x4, x3, x5
    0x9ac008a6,  // udiv x6, x5, x0
    0xdac010c7,  // clz x7, x6
    0xf9400288,  // ldr x8, [x20]
    0xf9000688,  // str x8, [x20, #8]
    0xa9c12688,  // ldp x8, x9, [x20, #16]!
    0xa8bf2688,  // stp x8, x9, [x20], #-16
    0x38e46a8a,  // ldrsb w10, [x20, x4]
    0xc85f7e8b,  // ldxr x11, [x20]
    0xc80c7e8b,  // stxr w12, x11, [x20]
    0xc8dffe8b,  // ldar x11, [x20]
    0xc89ffe8b,  // stlr x11, [x20]
    0xf82002ad,  // ldadd x0, x13, [x21]
    0xc8ad7ea0,  // cas x13, x0, [x21]
    0x1e612800,  // fadd d0, d0, d1
    0x1f040862,  // fmadd s2, s3, s4, s2
    0x9e78000e,  // fcvtzs x14, d0
    0x9e620001,  // scvtf d1, x0
    0x4ea684a5,  // add v5.4s, v5.4s, v6.4s
    0x6e68dce7,  // fmul v7.2d, v7.2d, v8.2d
    0x4e0600a9,  // tbl v9.16b, { v5.16b }, v6.16b
    0x4c40aa8a,  // ld1 { v10.4s, v11.4s }, [x20]
    0x4d0082ca,  // st1 { v10.s }[2], [x22]
    0x3dc0028c,  // ldr q12, [x20]
    0x3d800a8c,  // str q12, [x20, #32]
    0xd53b420f,  // mrs x15, NZCV
    0xd51b420f,  // msr NZCV, x15
    0xd53bd050,  // mrs x16, TPIDR_EL0
    0xd53be050,  // mrs x16, CNTVCT_EL0
    0xd5033bbf,  // dmb ish
    0xd50b7437,  // dc zva, x23
    0x58000191,  // ldr x17, +48
    0x10000172,  // adr x18, #44
    0x94000002,  // bl +8
    0xb400005f,  // cbz xzr, +8
    0xd65f03c0,  // ret
    0x370000a0,  // tbnz w0, #0, +20
    0xeb01001f,  // cmp x0, x1
    0x54000068,  // b.hi +12
    0xd28000b3,  // mov x19, #5
    0xf2a000f3,  // movk x19, #7, lsl #16
    0xd61f0300,  // br x24
    0xd503201f,  // nop
};

struct LoopRun {
  Bench bench{1, false, 0};  // interpreted: nothing is translated
  Exit exit;

  LoopRun() {
    bench.enable_mmu();
    for (unsigned i = 0; i < std::size(kLoop); ++i) bench.poke(kCode + 4 * i, kLoop[i]);
    auto& x = bench.cpu().r.x;
    for (unsigned i = 0; i < 4; ++i) x[20 + i] = kData + 0x1000 * i;
    x[24] = kCode;
  }
};

TEST(TailCall, TheStackDoesNotGrow) {
  LoopRun run;
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, kStack), 0);
  pthread_t thread;
  // Below its stack is a guard page: a handler that called the next would end the program here.
  const auto body = [](void* argument) -> void* {
    auto& r = *static_cast<LoopRun*>(argument);
    r.exit = r.bench.run(kInstructions);
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, body, &run), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  EXPECT_EQ(run.exit.kind, ExitKind::kBudget);
  EXPECT_EQ(run.bench.cpu().retired, kInstructions);
}

}  // namespace
}  // namespace trapline::soft
