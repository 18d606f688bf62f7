#!/usr/bin/env python3
"""A tone that Linux plays by snd-hda-intel arrives in the WAV file: its length and frequency, and
no gap. With `alsa` ALSA's library writes that file, by its plugin `file`.

audio_test.py TRAPLINE GUEST_DIR [alsa] [TRAPLINE OPTIONS]
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


def alsa(trapline, folder, sound):
    """The value of --audio; ALSA's configuration is this and nothing else."""
    configuration = os.path.join(folder, "asound.conf")
    with open(configuration, "w", encoding="ascii") as file:
        file.write(f"""
            pcm.heard {{ type file  slave.pcm {{ type null }}  file "{sound}"  format "wav" }}
            pcm.default {{ type null }}
            pcm.nowhere {{ type hw  card 77 }}
        """)
    os.environ["ALSA_CONFIG_PATH"] = configuration

    def ends(device):
        status, output, errors = guest.run([trapline, "run", "--raw", configuration, "--audio", device], 600)
        return status, errors.splitlines()

    for device in ("alsa:nowhere", "alsa:unknown", "pipewire"):
        status, lines = ends(device)
        if len(lines) == 1 and "this build has no libasound" in lines[0]:
            print("SKIPPED: no libasound2-dev when this was built")
            sys.exit(guest.SKIPPED)
        guest.require(status == 1 and len(lines) == 1 and f"--audio {device}" in lines[0], f"{device}: {status}\n{lines}")
    return "alsa:heard"


def test():
    trapline, directory, *options = sys.argv[1:]
    generic.need(directory)
    by_alsa = options[:1] == ["alsa"]
    options = options[by_alsa:]
    with shells.scratch() as folder:
        image, sound = os.path.join(folder, "initrd"), os.path.join(folder, "sound.wav")
        stats = os.path.join(folder, "stats.json")
        generic.initrd(image, directory, "initrd-test.gz", audio_tone.MODULES,
                       {"tone": audio_tone.tone()})
        play = "cat /proc/asound/cards; cat /tone > /dev/dsp"
        status, output, errors = guest.run(
            [trapline, "run", *generic.options(
                directory, image, f"{guest.CMDLINE} trapline.cmd={play}"),
             "--audio", alsa(trapline, folder, sound) if by_alsa else "wav:" + sound, "--stats", stats, *options], 900)
        text = output.decode(errors="replace")
        guest.require(status == 0 and "TRAPLINE-TEST PASS" in text, f"{status}\n{text}\n{errors}")
        guest.require("HDA Intel" in text, text)
        check(sound)
        rows = guest.load_stats(stats)
        names = str(rows)
        for register in ("SD0CTL", "CORBWP", "RIRBWP"):
            guest.require(register in names, f"no {register} in the statistics")


guest.main(test)
