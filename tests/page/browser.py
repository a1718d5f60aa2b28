# Copyright: (c) 2026, the Good Standing developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium, spoken to over a pipe with the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
import typing as t
from pathlib import Path

_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
]  # fmt: skip
SECONDS = 60


class Browser:
    """One page of a Chromium. requests: URLs that were asked for, but those that the page's policy stopped; said: what the page wrote to
    its console; dialogs: those it opened."""

    def __init__(self, profile: Path) -> None:
        down, up = os.pipe(), os.pipe()

        def hand_over() -> None:  # Chromium reads commands from 3 and writes answers to 4
            keep = os.dup(down[0]), os.dup(up[1])
            os.dup2(keep[0], 3)
            os.dup2(keep[1], 4)

        self.process = subprocess.Popen(
            ["/usr/bin/chromium", *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=hand_over, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(down[0])
        os.close(up[1])
        self.commands, self.answers = down[1], up[0]
        self.buffer, self.number, self.session = b"", 0, None
        self.requests: list[str] = []
        self.said: list[str] = []
        self.dialogs: list[str] = []
        self._ids: dict[str, str] = {}
        self.loaded = False
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: t.Any) -> dict[str, t.Any]:
        """Send a command and return its result."""
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": params, **({"sessionId": self.session} if self.session else {})}
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self) -> dict[str, t.Any]:
        """Return the next message; events are noted."""
        while b"\0" not in self.buffer:
            assert select.select([self.answers], [], [], SECONDS)[0], f"Chromium was silent for {SECONDS} seconds"
            chunk = os.read(self.answers, 1 << 20)
            assert chunk, "Chromium ended"
            self.buffer += chunk
        raw, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(raw)
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
            self._ids[params["requestId"]] = params["request"]["url"]
        elif method == "Network.loadingFailed" and params.get("blockedReason") == "csp":
            self.requests.remove(self._ids[params["requestId"]])  # it never left
        elif method == "Runtime.consoleAPICalled":
            self.said.extend(str(each.get("value")) for each in params["args"])
        elif method == "Log.entryAdded":
            self.said.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.said.append(params["exceptionDetails"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])
            self.number += 1
            dismiss = {"id": self.number, "method": "Page.handleJavaScriptDialog", "params": {"accept": False}, "sessionId": self.session}
            os.write(self.commands, json.dumps(dismiss).encode() + b"\0")
        elif method == "Page.loadEventFired":
            self.loaded = True
        return message

    def open(self, path: Path, width: int = 1280, dark: bool = False, scripts: bool = True, media: str = "screen") -> float:
        """Open a file, and return the seconds until it was laid out and drawn once."""
        self("Emulation.setScriptExecutionDisabled", value=not scripts)
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.requests, self.said, self.dialogs, self.loaded = [], [], [], False
        begin = time.monotonic()
        self("Page.navigate", url=path.as_uri())
        while not self.loaded:
            self._next()
        self("Page.captureScreenshot", format="jpeg", quality=1)
        return time.monotonic() - begin

    def run(self, script: str) -> t.Any:
        """Return what a script of the test's own says; the page's policy does not bind it."""
        result = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str, code: int) -> None:
        text = {"text": "\r"} if key == "Enter" else {}
        self("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
        self("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, path: Path, top: float = 0, height: float | None = None) -> None:
        """Write a PNG of the page from top to bottom, or of so many pixels of it."""
        size = self("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": size["width"], "height": min(height or size["height"], size["height"] - top), "scale": 1}
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]))

    def pdf(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self("Page.printToPDF", printBackground=False)["data"]))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.commands)
        os.close(self.answers)
