// Fuzz target: symbols of any bytes, as each kind of file, packed and not.
#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/vmm/symbols/kallsyms_image.h"
#include "vmm/symbols/disassemble.h"
#include "vmm/symbols/elf_symbols.h"
#include "vmm/symbols/kallsyms.h"
#include "vmm/symbols/kernel_file.h"
#include "vmm/symbols/kernel_fit.h"
#include "vmm/symbols/text_symbols.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trapline;
  const std::span<const uint8_t> bytes(data, size);
  (void)kallsyms_of_image(bytes);
  (void)symbols_of_elf(bytes);
  (void)symbols_of_text({reinterpret_cast<const char*>(data), size});
  (void)linux_banner(bytes);
  std::vector<uint8_t> out;
  (void)unpack(bytes, out);
  if (size < 8) return 0;
  uint32_t word;
  std::memcpy(&word, data, sizeof word);
  (void)disassemble(word, size);
  // Good tables with some bytes changed, since chance makes none.
  static const std::vector<uint8_t> good = [] {
    KallsymsImage image;
    image.symbols = KallsymsImage::some(600);
    return image.bytes();
  }();
  std::vector<uint8_t> image = good;
  constexpr size_t kTables = 0x4'0000;
  for (size_t i = 0; i + 3 < size && i < 4 * 64; i += 4) {
    const size_t at = kTables + (data[i] | data[i + 1] << 8) % (image.size() - kTables);
    image[at] = data[i + 2];
  }
  if (auto table = kallsyms_of_image(image)) (void)table->describe(0xffff'8000'0801'0000 + word);
  return 0;
}
