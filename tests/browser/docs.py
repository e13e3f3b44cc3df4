"""Pictures of the docs: `python docs.py PAGES FOLDER`, as scripts/pictures.sh calls it."""

import os
import pathlib
import sys

from chrome import Chrome

pages, folder = map(pathlib.Path, sys.argv[1:3])
folder.mkdir(parents=True, exist_ok=True)
with Chrome(os.environ.get("CHROMIUM")) as chrome:
    page = chrome.open(pages / "replay.html", width=1100)
    page.slide("[aria-label=slot]", 45)
    page.shot(folder / "replay.png", width=1100, most=980)
    page = chrome.open(pages / "live/index.html", width=1100, dark=True)
    page.wait("document.body.dataset.state === 'running' && Number(document.body.dataset.slots) > 45", 120)
    page.click("#play")
    page.shot(folder / "live.png", width=1100, dark=True, most=1000)
    page = chrome.open(pages / "report.html", width=1100)
    page.shot(folder / "report.png", width=1100, most=1300)
