// A device of ALSA's, in the process that plays (sound_process.h).
#ifndef TRAPLINE_VMM_HOST_ALSA_H_
#define TRAPLINE_VMM_HOST_ALSA_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace trapline {

// Loads the library and opens the device. One line if that cannot be.
std::string alsa_open(const std::string& device);
// Whole frames; waits for the device. False: it takes no more.
bool alsa_play(const uint8_t* frames, size_t count);
// Nothing follows for a while: what was played shall be heard.
void alsa_rest();
// Likewise, for ever.
void alsa_close();

}  // namespace trapline

#endif  // TRAPLINE_VMM_HOST_ALSA_H_
