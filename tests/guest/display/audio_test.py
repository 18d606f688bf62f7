#!/usr/bin/env python3
"""A tone that Linux plays by snd-hda-intel arrives in the WAV file: its length and frequency, and
no gap.

audio_test.py TRAPLINE GUEST_DIR [TRAPLINE OPTIONS]
"""
import os
import sys

from viewer import guest
import audio_tone
import generic
import shells


def check(path):
    heard = audio_tone.heard(path)
    seconds = len(heard) / 48000
    guest.require(abs(seconds - audio_tone.SECONDS) < 0.05, f"{seconds} s of sound")
    rises = audio_tone.rises(heard)
    hz = (len(rises) - 1) * 48000 / (rises[-1] - rises[0])
    guest.require(abs(hz - audio_tone.HZ) < 1, f"{hz} Hz")
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
        generic.initrd(image, directory, "initrd-test.gz", audio_tone.MODULES,
                       {"tone": audio_tone.tone()})
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
