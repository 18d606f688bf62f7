// qcow2 images made by qemu-img and qemu-io, read here and by `qemu-img convert`.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "devices/virtio/image.h"

namespace trapline::virtio::test {
namespace {

class Qcow2Oracle : public testing::Test {
 protected:
  void SetUp() override {
    if (system("qemu-img --version >/dev/null 2>&1 && qemu-io --version >/dev/null 2>&1") != 0) {
      GTEST_SKIP() << "no qemu-img and qemu-io (package qemu-utils)";
    }
    const char* dir = getenv("TMPDIR");
    dir_ = std::string(dir != nullptr ? dir : "/tmp") + "/trapline-qcow2-XXXXXX";
    ASSERT_NE(mkdtemp(dir_.data()), nullptr);
  }
  void TearDown() override {
    if (!dir_.empty()) sh("rm -r ../$(basename $PWD)");
  }
  // In the test's folder.
  void sh(const std::string& command) {
    ASSERT_EQ(
        system(("cd " + dir_ + " && { " + command + "; } >/dev/null 2>err || { cat err; exit 1; }")
                   .c_str()),
        0)
        << command;
  }
  // Text-like bytes, so that it compresses but not to nothing.
  void make_source(const char* size) {
    sh(std::string("seq 1 600000 | head -c ") + size + " > source");
  }
  std::string path(const char* name) const { return dir_ + "/" + name; }
  std::vector<uint8_t> bytes(const char* name) const {
    std::ifstream in(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Compares what we read, in steps of `step`, with what qemu-img makes of it.
  void compare(const char* name, bool backing, const std::string& what) {
    sh(std::string("qemu-img convert -O raw ") + name + " oracle");
    const auto expected = bytes("oracle");
    const ImageOptions options{
        .read_only = true, .format = ImageFormat::kQcow2, .backing = backing};
    for (size_t step : {size_t{3000}, size_t{65536}, size_t{1} << 20}) {
      auto opened = open_image(path(name), options);
      ASSERT_NE(opened.image, nullptr) << what << ": " << opened.error;
      ASSERT_EQ(opened.image->bytes(), expected.size()) << what;
      std::vector<uint8_t> got(expected.size(), 0x55);
      for (size_t at = 0; at < got.size(); at += step) {
        iovec iov = {&got[at], std::min(step, got.size() - at)};
        ASSERT_EQ(opened.image->readv(&iov, 1, at), 0) << what << " at " << at;
      }
      EXPECT_TRUE(got == expected) << what << ", step " << step;
    }
  }
  std::string error_of(const char* name, bool backing) {
    const auto opened = open_image(path(name), {.read_only = true, .backing = backing});
    EXPECT_EQ(opened.image, nullptr);
    EXPECT_EQ(opened.error.find('\n'), std::string::npos);
    return opened.error;
  }

  std::string dir_;
};

TEST_F(Qcow2Oracle, EveryCompressionAndClusterSize) {
  make_source("1100K");
  for (const char* options :
       {"compat=0.10", "compat=1.1", "cluster_size=512", "cluster_size=2M", "compression_type=zstd",
        "compression_type=zstd,cluster_size=4k", "compression_type=zstd,cluster_size=2M",
        "extended_l2=on,cluster_size=16k", "extended_l2=on,cluster_size=128k",
        "extended_l2=on,cluster_size=2M,compression_type=zstd"}) {
    for (const char* compress : {"", "-c "}) {
      sh(std::string("qemu-img convert ") + compress + "-O qcow2 -o " + options +
         " source a.qcow2");
      compare("a.qcow2", false, std::string(compress) + options);
    }
  }
}

TEST_F(Qcow2Oracle, SubclustersOverABackingFile) {
  make_source("4M");
  sh("qemu-img create -f qcow2 -o extended_l2=on,cluster_size=128k -b source -F raw a.qcow2 5M");
  // Single subclusters of 4 KiB: data, zeroes, discarded ones; and what lies past the source's end.
  sh("qemu-io -f qcow2 -c 'write -P 0x11 4k 4k' -c 'write -P 0x22 132k 12k' -c 'write -z 20k 8k' "
     "-c 'write -P 0x33 300k 512' -c 'write -z 1M 128k' -c 'write -P 0x44 1060k 4k' "
     "-c 'discard 2M 128k' -c 'write -P 0x55 4200k 20k' a.qcow2");
  compare("a.qcow2", true, "extended L2");
  EXPECT_NE(error_of("a.qcow2", false).find("backing=yes"), std::string::npos);
}

TEST_F(Qcow2Oracle, ChainsOfBackingFiles) {
  make_source("4M");
  // The base's tail is no whole sector.
  sh("head -c 1000300 source > base.raw; mkdir sub");
  sh("qemu-img create -f qcow2 -b base.raw -F raw one.qcow2");
  sh("qemu-io -f qcow2 -c 'write -P 0x11 64k 64k' -c 'write -z 192k 64k' one.qcow2");
  sh("qemu-img create -f qcow2 -o cluster_size=4k,compression_type=zstd -b ../one.qcow2 -F qcow2 "
     "sub/two.qcow2 2M");
  sh("qemu-io -f qcow2 -c 'write -P 0x22 68k 4k' -c 'write -c -P 0x33 200k 4k' sub/two.qcow2");
  compare("one.qcow2", true, "one over raw");
  compare("sub/two.qcow2", true, "two over one over raw");
  EXPECT_NE(error_of("one.qcow2", false).find("backing=yes"), std::string::npos);
  sh("mv base.raw gone.raw");
  EXPECT_NE(error_of("sub/two.qcow2", true).find("base.raw"), std::string::npos);
}

TEST_F(Qcow2Oracle, ChainsThatDoNotEnd) {
  sh("qemu-img create -f qcow2 a.qcow2 1M; qemu-img create -f qcow2 -b a.qcow2 -F qcow2 b.qcow2");
  sh("qemu-img rebase -u -b b.qcow2 -F qcow2 a.qcow2");
  EXPECT_NE(error_of("a.qcow2", true).find("comes back to it"), std::string::npos);
  sh("qemu-img rebase -u -b a.qcow2 -F qcow2 a.qcow2");
  EXPECT_NE(error_of("a.qcow2", true).find("comes back to it"), std::string::npos);
  sh("qemu-img create -f qcow2 0.qcow2 1M; for i in $(seq 1 40); do "
     "cp 0.qcow2 $i.qcow2; qemu-img rebase -u -b $((i-1)).qcow2 -F qcow2 $i.qcow2; done");
  EXPECT_NE(error_of("40.qcow2", true).find("more than 32 files"), std::string::npos);
  compare("20.qcow2", true, "twenty files");
}

TEST_F(Qcow2Oracle, BackingNamesThatAreNoFiles) {
  sh("qemu-img create -f qcow2 a.qcow2 1M; cp a.qcow2 b.qcow2");
  for (const char* name : {"nbd://127.0.0.1/x", "json:{}", "nbd:unix:/x"}) {
    sh("qemu-img rebase -u -b '" + std::string(name) + "' -F raw a.qcow2");
    EXPECT_NE(error_of("a.qcow2", true).find("not a file of this host"), std::string::npos) << name;
  }
  sh("qemu-img rebase -u -b 'file:b.qcow2' -F qcow2 a.qcow2");
  compare("a.qcow2", true, "file:");
  sh("qemu-img rebase -u -b b.qcow2 -F vmdk a.qcow2");
  EXPECT_NE(error_of("a.qcow2", true).find("neither raw nor qcow2"), std::string::npos);
}

}  // namespace
}  // namespace trapline::virtio::test
