"""What the pages of the program do in a browser: `python pages.py PAGES PICTURES`, as scripts/test-browser.sh calls it.

PAGES has the folders that the script made: `live`, and those of reports with an HTML page each. PICTURES gets one of
each page at 1280 and 400 pixels, light and dark. Exit code 1 if anything is not as it should be.
"""

import functools
import os
import pathlib
import sys
import time
import traceback

from chrome import Chrome, Failed

# Milliseconds to the first words and to the whole page. Pages open in under 2 s on a quiet machine; runners are loaded.
OPEN_MS = float(os.environ.get("OPEN_MS", "5000"))
# Of a page that computes, to the first slot: software WebGPU compiles its kernels on one core.
START_S = float(os.environ.get("START_S", "90"))

# Fewest pictures a second of a replay.
FRAMES = float(os.environ.get("FRAMES", "15"))

pages, pictures = map(pathlib.Path, sys.argv[1:3])
pictures.mkdir(parents=True, exist_ok=True)
failures = []


def expect(holds, what):
    if not holds:
        raise Failed(what)


def test(name):
    """Runs a test and says how it went; the others run whatever happens."""

    def run(body):
        begun = time.monotonic()
        try:
            told = body()
        except Exception as e:
            failures.append(name)
            print(f"FAILED {name}: {e}")
            if not isinstance(e, Failed):
                traceback.print_exc()
        else:
            print(f"ok     {name}, {time.monotonic() - begun:.1f} s{': ' + told if told else ''}")

    return run


def opened(page):
    """That a page opens quickly, in words."""
    words, whole = page.opened_ms()
    expect(
        max(words, whole) < OPEN_MS, f"{page.address} needs {words:.0f} ms to its first words, {whole:.0f} ms in all"
    )
    return f"first words after {words:.0f} ms, whole after {whole:.0f} ms"


def clean(page):
    expect(page.errors == [], f"{page.address}: {page.errors}")


def photographed(page, name):
    """Pictures at both widths, light and dark; at neither does the page itself scroll sideways."""
    for width in (1280, 400):
        for dark in (False, True):
            page.shot(pictures / f"{name}-{width}-{'dark' if dark else 'light'}.png", width=width, dark=dark)
            expect(page.overflow() <= 0, f"{page.address} is {page.overflow()} pixels wider than {width}")
    page.look(1280)


def value(page, selector, key="value"):
    return page.eval(f"Number(document.querySelector('{selector}').dataset.{key})")


# ---- The live page ----


def computes(chrome):
    page = chrome.open(pages / "live/index.html")
    told = opened(page)
    page.wait("document.body.dataset.state !== 'starting'", START_S)
    expect(
        page.eval("document.body.dataset.state") == "running",
        page.eval("document.getElementById('status-text').textContent"),
    )
    words, differ, numbers, worst = (value(page, "#check", k) for k in ("words", "differ", "numbers", "worst"))
    expect(words > 10_000 and numbers > 100, f"only {words} words and {numbers} actions were compared")
    expect(differ == 0, f"{differ} of {words} words differ")
    expect(worst <= 1, f"an action is off by {worst} of its tolerance")
    expect(
        "0 of" in page.eval("document.querySelector('#check').textContent"),
        "the page does not say how many words differ",
    )

    page.click("[name=pace][value=all] + span")
    page.wait("Number(document.querySelector('#pace-rate').dataset.value) > 0", START_S)
    # Means over a whole episode: more power, a higher rate.
    rates = {}
    ends = {"low": 0, "high": page.eval("Number(document.querySelector('#set-power').max)")}
    for power, at in ends.items():
        page.slide("#set-power", at)
        page.click("#again")
        page.wait("Number(document.body.dataset.slots) >= 100", START_S)
        rates[power] = value(page, "#rate")
    expect(0 < rates["low"] < rates["high"], f"rates do not follow the power: {rates}")

    # One spike step is another program, which is checked before it runs.
    page.slide("#set-steps", 0)
    page.wait(f"Number(document.querySelector('#check').dataset.words) > {words}", START_S)
    expect(value(page, "#check", "differ") == 0, "spikes of another number of steps differ")
    page.slide("#set-speed", 30)
    for agent in page.eval("[...document.querySelectorAll('[name=agent]')].map((x) => x.value)"):
        page.click(f"[name=agent][value='{agent}']")
        page.wait("Number(document.body.dataset.slots) > 0", START_S)
        expect(value(page, "#rate") > 0, f"agent {agent} earns nothing")
    page.click("#play")
    before = page.eval("Number(document.body.dataset.slots)")
    time.sleep(0.5)
    expect(page.eval("Number(document.body.dataset.slots)") - before <= 64, "it does not pause")
    clean(page)
    return f"{told}; 0 of {words:.0f} words differ; {rates['low']:.2f} to {rates['high']:.2f} bps/Hz over the power"


def live_pictures(chrome):
    page = chrome.open(pages / "live/index.html")
    page.wait("document.body.dataset.state === 'running' && Number(document.body.dataset.slots) > 40", START_S)
    photographed(page, "live")
    clean(page)


def replays(chrome):
    page = chrome.open(pages / "live/index.html")
    told = opened(page)
    page.wait("document.body.dataset.state === 'replay'", 30)
    page.wait("Number(document.body.dataset.slots) > 20", 30)
    expect(value(page, "#rate") > 0, "no rate is shown")
    expect("WebGPU" in page.eval("document.getElementById('status-text').textContent"), "it does not say why")
    expect(page.eval("document.getElementById('set-power').disabled"), "a slider does nothing and can be moved")
    shown = page.pictures()
    expect(shown >= 30, f"only {shown:.0f} pictures a second")
    photographed(page, "live-replay")
    clean(page)
    return f"{told}; {shown:.0f} pictures a second"


# ---- Replays ----

SLOT = "Number(document.querySelector('[aria-label=slot]').value)"


def plays(chrome, path):
    page = chrome.open(path)
    told = opened(page)
    page.key("ArrowRight")
    expect(page.eval(SLOT) == 1, "an arrow does not go one slot on")
    page.key("End")
    last = page.eval(SLOT)
    expect(last == page.eval("Number(document.querySelector('[aria-label=slot]').max)"), "End is not the last slot")
    page.key("Home")
    before = page.eval("document.querySelector('.bar output').textContent")
    page.slide(".bar select", "50")
    page.key(" ", "Space", 32)
    shown = page.pictures()
    page.key(" ", "Space", 32)
    at = page.eval(SLOT)
    expect(0 < at, "it does not play")
    # Pages show 30 a second on a quiet machine; runners are loaded.
    expect(shown >= FRAMES, f"only {shown:.0f} pictures a second while it plays")
    expect(page.eval("document.querySelector('.bar output').textContent") != before, "it does not say where it is")
    time.sleep(0.3)
    expect(page.eval(SLOT) == at, "it does not pause")
    photographed(page, "replay")
    clean(page)
    return f"{told}; {shown:.0f} pictures a second"


# ---- Reports ----


def figures(page):
    """The first drawn curve tells its values to the pointer, and its legend hides it, by hand and by key."""
    page.eval("document.querySelector('[data-kind=points][data-points]').closest('figure').setAttribute('data-probe', '')")
    figure = "[data-probe]"
    name = page.eval(f"document.querySelector('{figure} [data-kind=points][data-points]').dataset.series")
    x, y = page.eval(
        f"(() => {{ const g = document.querySelector('{figure} [data-kind=points][data-points]');"
        " const svg = g.closest('svg'); svg.scrollIntoView({ block: 'center', behavior: 'instant' });"
        " const [, , , , , left, top] = JSON.parse(g.dataset.points).at(-1);"
        " const at = new DOMPoint(left, top).matrixTransform(svg.getScreenCTM()); return [at.x, at.y]; })()"
    )
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    tip = page.eval(f"document.querySelector('{figure} .tip')?.innerText ?? ''")
    expect(name in tip, f"the value of {name} is not told: '{tip}'")
    key = f'{figure} .key[data-series="{name}"]'
    shown = f"getComputedStyle(document.querySelector('{figure} g[data-series=\"{name}\"]:not(.key)')).display !== 'none'"
    page.click(key)
    expect(not page.eval(shown), f"a click on the legend leaves {name}")
    page.eval(f"document.querySelector('{key}').focus()")
    page.key("Enter", "Enter", 13)
    expect(page.eval(shown), f"Enter on the legend does not bring {name} back")


def report(chrome, path, name):
    page = chrome.open(path)
    told = opened(page)
    broken = page.eval("[...document.querySelectorAll('nav a')].filter((a) => !document.querySelector(a.hash)).length")
    expect(broken == 0, f"{broken} links of the contents lead nowhere")
    expect(page.eval("document.querySelectorAll('.answer').length") == 1, "it has no answer")
    if page.eval("document.querySelector('[data-kind=points][data-points]') !== null"):
        figures(page)
    expect(page.eval("document.querySelectorAll('h1').length") >= 1, "it has no title")
    expect(page.eval("document.body.innerText.length") > 200, "it says nothing")
    expect(page.eval("!/NaN|undefined/.test(document.body.innerText)"), "it shows NaN or undefined")
    photographed(page, name)
    clean(page)
    page.close()
    chrome.pages.remove(page)
    return told


with Chrome(os.environ.get("CHROMIUM")) as chrome:
    test("live: computes what the CPU computes, and follows its sliders")(lambda: computes(chrome))
    test("live: pictures")(lambda: live_pictures(chrome))
    test("replay: plays, steps and pauses")(lambda: plays(chrome, pages / "replay/replay.html"))
    for path in sorted(pages.glob("*/*.html")):
        if path.parent.name not in ("live", "replay"):
            name = f"{path.parent.name}-{path.stem}"
            test(name)(functools.partial(report, chrome, path, name))
with Chrome(os.environ.get("CHROMIUM"), webgpu=False) as chrome:
    test("live without WebGPU: plays a recorded run")(lambda: replays(chrome))

print(f"{len(failures)} failed" if failures else "all pages are as they should be", f"; pictures in {pictures}", sep="")
sys.exit(1 if failures else 0)
