#!/usr/bin/env python3
"""A tone that Linux plays by snd-hda-intel arrives in the WAV file: its length and frequency, and
no gap.

audio_test.py TRAPLINE GUEST_DIR [TRAPLINE OPTIONS]
"""
import array
import math
import os
import sys
import wave

from viewer import guest
import generic
import shells

RATE, SECONDS, HZ = 8000, 2, 440  # as /dev/dsp takes it: a byte a sample
# The codec's driver first: there is nothing in this guest that would load it when it is found.
MODULES = ["snd-hda-codec-generic", "snd-hda-intel", "snd-pcm-oss"]


def tone():
    return bytes(128 + round(100 * math.sin(2 * math.pi * HZ * n / RATE))
                 for n in range(RATE * SECONDS))


def check(path):
    with wave.open(path) as file:
        guest.require((file.getnchannels(), file.getsampwidth(), file.getframerate()) ==
                      (2, 2, 48000), f"{file.getparams()}")
        samples = array.array("h", file.readframes(file.getnframes()))
    left, right = samples[0::2], samples[1::2]
    guest.require(left == right, "the two channels differ")
    loud = [n for n, sample in enumerate(left) if abs(sample) > 1000]
    guest.require(loud, f"{len(left)} frames of silence")
    heard = left[loud[0]:loud[-1] + 1]
    seconds = len(heard) / 48000
    guest.require(abs(seconds - SECONDS) < 0.05, f"{seconds} s of sound")
    rises = [n for n in range(1, len(heard)) if heard[n - 1] < 0 <= heard[n]]
    hz = (len(rises) - 1) * 48000 / (rises[-1] - rises[0])
    guest.require(abs(hz - HZ) < 1, f"{hz} Hz")
    periods = [b - a for a, b in zip(rises, rises[1:])]
    guest.require(max(periods) - min(periods) < 20, f"gaps: from {min(periods)} to {max(periods)}")
    guest.require(max(heard) > 20000, f"at most {max(heard)}")
    print(f"{seconds:.3f} s of {hz:.2f} Hz")


def test():
    trapline, directory, *options = sys.argv[1:]
    generic.need(directory)
    with shells.scratch() as folder:
        image, sound = os.path.join(folder, "initrd"), os.path.join(folder, "sound.wav")
        stats = os.path.join(folder, "stats.json")
        generic.initrd(image, directory, "initrd-test.gz", MODULES, {"tone": tone()})
        play = "cat /proc/asound/cards; cat /tone > /dev/dsp"
        status, output, errors = guest.run(
            [trapline, "run", *generic.options(
                directory, image, f"{guest.CMDLINE} trapline.cmd={play}"),
             "--audio", "wav:" + sound, "--stats", stats, *options], 900)
        text = output.decode(errors="replace")
        guest.require(status == 0 and "TRAPLINE-TEST PASS" in text, f"{status}\n{text}\n{errors}")
        guest.require("HDA Intel" in text, text)
        check(sound)
        rows = guest.load_stats(stats)
        names = str(rows)
        for register in ("SD0CTL", "CORBWP", "RIRBWP"):
            guest.require(register in names, f"no {register} in the statistics")


guest.main(test)
