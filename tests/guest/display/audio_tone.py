"""A tone that a guest plays by OSS's /dev/dsp, and the WAV file in which it arrives."""
import array
import math
import wave

from viewer import guest

RATE, SECONDS, HZ = 8000, 2, 440  # as /dev/dsp takes it: a byte a sample
# The codec's driver first: there is nothing in this guest that would load it when it is found.
MODULES = ["snd-hda-codec-generic", "snd-hda-intel", "snd-pcm-oss"]


def tone():
    return bytes(128 + round(100 * math.sin(2 * math.pi * HZ * n / RATE))
                 for n in range(RATE * SECONDS))


def heard(path):
    """The left channel from the first loud sample to the last; the right one is as it."""
    with wave.open(path) as file:
        guest.require((file.getnchannels(), file.getsampwidth(), file.getframerate()) ==
                      (2, 2, 48000), f"{file.getparams()}")
        samples = array.array("h", file.readframes(file.getnframes()))
    left, right = samples[0::2], samples[1::2]
    guest.require(left == right, "the two channels differ")
    loud = [n for n, sample in enumerate(left) if abs(sample) > 1000]
    guest.require(loud, f"{len(left)} frames of silence")
    return left[loud[0]:loud[-1] + 1]


def rises(samples):
    """Where they go through zero upwards."""
    return [n for n in range(1, len(samples)) if samples[n - 1] < 0 <= samples[n]]


def check_pitch(path):
    """Of what was heard, most periods are the tone's: it may begin and end anywhere, and anew."""
    at = rises(heard(path))
    periods = sorted(b - a for a, b in zip(at, at[1:]))
    guest.require(len(periods) > HZ // 2, f"{len(periods)} periods")
    middle = periods[len(periods) // 10:-len(periods) // 10]
    hz = 48000 * len(middle) / sum(middle)
    guest.require(abs(hz - HZ) < 1, f"{hz} Hz")
