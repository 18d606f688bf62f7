// Whether symbols are those of the kernel that runs; and the text of its instructions.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "decode/capstone_adapter.h"
#include "vmm/symbols/disassemble.h"
#include "vmm/symbols/kernel_fit.h"

namespace trapline {
namespace {

constexpr uint64_t kBase = 0xffff'8000'0800'0000;

// 64 KiB with an instruction of each class now and then among ADDs, unlike any distance moved.
struct Kernel {
  Kernel() : bytes(0x8'0000) {
    for (size_t i = 0; i < bytes.size(); i += 4) put(i, 0x9100'0400);
    for (size_t k = 0; k < 40; ++k) {
      const size_t at = 0x1'0000 + k * k * 0x84 + k * 4;
      put(at, kWords[k % 4]);
      sites.push_back(code_site(kBase + at, kClasses[k % 4]));
    }
  }
  void put(size_t at, uint32_t word) { std::memcpy(bytes.data() + at, &word, 4); }

  static constexpr uint32_t kWords[] = {0xd503'207f, 0xd400'0002, 0xd538'1000, 0xb940'1821};
  static constexpr unsigned kClasses[] = {0x01, 0x16, 0x18, 0x24};
  std::vector<uint8_t> bytes;
  std::vector<CodeSite> sites;
};

TEST(KernelFit, FindsKaslr) {
  Kernel kernel;
  for (const uint64_t offset : {0x0ull, 0x1'0000ull, 0x3a6c'0160'0000ull, 0x7ff'ffff'0000ull}) {
    std::vector<CodeSite> moved = kernel.sites;
    for (CodeSite& site : moved) site.pc += offset;
    const KernelFit fit = fit_kernel({kernel.bytes, kBase}, moved);
    EXPECT_TRUE(fit.fits) << std::hex << offset;
    EXPECT_EQ(fit.offset, offset);
    EXPECT_EQ(fit.agree, 40u);
  }
}

TEST(KernelFit, AnotherKernelDoesNotFit) {
  Kernel kernel;
  std::vector<CodeSite> other = kernel.sites;
  for (CodeSite& site : other) site.pc += 0x40;
  EXPECT_FALSE(fit_kernel({kernel.bytes, kBase}, other).fits);
}

TEST(KernelFit, AFewPatchedInstructionsDoNotMatter) {
  Kernel kernel;
  for (size_t i = 0; i < 4; ++i) kernel.put(kernel.sites[i].pc - kBase, 0xd503'201f);
  EXPECT_TRUE(fit_kernel({kernel.bytes, kBase}, kernel.sites).fits);
}

TEST(KernelFit, ByASymbolsAddress) {
  SymbolTable table;
  table.add({.address = kBase + 0x1'0800, .name = "vectors"});
  table.seal();
  EXPECT_EQ(kaslr_offset(table, "vectors", kBase + 0x1'0800), 0u);
  EXPECT_EQ(kaslr_offset(table, "vectors", kBase + 0x1234'0800 + 0x1'0000), 0x1234'0000u);
  EXPECT_FALSE(kaslr_offset(table, "vectors", kBase + 0x1'1000)) << "no multiple of 64 KiB";
  EXPECT_FALSE(kaslr_offset(table, "start_kernel", kBase));
}

TEST(KernelFit, Banner) {
  std::string text("Linux version %s (%s)\n\0xx", 24);
  text += "Linux version 6.1.0-56 (a@b) #1 SMP\n";
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  EXPECT_EQ(linux_banner({bytes, text.size()}), "Linux version 6.1.0-56 (a@b) #1 SMP");
  EXPECT_EQ(linux_banner({bytes, 40}), "");
}

// Capstone's spelling of what it knows, LLVM's of LSE.
TEST(Disassemble, WhoeverKnowsTheWord) {
  const struct {
    uint32_t word;
    const char* text;
    bool capstone = false;
  } kWords[] = {
      {0xb9401821, "ldr w1, [x1, #0x18]", true},
      {0xd5381000, "mrs x0, sctlr_el1", true},
      {0xd503207f, "wfi", true},
      {0xd4000002, "hvc #0", true},
      {0xb81fc420, "str w0, [x1], #-4"},
      {0xb8200041, "ldadd w0, w1, [x2]"},
      {0xf8e00041, "ldaddal x0, x1, [x2]"},
      {0xb820003f, "stadd w0, [x1]"},
      {0xf8a28041, "swpa x2, x1, [x2]"},
      {0x38218062, "swpb w1, w2, [x3]"},
      {0x88a17c22, "cas w1, w2, [x1]"},
      {0x48e1fc62, "casalh w1, w2, [x3]"},
      {0x48207c82, "casp x0, x1, x2, x3, [x4]"},
      {0x38613041, "ldsetlb w1, w1, [x2]"},
      {0xf8a11062, "ldclra x1, x2, [x3]"},
      {0x78207041, "lduminh w0, w1, [x2]"},
      {0xb8604041, "ldsmaxl w0, w1, [x2]"},
      {0xb8bfc020, "ldapr w0, [x1]"},
  };
  for (const auto& expected : kWords) {
    if (expected.capstone && !CapstoneDecoder::built_in()) continue;
    EXPECT_EQ(disassemble(expected.word, 0), expected.text) << std::hex << expected.word;
  }
  EXPECT_EQ(disassemble(0x00000000, 0), "") << "UDF";
}

}  // namespace
}  // namespace trapline
