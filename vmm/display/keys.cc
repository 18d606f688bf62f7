#include "vmm/display/keys.h"

#include <linux/input-event-codes.h>

#include <string_view>

namespace trapline {
namespace {

// Symbols of one row of keys, whose codes follow each other.
struct Row {
  uint16_t first;
  std::string_view plain, shifted;
};
constexpr Row kRows[] = {
    {KEY_1, "1234567890-=", "!@#$%^&*()_+"},
    {KEY_Q, "qwertyuiop[]", "QWERTYUIOP{}"},
    {KEY_A, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
    {KEY_BACKSLASH, "\\zxcvbnm,./", "|ZXCVBNM<>?"},
    {KEY_SPACE, " ", " "},
};

struct Named {
  uint32_t first, last;  // keysyms, X11/keysymdef.h
  uint16_t key;          // of the first; the others follow
};
constexpr Named kNamed[] = {
    {0xff08, 0xff08, KEY_BACKSPACE},  {0xff09, 0xff09, KEY_TAB},
    {0xfe20, 0xfe20, KEY_TAB},  // ISO_Left_Tab: Tab with Shift
    {0xff0d, 0xff0d, KEY_ENTER},      {0xff13, 0xff13, KEY_PAUSE},
    {0xff14, 0xff14, KEY_SCROLLLOCK}, {0xff15, 0xff15, KEY_SYSRQ},
    {0xff1b, 0xff1b, KEY_ESC},        {0xff50, 0xff50, KEY_HOME},
    {0xff51, 0xff51, KEY_LEFT},       {0xff52, 0xff52, KEY_UP},
    {0xff53, 0xff53, KEY_RIGHT},      {0xff54, 0xff54, KEY_DOWN},
    {0xff55, 0xff55, KEY_PAGEUP},     {0xff56, 0xff56, KEY_PAGEDOWN},
    {0xff57, 0xff57, KEY_END},        {0xff61, 0xff61, KEY_SYSRQ},
    {0xff63, 0xff63, KEY_INSERT},     {0xff67, 0xff67, KEY_COMPOSE},
    {0xff7f, 0xff7f, KEY_NUMLOCK},    {0xff8d, 0xff8d, KEY_KPENTER},
    {0xffaa, 0xffaa, KEY_KPASTERISK}, {0xffab, 0xffab, KEY_KPPLUS},
    {0xffad, 0xffad, KEY_KPMINUS},    {0xffae, 0xffae, KEY_KPDOT},
    {0xffaf, 0xffaf, KEY_KPSLASH},    {0xffb0, 0xffb0, KEY_KP0},
    {0xffb1, 0xffb3, KEY_KP1},        {0xffb4, 0xffb6, KEY_KP4},
    {0xffb7, 0xffb9, KEY_KP7},        {0xffbe, 0xffc7, KEY_F1},
    {0xffc8, 0xffc9, KEY_F11},        {0xffe1, 0xffe1, KEY_LEFTSHIFT},
    {0xffe2, 0xffe2, KEY_RIGHTSHIFT}, {0xffe3, 0xffe3, KEY_LEFTCTRL},
    {0xffe4, 0xffe4, KEY_RIGHTCTRL},  {0xffe5, 0xffe5, KEY_CAPSLOCK},
    {0xffe7, 0xffe7, KEY_LEFTMETA},   {0xffe8, 0xffe8, KEY_RIGHTMETA},
    {0xffe9, 0xffe9, KEY_LEFTALT},    {0xffea, 0xffea, KEY_RIGHTALT},
    {0xffeb, 0xffeb, KEY_LEFTMETA},   {0xffec, 0xffec, KEY_RIGHTMETA},
    {0xffff, 0xffff, KEY_DELETE},
};

}  // namespace

uint16_t key_of(uint32_t keysym) {
  for (const Named& named : kNamed) {
    if (keysym < named.first || keysym > named.last) continue;
    return static_cast<uint16_t>(named.key + (keysym - named.first));
  }
  if (keysym > '~') return 0;
  for (const Row& row : kRows) {
    for (const std::string_view symbols : {row.plain, row.shifted}) {
      const size_t at = symbols.find(static_cast<char>(keysym));
      if (at != std::string_view::npos) return static_cast<uint16_t>(row.first + at);
    }
  }
  return 0;
}

}  // namespace trapline
