"""The DevTools protocol: a Chromium process, and connections to it, with aiohttp alone.

What a person does with a browser is in browser.py.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import re
import shutil
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=LocalNetworkAccessChecks",  # or strangers' requests would stop before they reach us
    "--remote-debugging-port=0",
)
ANSWERS_WITHIN = 15  # seconds, on a busy machine
POLL = 0.02
LISTENS = re.compile(rb"DevTools listening on (ws://\S+)")


class BrowserError(Exception):
    """The browser, or a script in it, says no."""


class Chromium:
    """The process. `trusted` are base64 SHA-256 digests of the public keys that TLS accepts."""

    def __init__(self, profile: Path, trusted: Sequence[str] = ()) -> None:
        assert CHROMIUM is not None
        self.process = subprocess.Popen(
            [
                CHROMIUM,
                *FLAGS,
                f"--user-data-dir={profile}",
                f"--ignore-certificate-errors-spki-list={','.join(trusted)}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.said: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._wait_for_url(time.monotonic() + ANSWERS_WITHIN)

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)  # to the end, or the pipe would fill

    def _wait_for_url(self, end: float) -> str:
        while time.monotonic() < end and self.process.poll() is None:
            for line in self.said:
                if found := LISTENS.search(line):
                    return found[1].decode()
            time.sleep(POLL)
        self.stop()
        raise BrowserError(f"chromium did not start: {b''.join(self.said).decode()}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()


class Connection:
    """A connection. Commands go to the browser, or with a session to one page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.listeners: dict[str, Callable[[str, dict[str, Any]], None]] = {}  # session -> who hears

    async def send(self, method: str, *, session: str = "", **params: Any) -> dict[str, Any]:
        """Give a command and return its result. Raises BrowserError."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": params}
        await self._socket.send_json(command | ({"sessionId": session} if session else {}))
        try:
            said = await asyncio.wait_for(answer, ANSWERS_WITHIN)
        except TimeoutError:
            raise BrowserError(f"{method} has had no answer for {ANSWERS_WITHIN} s") from None
        if "error" in said:
            raise BrowserError(f"{method}: {said['error']['message']}")
        result: dict[str, Any] = said["result"]
        return result

    async def listen(self) -> None:
        """Hand each message to whom it is for, until the connection ends."""
        async for message in self._socket:
            said = json.loads(message.data)
            if answer := self._waiting.pop(said.get("id"), None):
                if not answer.done():
                    answer.set_result(said)
            elif hear := self.listeners.get(said.get("sessionId")):
                hear(said["method"], said["params"])


@dataclass(frozen=True)
class Sent:
    """A request as the page made it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str


class Heard(ABC):
    """What a tab told: all that a test wants to know afterwards."""

    def __init__(self) -> None:
        self.errors: list[str] = []  # exceptions, console errors, failed loads, violations of the CSP
        self.expected: list[str] = []  # patterns of errors that the test means to bring about
        self.sent: list[Sent] = []
        self.answers: list[tuple[int, str]] = []  # status, URL
        self.dialogs: list[str] = []
        self.loaded: set[str] = set()
        self._working: set[asyncio.Task[Any]] = set()

    @abstractmethod
    async def send(self, method: str, **params: Any) -> dict[str, Any]: ...

    def hear(self, event: str, said: dict[str, Any]) -> None:
        if handler := self._HEARD.get(event):
            handler(self, said)

    def _heard_exception(self, said: dict[str, Any]) -> None:
        details = said["exceptionDetails"]
        self.errors.append(details.get("exception", {}).get("description") or details["text"])

    def _heard_log(self, said: dict[str, Any]) -> None:
        entry = said["entry"]
        if entry["level"] == "error":
            self.errors.append(f"{entry['text']} {entry.get('url', '')}")

    def _heard_console(self, said: dict[str, Any]) -> None:
        if said["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(each.get("value", each)) for each in said["args"]))

    def _heard_request(self, said: dict[str, Any]) -> None:
        request = said["request"]
        entries = request.get("postDataEntries", ())  # as bytes, also where they are not text
        body = b"".join(base64.b64decode(each.get("bytes", "")) for each in entries)
        text = request.get("postData") or body.decode("latin-1")
        self.sent.append(Sent(request["method"], request["url"], request["headers"], text))

    def _heard_answer(self, said: dict[str, Any]) -> None:
        self.answers.append((said["response"]["status"], said["response"]["url"]))

    def _heard_lifecycle(self, said: dict[str, Any]) -> None:
        if said["name"] == "load":
            self.loaded.add(said["loaderId"])

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something that what was heard asks for: a listener itself cannot wait."""
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    def _heard_dialog(self, said: dict[str, Any]) -> None:
        self.dialogs.append(said["message"])
        self.later(self.send("Page.handleJavaScriptDialog", accept=said["type"] != "alert"))

    _HEARD = {  # noqa: RUF012
        "Runtime.exceptionThrown": _heard_exception,
        "Log.entryAdded": _heard_log,
        "Runtime.consoleAPICalled": _heard_console,
        "Network.requestWillBeSent": _heard_request,
        "Network.responseReceived": _heard_answer,
        "Page.lifecycleEvent": _heard_lifecycle,
        "Page.javascriptDialogOpening": _heard_dialog,
    }

    def expect(self, *patterns: str) -> None:
        """Errors that match one of these regular expressions are what the test wants."""
        self.expected += patterns

    def unexpected(self) -> list[str]:
        return [error for error in self.errors if not any(re.search(each, error) for each in self.expected)]


@contextlib.asynccontextmanager
async def connected(chromium: Chromium) -> AsyncIterator[Connection]:
    """A connection for one test."""
    limits = aiohttp.ClientTimeout(total=None, connect=ANSWERS_WITHIN)
    async with (
        aiohttp.ClientSession(timeout=limits) as session,
        session.ws_connect(chromium.url, max_msg_size=0) as socket,
    ):
        connection = Connection(socket)
        listening = asyncio.create_task(connection.listen())
        try:
            yield connection
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
