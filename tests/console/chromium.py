"""A headless Chromium, driven over its own pipe by the DevTools protocol: nothing to install beside the browser."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT_S = 30.0

_FLAGS = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",
    "--lang=en",
    # Whatever the page asks of another host fails, and is seen to.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

_KEYS = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "Tab": 9}


def executable() -> str | None:
    """The browser of this machine; `CHROMIUM` in the environment names another."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One process with its own profile. `page()` opens a tab with no memory of the others."""

    def __init__(self, path: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        theirs, self._write = os.pipe()
        self._read, other = os.pipe()
        flags = [*_FLAGS, f"--user-data-dir={self._profile}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        # It reads commands from 3 and writes answers to 4.
        script = f'exec "$@" 3<&{theirs} 4>&{other}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "chromium", path, *flags],
            pass_fds=(theirs, other),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)
        os.close(other)
        self._number = 0
        self._received = b""
        self._pages: dict[str, Page] = {}

    def page(self) -> Page:
        context = self.command("Target.createBrowserContext")["browserContextId"]
        asked = {"url": "about:blank", "browserContextId": context}
        target = self.command("Target.createTarget", asked)["targetId"]
        session = self.command("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._pages[session] = page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.command(f"{domain}.enable")
        return page

    def command(
        self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """The result of a command. Events that come meanwhile go to their pages."""
        self._send(method, parameters, session)
        while True:
            got = self._receive()
            if got.get("id") == self._number:
                assert "error" not in got, f"{method}: {got['error']}"
                result: dict[str, Any] = got["result"]
                return result
            if (page := self._pages.get(got.get("sessionId", ""))) is not None:
                page.take(got["method"], got["params"])

    def _send(
        self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None
    ) -> None:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters or {}}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read], [], [], TIMEOUT_S)
            data = os.read(self._read, 1 << 20) if ready else b""
            assert data, "Chromium ended, or does not answer"
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        value: dict[str, Any] = json.loads(message)
        return value

    def close(self) -> None:
        # It may end before it answers, so nobody waits for the answer.
        with suppress(BrokenPipeError):
            self._send("Browser.close")
        try:
            self._process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Page:
    """One tab.

    problems:  what the browser complained of: exceptions, errors in its console, what the policy stopped
    requests:  the URLs that were asked for
    dialogs:   alerts that opened
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []

    def command(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._browser.command(method, parameters, self._session)

    def take(self, event: str, parameters: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif event == "Page.javascriptDialogOpening":
            self.dialogs.append(parameters["message"])
        elif event == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(parameters["exceptionDetails"]))
        elif event == "Log.entryAdded":
            entry = parameters["entry"]
            # An answer with the status of an error is the page's to tell of.
            if entry["level"] == "error" and entry["source"] != "network":
                self.problems.append(entry["text"])

    def go(self, url: str) -> None:
        self.command("Page.navigate", {"url": url})
        self.wait("document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """The value of an expression of JavaScript; a promise's, once it is there."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.command("Runtime.evaluate", asked)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        end_s = time.monotonic() + TIMEOUT_S
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end_s, f"never: {condition}; {self.run('document.body.innerText')}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """What a reader sees of the first element that fits."""
        found: str = self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def fill(self, selector: str, text: str) -> None:
        """Type a text in place of what a field holds."""
        self.run(f"(e => {{ e.focus(); e.select(); }})(document.querySelector({json.dumps(selector)}))")
        self.command("Input.insertText", {"text": text})

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key: str, *, control: bool = False) -> None:
        """Press and release a key: one of a name, or a character."""
        code = _KEYS.get(key, ord(key[0].upper()))
        told: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if control else 0}
        written = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        typed = {"text": written} if written and not control else {}
        self.command(
            "Input.dispatchKeyEvent", {"type": "keyDown" if typed else "rawKeyDown", **told, **typed}
        )
        self.command("Input.dispatchKeyEvent", {"type": "keyUp", **told})

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Give the window a size in CSS pixels, and the system its colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", {"features": [scheme]})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot")["data"]))
