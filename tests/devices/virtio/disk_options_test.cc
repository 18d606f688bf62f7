#include "devices/virtio/disk_options.h"

#include <gtest/gtest.h>

namespace trapline::virtio::test {
namespace {

TEST(DiskOptions, Parses) {
  struct Row {
    const char* text;
    const char* path;
    bool read_only;
    ImageFormat format;
    bool backing;
  };
  for (const Row& r : {
           Row{"disk.img", "disk.img", false, ImageFormat::kProbe, false},
           {"disk.img,ro", "disk.img", true, ImageFormat::kProbe, false},
           {"a,format=raw", "a", false, ImageFormat::kRaw, false},
           {"a,format=qcow2,ro", "a", true, ImageFormat::kQcow2, false},
           {"a,cd", "a", true, ImageFormat::kProbe, false},
           {"a,ro,backing=yes", "a", true, ImageFormat::kProbe, true},
           {"a,ro,backing=no", "a", true, ImageFormat::kProbe, false},
           {"a,,b", "a,b", false, ImageFormat::kProbe, false},
           {"a,,ro", "a,ro", false, ImageFormat::kProbe, false},
           {",,,,x,,,ro", ",,x,", true, ImageFormat::kProbe, false},
           {"dir=1/a,ro", "dir=1/a", true, ImageFormat::kProbe, false},
       }) {
    DiskOptions o;
    EXPECT_EQ(parse_disk(r.text, o), "") << r.text;
    EXPECT_EQ(o.path, r.path);
    EXPECT_EQ(o.image.read_only, r.read_only) << r.text;
    EXPECT_EQ(o.image.format, r.format) << r.text;
    EXPECT_EQ(o.image.backing, r.backing) << r.text;
  }
}

TEST(DiskOptions, RefusesWhatItDoesNotKnowByName) {
  struct Row {
    const char* text;
    const char* says;
  };
  for (const Row& r : {
           Row{"disk.img,rw", "unknown option `rw`; there are ro, cd, format=raw|qcow2"},
           {"disk.img,", "unknown option ``"},
           {"disk.img,ro,", "unknown option ``"},
           {"disk.img,readonly=on", "unknown option `readonly=on`"},
           {"disk.img, ro", "unknown option ` ro`"},
           {"disk.img,RO", "unknown option `RO`"},
           {"disk.img,ro=yes", "`ro=yes`: give ro"},
           {"disk.img,cd=yes", "`cd=yes`: give cd"},
           {"disk.img,format", "`format`: give format=raw|qcow2"},
           {"disk.img,format=", "`format=`: give format=raw|qcow2"},
           {"disk.img,format=qed", "`format=qed`: give format=raw|qcow2|vmdk|vpc|vhdx|vdi"},
           {"disk.img,on-server-loss=wait", "give on-server-loss=wait|error"},
           {"disk.img,backing=maybe", "`backing=maybe`: give backing=yes|no"},
           {"disk.img,backing", "`backing`: give backing=yes|no"},
       }) {
    DiskOptions o;
    const std::string error = parse_disk(r.text, o);
    EXPECT_EQ(error.find("--disk disk.img: "), 0u) << error;
    EXPECT_NE(error.find(r.says), std::string::npos) << error;
  }
  DiskOptions o;
  EXPECT_EQ(parse_disk("", o), "--disk: no file is named");
  EXPECT_EQ(parse_disk(",ro", o), "--disk: no file is named");
}

}  // namespace
}  // namespace trapline::virtio::test
