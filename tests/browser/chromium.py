"""Drive a headless Chromium over the DevTools protocol: one browser, one tab, real keys."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from protocols.http_client.client import HttpClient
from protocols.websocket.client import open_websocket
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.limits import WebSocketLimits

CHROMIUM = os.environ.get("OCLAW_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]
START_SECONDS, PATIENCE_SECONDS, STARTS = 60.0, 60.0, 3
# A screenshot is one message.
_LIMITS = WebSocketLimits(message_bytes=20_000_000)
_KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), " ": (32, " "), "PageUp": (33, "")}


class Died(Exception):
    """The browser ended before it listened; the message is what it said."""


class Tab:
    """One tab. `events` are what the browser told besides answers: requests, errors, log entries."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection, self._number = connection, 0
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        await self._connection.send(json.dumps(order))
        while True:
            with trio.fail_after(PATIENCE_SECONDS):
                heard = json.loads(await self._connection.receive())
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                result: dict[str, Any] = heard["result"]
                return result
            self.events.append(heard)

    async def open(self, url: str) -> None:
        """Go to a page."""
        await self.call("Page.navigate", url=url)

    async def js(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, condition: str) -> None:
        """Return when a condition of the page holds; fails with what the page shows when it never does."""
        with trio.move_on_after(PATIENCE_SECONDS):
            while not await self._holds(condition):
                await trio.sleep(0.02)
            return
        raise AssertionError(f"{condition} never held; the page shows: {await self.js('document.body.innerText')}")

    async def type(self, words: str) -> None:
        """Write into what has the focus."""
        await self.call("Input.insertText", text=words)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release one key."""
        code, text = _KEYS[key]
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        common["code"] = "Space" if key == " " else key
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        await self.call("Input.dispatchKeyEvent", **common, **down)
        await self.call("Input.dispatchKeyEvent", **common, type="keyUp")

    async def tap(self, selector: str) -> None:
        """Touch the middle of an element."""
        box = f"JSON.stringify(document.querySelector({selector!r}).getBoundingClientRect())"
        found = json.loads(await self.js(box))
        at = {"x": found["x"] + found["width"] / 2, "y": found["y"] + found["height"] / 2}
        await self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[at])
        await self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    async def be_a_phone(self) -> None:
        """Take the size of a phone, and a finger for a pointer."""
        size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Emulation.setTouchEmulationEnabled", enabled=True)

    async def shot(self, name: str) -> None:
        """Keep a screenshot, if somebody asked for them."""
        if folder := os.environ.get("OCLAW_SHOTS"):
            taken = await self.call("Page.captureScreenshot", format="png")
            await trio.Path(folder, f"{name}.png").write_bytes(base64.b64decode(taken["data"]))

    async def _holds(self, condition: str) -> bool:
        # While a page is being replaced there is nothing to ask.
        result = await self.call("Runtime.evaluate", expression=f"Boolean({condition})", returnByValue=True)
        return "exceptionDetails" not in result and bool(result["result"].get("value"))


@asynccontextmanager
async def open_tab() -> AsyncIterator[Tab]:
    """Start a browser of its own with one empty tab."""
    with tempfile.TemporaryDirectory(prefix="oclaw-", ignore_cleanup_errors=True) as profile:
        process, port = await _started(profile)
        try:
            async with trio.open_nursery() as nursery, HttpClient() as http:
                nursery.start_soon(_swallow, process)
                page = await _page(http, port)
                async with open_websocket(page, limits=_LIMITS) as connection:
                    tab = Tab(connection)
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await tab.call(f"{domain}.enable")
                    yield tab
                nursery.cancel_scope.cancel()
        finally:
            await _end(process)


async def _started(profile: str) -> tuple[trio.Process, int]:
    """Start the browser and return where it listens. One that dies at its start shows nothing: it is tried again."""
    said = ""
    for _ in range(STARTS):
        process = await trio.lowlevel.open_process(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": profile},
        )
        try:
            return process, await _port(process)
        except BaseException as error:
            await _end(process)
            if not isinstance(error, Died):
                raise
            said = str(error)
    raise AssertionError(f"Chromium died {STARTS} times: {said}")


async def _end(process: trio.Process) -> None:
    process.kill()
    with trio.CancelScope(shield=True):  # a killed process ends at once
        await process.wait()


async def _page(http: HttpClient, port: int) -> str:
    """Return where the one tab is talked to; it may come a moment after the browser listens."""
    with trio.fail_after(START_SECONDS):
        while True:
            tabs = json.loads((await http.request("GET", f"http://127.0.0.1:{port}/json")).body)
            for each in tabs:
                if each["type"] == "page":
                    return str(each["webSocketDebuggerUrl"])
            await trio.sleep(0.05)


async def _port(process: trio.Process) -> int:
    said = b""
    assert process.stderr is not None
    with trio.fail_after(START_SECONDS):
        while (found := re.search(rb"DevTools listening on ws://127\.0\.0\.1:(\d+)/.*\n", said)) is None:
            piece = await process.stderr.receive_some()
            if not piece:
                raise Died(said.decode(errors="replace"))
            said += piece
    return int(found[1])


async def _swallow(process: trio.Process) -> None:
    assert process.stderr is not None
    async for _ in process.stderr:
        pass


def trouble(tab: Tab) -> list[dict[str, Any]]:
    """Return what went wrong in the page: exceptions, and errors in its log."""
    wrong = [each for each in tab.events if each["method"] == "Runtime.exceptionThrown"]
    logged = [each for each in tab.events if each["method"] == "Log.entryAdded"]
    return wrong + [each for each in logged if each["params"]["entry"]["level"] == "error"]


def requested(tab: Tab) -> set[str]:
    """Return the addresses that the page asked for."""
    asked = {each["params"]["request"]["url"] for each in tab.events if each["method"] == "Network.requestWillBeSent"}
    return asked | {each["params"]["url"] for each in tab.events if each["method"] == "Network.webSocketCreated"}


def does_not_start() -> str:
    """Say why no page can be shown on this machine, or ''."""
    said = ""
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="oclaw-", ignore_cleanup_errors=True) as profile:
            command = [CHROMIUM, *FLAGS[:-1], f"--user-data-dir={profile}", "--dump-dom", "data:text/html,shown"]
            environment = {**os.environ, "TMPDIR": profile}
            shown = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
            if "shown" in shown.stdout:
                return ""
            said = f"{CHROMIUM} ends with {shown.returncode}: {shown.stderr[-500:]}"
    return said


def there_is_none() -> str:
    """Say why no test can run here, or ''."""
    return "" if CHROMIUM and Path(CHROMIUM).exists() else "there is no Chromium here; name one with OCLAW_CHROMIUM"
