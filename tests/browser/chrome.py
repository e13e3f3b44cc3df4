"""A headless Chromium under control: opens pages, clicks, reads values, notes every error, takes pictures.

    with Chrome() as chrome:
        page = chrome.open("report.html")
        page.click("#play")
        assert page.eval("document.title") == "…"
        page.shot("report.png", width=400, dark=True)
        assert page.errors == []

Speaks the Chrome DevTools protocol over one socket; needs only the package `websockets`.
"""

import base64
import json
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request

from websockets.sync.client import connect

# WebGPU without a GPU, and no sandbox: containers have none.
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--remote-debugging-port=0",
]


class Failed(AssertionError):
    """What a page did not do."""


class Chrome:
    """A browser of its own, with an empty profile; `webgpu=False` is one without WebGPU."""

    def __init__(self, program=None, webgpu=True):
        program = program or next(
            filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
        )
        if program is None:
            raise Failed("no Chromium: name one, or install Debian's package chromium")
        self.folder = tempfile.mkdtemp(prefix="browser-")
        flags = [f for f in FLAGS if webgpu or "webgpu" not in f]
        if not webgpu:
            flags.append("--disable-features=WebGPU,WebGPUService")
        self.process = subprocess.Popen(
            [program, *flags, f"--user-data-dir={self.folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        told = pathlib.Path(self.folder, "DevToolsActivePort")
        self._until(lambda: told.exists() and len(told.read_text().split("\n")) >= 2, "the browser does not start")
        self.port = int(told.read_text().split("\n")[0])
        self.pages = []

    def _until(self, happens, what, seconds=60):
        end = time.monotonic() + seconds
        while not happens():
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                raise Failed(what)
            time.sleep(0.05)

    def open(self, where, width=1280, height=900, dark=False):
        """A page of a file or an address, when it has been loaded."""
        address = where if "://" in str(where) else pathlib.Path(where).resolve().as_uri()
        ask = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(ask, timeout=60) as answer:
            target = json.load(answer)
        page = Page(target["webSocketDebuggerUrl"], address, width, height, dark)
        self.pages.append(page)
        return page

    def close(self):
        for page in getattr(self, "pages", []):
            page.socket.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Page:
    """One tab. `errors`: what was logged as an error, exceptions, failed requests, and requests to the network."""

    def __init__(self, socket, address, width, height, dark):
        self.socket = connect(socket, max_size=None, open_timeout=60)
        self.address, self.errors, self.requests, self.loaded = address, [], [], False
        self._last = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.look(width, height, dark)
        self.begun = time.monotonic()
        answer = self.send("Page.navigate", url=address)
        if "errorText" in answer:
            raise Failed(f"{address}: {answer['errorText']}")
        self._until(lambda: self.loaded, "is not loaded")

    # ---- The protocol ----

    def send(self, method, **params):
        """The answer to a command; what happens meanwhile is noted."""
        self._last += 1
        mine = self._last
        self.socket.send(json.dumps({"id": mine, "method": method, "params": params}))
        end = time.monotonic() + 120
        while True:
            message = self._receive(end - time.monotonic())
            if message is None:
                raise Failed(f"{self.address}: no answer to {method}")
            if message.get("id") == mine:
                if "error" in message:
                    raise Failed(f"{method}: {message['error']['message']}")
                return message["result"]

    def _receive(self, seconds):
        try:
            message = json.loads(self.socket.recv(timeout=max(seconds, 0)))
        except TimeoutError:
            return None
        if "method" in message:
            self._note(message["method"], message["params"])
        return message

    def _note(self, method, p):
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            detail = p["exceptionDetails"]
            self.errors.append(detail.get("exception", {}).get("description") or detail["text"])
        elif method == "Runtime.consoleAPICalled" and p["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description", ""))) for a in p["args"]))
        elif method == "Log.entryAdded" and p["entry"]["level"] == "error":
            self.errors.append(f"{p['entry']['text']} ({p['entry'].get('url', '')})")
        elif method == "Network.requestWillBeSent":
            url = p["request"]["url"]
            self.requests.append(url)
            if not url.startswith(("file:", "data:", "blob:", "about:")) and self.address.startswith("file:"):
                self.errors.append(f"asks the network: {url}")
        elif method == "Network.loadingFailed" and not p.get("canceled"):
            self.errors.append(f"a request failed: {p['errorText']}")
        elif method == "Network.responseReceived" and p["response"]["status"] >= 400:
            self.errors.append(f"{p['response']['url']}: status {p['response']['status']}")

    def _until(self, happens, what, seconds=60):
        end = time.monotonic() + seconds
        while not happens():
            if time.monotonic() > end:
                raise Failed(f"{self.address}: {what}; errors: {self.errors}")
            self._receive(0.05)

    # ---- What a person does ----

    def eval(self, script):
        """The value of an expression in the page; promises are awaited."""
        got = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in got:
            raise Failed(f"{script}: {got['exceptionDetails'].get('exception', {}).get('description', 'failed')}")
        return got["result"].get("value")

    def wait(self, script, seconds=60):
        """Until an expression is true."""
        self._until(lambda: self.eval(script), f"never: {script}", seconds)

    def middle(self, selector):
        """Centre of the first element of a selector, scrolled into view."""
        quoted = json.dumps(selector)
        at = self.eval(
            f"(() => {{ const e = document.querySelector({quoted}); if (!e) return null;"
            " e.scrollIntoView({ block: 'center', behavior: 'instant' });"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        if at is None:
            raise Failed(f"{self.address}: no {selector}")
        return at

    def hover(self, selector):
        x, y = self.middle(selector)
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector):
        x, y = self.middle(selector)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, key, code=None, number=0):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, windowsVirtualKeyCode=number)

    def slide(self, selector, value):
        """Moves a slider to a value as a hand does: with events."""
        quoted = json.dumps(selector)
        self.eval(
            f"(() => {{ const e = document.querySelector({quoted}); e.value = {json.dumps(value)};"
            " for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, { bubbles: true })); })()"
        )

    # ---- What a person sees ----

    def look(self, width, height=900, dark=False):
        """Window size in CSS pixels, and the colours that the person likes."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = "dark" if dark else "light"
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def shot(self, path, width=1280, dark=False, most=6000):
        """A picture of the whole page, at most so high."""
        self.look(width, dark=dark)
        self.eval("new Promise((done) => setTimeout(done, 250))")
        self.eval("window.scrollTo(0, 0)")
        high = min(self.eval("Math.ceil(document.documentElement.scrollHeight)"), most)
        clip = {"x": 0, "y": 0, "width": width, "height": high, "scale": 1}
        got = self.send("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        pathlib.Path(path).write_bytes(base64.b64decode(got["data"]))

    def opened_ms(self):
        """Milliseconds to the first words on the screen, and to the whole page."""
        self.wait("performance.getEntriesByName('first-contentful-paint').length > 0", 20)
        return self.eval(
            "[performance.getEntriesByName('first-contentful-paint')[0].startTime,"
            " performance.getEntriesByType('navigation')[0].loadEventEnd]"
        )

    def pictures(self, seconds=2):
        """Pictures a second that the page could show."""
        return self.eval(
            "new Promise((done) => { let n = 0; const from = performance.now(); const tick = (now) => {"
            f" n += 1; now - from < {1000 * seconds} ? requestAnimationFrame(tick) : done(1000 * n / (now - from)); }};"
            " requestAnimationFrame(tick); })"
        )

    def overflow(self):
        """Pixels by which the page is wider than its window: a person would have to scroll sideways."""
        return self.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def close(self):
        self.send("Page.close")
