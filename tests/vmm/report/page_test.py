#!/usr/bin/env python3
"""The report's page in a headless Chromium: draws, complains of nothing, loads nothing, fits its screen.

page_test.py TRAPLINE [FOLDER]      with FOLDER, screenshots are left there

Without Chromium it is skipped (status 77).
"""
import json
import os
import subprocess
import sys
import tempfile

from browser import Browser, program

TRAPLINE = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
HOSTILE = "</script><img src=x onerror=window.broken=1><script>window.broken=1</script>&amp;"


def require(condition, message):
    if not condition:
        sys.exit(message)


def make(folder, name, *options):
    path = os.path.join(folder, name)
    subprocess.run([sys.executable, "-B", os.path.join(HERE, "make_profile.py"), *options, path], check=True)
    return path


def page_of(folder, name, *inputs):
    path = os.path.join(folder, name)
    subprocess.run([TRAPLINE, "report", *inputs, "-o", path], check=True, timeout=60)
    return path


def edited(folder, name, source, edit):
    with open(source, encoding="utf-8") as file:
        document = json.load(file)
    edit(document)
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    return path


def hostile(document):
    profile = document["profile"]
    for row in profile["rows"]:
        row["symbol"] = HOSTILE
        row["register"] = HOSTILE
    profile["notes"].append(HOSTILE)
    profile["stacks"][0]["frames"][0] = HOSTILE
    document["nested_ledger"][HOSTILE] = document["nested_ledger"].pop("hypercall")
    document["nested_ledger"][HOSTILE]["traps"][0]["name"] = HOSTILE


def bare(document):
    """What a report of nearly nothing must bear."""
    profile = document["profile"]
    del document["nested_ledger"]
    profile["rows"] = [r for r in profile["rows"] if r["class"] == "SYS64"][:1]
    profile["rows"][0]["time_ns"] = {"count": 0, "sum": 0, "min": 0, "max": 0, "buckets": []}
    profile["rows"][0]["stages_ns"] = {}
    for part in ("vcpus", "timeline", "stacks", "latencies", "icache", "notes"):
        del profile[part]


def nothing(document):
    bare(document)
    document["profile"]["rows"] = []


# All that can be pressed, pressed; what it must lead to.
PRESS = """
(async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const rows = () => document.querySelectorAll('#instructions tbody tr').length;
  const result = {};
  for (const button of document.querySelectorAll('.choice button')) { button.click(); await frame(); }
  for (const button of document.querySelectorAll('.choice button:first-child')) { button.click(); await frame(); }
  for (const name of document.querySelectorAll('#instructions th button')) { name.click(); await frame(); }
  const registers = () => document.querySelectorAll('#nested table:last-child tbody tr').length;
  result.nestedRegisters = registers();
  for (const row of document.querySelectorAll('#nested td button')) { row.click(); await frame(); }
  for (let i = 0; i < 2; ++i) { document.querySelector('#nested td button').click(); await frame(); }
  result.nestedAgain = registers();
  result.before = rows();
  const filter = document.querySelector('.filter');
  filter.value = 'UARTFR';
  filter.dispatchEvent(new Event('input'));
  await frame();
  result.filtered = rows();
  result.focused = filter.isConnected;
  filter.value = '';
  filter.dispatchEvent(new Event('input'));
  const areas = () => document.querySelectorAll('#timeline svg path[style*=fill]').length;
  result.areas = areas();
  document.querySelector('#timeline .legend button').click();
  await frame();
  result.areasWithoutOne = areas();
  const frames = () => document.querySelectorAll('.flame g').length;
  result.frames = frames();
  [...document.querySelectorAll('.flame g')].find((g) => g.textContent.startsWith('el1h_64_irq')).dispatchEvent(new MouseEvent('click', {bubbles: true}));
  await frame();
  result.framesZoomed = frames();
  for (const svg of document.querySelectorAll('svg, .flame g, .stack i')) {
    const box = svg.getBoundingClientRect();
    svg.dispatchEvent(new PointerEvent('pointermove', {clientX: box.x + box.width / 2, clientY: box.y + 5, bubbles: true}));
  }
  result.tip = document.getElementById('tip').textContent.length;
  const before = getComputedStyle(document.body).backgroundColor;
  document.getElementById('theme').click();
  result.themeChanges = getComputedStyle(document.body).backgroundColor !== before;
  document.getElementById('theme').click();
  return result;
})()
"""


def check(browser, path, sections, shots):
    grounds = set()
    for width in (1280, 400):
        for dark in (False, True):
            browser.open(path, width, dark)
            where = f"{os.path.basename(path)} at {width}, {'dark' if dark else 'light'}"
            require(browser.evaluate("document.documentElement.scrollWidth") <= width, f"{where}: scrolls sideways")
            # Nothing sticks out of its card, either.
            out = browser.evaluate("""[...document.querySelectorAll('.card, .tile')].flatMap((card) => {
                const edge = card.getBoundingClientRect().right;
                return [...card.querySelectorAll('div, p, td, th, code, button')]
                  .filter((e) => e.getBoundingClientRect().right > edge + 1).map((e) => e.className + ': ' + e.textContent.slice(0, 60));
              })""")
            require(not out, f"{where}: sticks out: {out[:3]}")
            ids = browser.evaluate("[...document.querySelectorAll('section.card')].map((s) => s.id)")
            require(ids == sections, f"{where}: sections {ids}")
            require(browser.evaluate("document.body.innerText.match(/NaN|undefined|Infinity|\\[object/)") is None,
                    f"{where}: shows no number: {browser.evaluate('document.body.innerText')}")
            require(browser.evaluate("window.broken") is None, f"{where}: a name was run")
            grounds.add((dark, browser.evaluate("getComputedStyle(document.body).backgroundColor")))
            if shots:
                name = os.path.basename(path).replace(".html", f"-{width}-{'dark' if dark else 'light'}.png")
                browser.screenshot(os.path.join(shots, name))
            require(not browser.complaints(), f"{where}: {browser.complaints()}")
    require(len(grounds) == 2 and len({ground for _, ground in grounds}) == 2, f"themes: {grounds}")


def press(browser, path):
    for width in (1280, 400):
        browser.open(path, width, False)
        result = browser.evaluate(PRESS)
        require(result["filtered"] == 1 and result["before"] > 5 and result["focused"], f"filter: {result}")
        require(0 < result["areasWithoutOne"] < result["areas"], f"legend: {result}")
        require(0 < result["framesZoomed"] < result["frames"], f"flame graph: {result}")
        require(result["nestedRegisters"] == result["nestedAgain"] == 2, f"registers: {result}")
        require(result["tip"] > 5 and result["themeChanges"], f"tooltip, theme: {result}")
        require(not browser.complaints(), f"pressed: {browser.complaints()}")


def main():
    if program() is None:
        print("skipped: chromium is not installed")
        sys.exit(77)
    shots = sys.argv[2] if len(sys.argv) > 2 else None
    every = ["timeline", "latency", "stages", "instructions", "flame", "nested", "vcpus", "cache"]
    with tempfile.TemporaryDirectory() as folder, Browser(timeout=240) as browser:
        a = make(folder, "a.json")
        b = make(folder, "b.json", "--seed", "2", "--scale", "0.8", "--slow", "1.4")
        one = page_of(folder, "one.html", a)
        check(browser, one, every, shots)
        press(browser, one)
        check(browser, page_of(folder, "two.html", a, b), ["differences"] + every, shots)
        check(browser, page_of(folder, "hostile.html", edited(folder, "hostile.json", a, hostile)), every, shots)
        check(browser, page_of(folder, "plain.html", make(folder, "plain.json", "--no-stacks")), every, shots)
        check(browser, page_of(folder, "bare.html", edited(folder, "bare.json", a, bare)),
              ["latency", "instructions", "flame"], shots)
        check(browser, page_of(folder, "nothing.html", edited(folder, "nothing.json", a, nothing)),
              ["latency", "instructions", "flame"], shots)
    print("ok")


main()
