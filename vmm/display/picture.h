// What is on the guest's screen at one moment.
#ifndef TRAPLINE_VMM_DISPLAY_PICTURE_H_
#define TRAPLINE_VMM_DISPLAY_PICTURE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "devices/ramfb.h"

namespace trapline {

struct Picture {
  uint32_t width = 0, height = 0;
  std::vector<uint32_t> pixels;  // 0xXXRRGGBB, row by row
};

// While the guest goes on drawing.
Picture take_picture(const Ramfb::Surface& surface);

// As a PNG file (RFC 2083: 8 bits each of red, green and blue). Empty: the host has no memory left.
std::string png(const Picture& picture);

}  // namespace trapline

#endif  // TRAPLINE_VMM_DISPLAY_PICTURE_H_
