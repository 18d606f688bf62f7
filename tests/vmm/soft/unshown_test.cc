// Instructions of features that the ID registers do not show are UNDEFINED: by name, where
// undefined_test.cc asks LLVM about all words.
#include <gtest/gtest.h>

#include "tests/vmm/soft/engine_fixture.h"

namespace trapline::soft {
namespace {

struct Unshown {
  uint32_t word;
  const char* text;
  bool in_max = false;
};

constexpr Unshown kUnshown[] = {
    // FEAT_LOR. Were once taken for LDAR and STLR.
    {0x88df7c20, "ldlar w0, [x1]"},
    {0x889f7c20, "stllr w0, [x1]"},
    {0x08df7c20, "ldlarb w0, [x1]"},
    {0x489f7c20, "stllrh w0, [x1]"},
    // FEAT_LRCPC, 2 and 3. The stores were once taken for STLR.
    {0xf8bfc020, "ldapr x0, [x1]", true},
    {0xd9008020, "stlur x0, [x1, #8]", true},
    {0xd9408020, "ldapur x0, [x1, #8]", true},
    {0x99808020, "ldapursw x0, [x1, #8]", true},
    {0x1d808820, "stlur q0, [x1, #8]"},
    {0xdd400820, "ldapur d0, [x1]"},
    {0xd9021820, "stilp x0, x2, [x1]"},
    {0xd9020820, "stilp x0, x2, [x1, #-16]!"},
    {0xd9421820, "ldiapp x0, x2, [x1]"},
    {0xd9800820, "stlr x0, [x1, #-8]!"},
    {0xd9c00820, "ldapr x0, [x1], #8"},
    {0x0d018420, "stl1 {v0.d}[0], [x1]"},
    {0x0d418420, "ldap1 {v0.d}[0], [x1]"},
    // Other loads and stores.
    {0xf8200420, "ldraa x0, [x1]"},
    {0x19228020, "swpp x0, x2, [x1]"},
    {0xf83fd040, "ld64b x0, [x2]"},
    {0x1d010440, "cpyp [x0]!, [x1]!, x2!"},
    {0xd9600020, "ldg x0, [x1]"},
    // Integers, branches and system instructions.
    {0xd50330ff, "sb", true},
    {0xd503323f, "dsb oshnxs"},
    {0xd5031000, "wfet x0"},
    {0xd500401f, "cfinv", true},
    {0xd500405f, "axflag", true},
    {0xd500417f, "msr UAO, #1"},
    {0xd503413f, "msr SSBS, #1"},
    {0xd503415f, "msr DIT, #1", true},
    {0xd503419f, "msr TCO, #1"},
    {0xba008402, "rmif x0, #1, #2", true},
    {0x3a00080d, "setf8 w0", true},
    {0xdac02020, "abs x0, x1"},
    {0xdac01820, "ctz x0, x1"},
    {0x9ac26020, "smax x0, x1, x2"},
    {0xdac10020, "pacia x0, x1"},
    {0xdac143e0, "xpaci x0"},
    {0xd65f0bff, "retaa"},
    {0xd61f081f, "braaz x0"},
    {0xd4000003, "smc #0"},
    {0xd4400000, "hlt #0"},
    {0xd4a00001, "dcps1"},
    {0xd6bf03e0, "drps"},
    {0x00000000, "udf #0"},
    // SIMD and floating point.
    {0x1ee22820, "fadd h0, h1, h2"},
    {0x0e22ec20, "fmlal v0.2s, v1.2h, v2.2h"},
    {0x0e829420, "sdot v0.2s, v1.8b, v2.8b", true},
    {0x2e82cc20, "fcmla v0.2s, v1.2s, v2.2s, #90", true},
    {0x1e7e0020, "fjcvtzs w0, d1", true},
    {0x1e284020, "frint32z s0, s1", true},
    {0x1e634020, "bfcvt h0, s1"},
    {0x5e280820, "sha1h s0, s1", true},
    {0x4e284820, "aese v0.16b, v1.16b", true},
    {0x0ee2e020, "pmull v0.1q, v1.1d, v2.1d", true},
    {0xce020c20, "eor3 v0.16b, v1.16b, v2.16b, v3.16b", true},
};

class Unshowns : public ::testing::TestWithParam<CpuModel> {};
INSTANTIATE_TEST_SUITE_P(Model, Unshowns, ::testing::Values(CpuModel::kBase, CpuModel::kMax),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(Unshowns, AreUndefined) {
  for (const Unshown& u : kUnshown) {
    if (u.in_max && GetParam() >= CpuModel::kMax) continue;
    Bench bench(1, false, GetParam());
    for (unsigned i = 0; i < 31; ++i) bench.cpu().r.x[i] = kData;
    bench.put(kCode, {u.word, kHvc0});
    const Exit exit = bench.run(3);
    EXPECT_EQ(vector_of(exit), 0x200u) << u.text;
    EXPECT_EQ(bench.cpu().sys.esr_el1, uint64_t{1} << 25) << u.text;  // EC 0, IL
    EXPECT_EQ(bench.cpu().sys.elr_el1, kCode) << u.text;
  }
}

}  // namespace
}  // namespace trapline::soft
