"""A browser as people use it: tabs to look at, fields to type in, passkeys to touch.

    Browser    what a test has of the Chromium that runs
    Person     a browser context: cookies of its own, so another person
    Page       a tab

Nothing here waits for ever.
"""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools import BrowserError, Chromium, Connection, Heard, connected

HAPPENS_WITHIN = 10  # seconds, on a busy machine
POLL = 0.02
GOING = ("context was destroyed", "Cannot find context", "navigated or closed", "Cannot find default")


class Browser:
    """People come into being as they are needed; `leave` makes all of them go."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.pages: list[Page] = []
        self._contexts: list[str] = []

    async def person(self) -> "Person":
        """Return somebody else: nothing is shared with any other person's pages."""
        context = (await self.connection.send("Target.createBrowserContext"))["browserContextId"]
        self._contexts.append(context)
        return Person(self, context)

    async def leave(self) -> None:
        for context in self._contexts:
            await self.connection.send("Target.disposeBrowserContext", browserContextId=context)

    def unexpected(self) -> list[str]:
        return [error for page in self.pages for error in page.unexpected()]


@dataclass
class Person:
    browser: Browser
    context: str

    async def page(self, url: str = "", *, javascript: bool = True) -> "Page":
        """Open a tab; it shows `url` if there is one."""
        target = await self.browser.connection.send(
            "Target.createTarget", url="about:blank", browserContextId=self.context
        )
        attached = await self.browser.connection.send(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = Page(self, attached["sessionId"], target["targetId"])
        self.browser.pages.append(page)
        await page.prepare()
        if not javascript:
            await page.send("Emulation.setScriptExecutionDisabled", value=True)
        if url:
            await page.goto(url)
        return page

    async def save_downloads(self, directory: Path) -> None:
        await self.browser.connection.send(
            "Browser.setDownloadBehavior",
            behavior="allow",
            downloadPath=str(directory),
            browserContextId=self.context,
        )


class Page(Heard):
    def __init__(self, person: Person, session: str, target: str) -> None:
        super().__init__()
        self.person, self.session, self.target = person, session, target
        self.connection = person.browser.connection
        self.authenticators: list[str] = []
        self.connection.listeners[session] = self.hear

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.connection.send(method, session=self.session, **params)

    async def prepare(self) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        await self.send("Network.enable", maxPostDataSize=10_000_000)
        await self.send("Page.setLifecycleEventsEnabled", enabled=True)

    async def close(self) -> None:
        await self.connection.send("Target.closeTarget", targetId=self.target)

    # --- what a person does

    async def goto(self, url: str) -> None:
        """Go there and wait until it has loaded, redirects followed."""
        answer = await self.send("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        end = time.monotonic() + HAPPENS_WITHIN
        while answer.get("loaderId", "") not in {"", *self.loaded}:
            if time.monotonic() > end:
                raise BrowserError(f"{url} has not loaded within {HAPPENS_WITHIN} s")
            await asyncio.sleep(POLL)

    async def js(self, expression: str, *arguments: Any) -> Any:
        """Evaluate under the page's CSP, await it, return it as JSON. With arguments: call it with them."""
        if arguments:
            expression = f"({expression})({', '.join(map(json.dumps, arguments))})"
        answer = await self.send(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
            allowUnsafeEvalBlockedByCSP=False,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    async def until(self, expression: str, *arguments: Any, seconds: float = HAPPENS_WITHIN) -> Any:
        """Wait until an expression is true, over navigations too; return its value."""
        end = time.monotonic() + seconds
        while True:
            with _while_going():
                if value := await self.js(expression, *arguments):
                    return value
            if time.monotonic() > end:
                raise BrowserError(f"not true within {seconds} s: {expression} {arguments} {self.errors}")
            await asyncio.sleep(POLL)

    async def text(self, css: str = "body") -> str:
        """Return what a person reads there, once it is there."""
        shown = "css => document.querySelector(css)?.innerText ?? null"
        await self.until("css => document.querySelector(css) !== null", css)
        return str(await self.js(shown, css))

    async def shows(self, text: str, *, seconds: float = HAPPENS_WITHIN) -> None:
        """Wait until the page shows `text`."""
        await self.until("text => document.body?.innerText.includes(text)", text, seconds=seconds)

    async def click(self, css: str) -> None:
        """Click in the middle of the first element that matches; wait until there is one."""
        middle = """css => {
            const element = document.querySelector(css);
            if (!element) return null;
            element.scrollIntoView({ block: "center", behavior: "instant" });
            const box = element.getBoundingClientRect();
            return box.width ? [box.x + box.width / 2, box.y + box.height / 2] : null;
        }"""
        x, y = await self.until(middle, css)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    async def type(self, css: str, text: str) -> None:
        """Replace what a field holds, as typing does."""
        await self.until(
            "css => { const field = document.querySelector(css); field?.focus(); field?.select?.(); "
            "return document.activeElement === field && field !== null; }",
            css,
        )
        await self.send("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """Press a named key: Tab, Enter, Escape, ArrowDown …"""
        code = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}.get(key, 0)
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text
            )

    async def choose_file(self, css: str, path: Path) -> None:
        """Give a file to a file field."""
        root = (await self.send("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.send("DOM.querySelector", nodeId=root, selector=css))["nodeId"]
        await self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    # --- what stands around the page

    async def authenticator(
        self,
        *,
        prf: bool = True,
        verifies: bool = True,
        protocol: str = "ctap2",
        transport: str = "",
    ) -> str:
        """Plug in a virtual authenticator that agrees to everything; return its id."""
        await self.send("WebAuthn.enable")
        options = {
            "protocol": protocol,
            "transport": transport or ("internal" if protocol == "ctap2" else "usb"),
            "hasUserVerification": verifies,
            "isUserVerified": verifies,
            "automaticPresenceSimulation": True,
        }
        if protocol == "ctap2":
            options |= {"ctap2Version": "ctap2_1", "hasResidentKey": True, "hasPrf": prf}
        added = await self.send("WebAuthn.addVirtualAuthenticator", options=options)
        self.authenticators.append(added["authenticatorId"])
        return self.authenticators[-1]

    async def hold_still(self, authenticator: str) -> None:
        """Touch this one no more."""
        await self.send(
            "WebAuthn.setAutomaticPresenceSimulation", authenticatorId=authenticator, enabled=False
        )

    async def offline(self, *, gone: bool = True) -> None:
        await self.send(
            "Network.emulateNetworkConditions",
            offline=gone,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    async def cookies(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.send("Network.getCookies"))["cookies"]
        return found

    async def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme, still])

    async def screenshot(self, path: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Save the whole page, as wide as said, in the format of the file's name: .png or .webp."""
        await self.resize(width, height, dark=dark)
        await self.js("document.fonts.ready.then(() => true)")
        taken = await self.send(
            "Page.captureScreenshot", format=path.suffix[1:], quality=85, captureBeyondViewport=True
        )
        path.write_bytes(base64.b64decode(taken["data"]))


@contextlib.contextmanager
def _while_going() -> Iterator[None]:
    """A page that is going elsewhere answers nothing for a moment."""
    try:
        yield
    except BrowserError as error:
        if not any(each in str(error) for each in GOING):
            raise


@contextlib.asynccontextmanager
async def browsing(chromium: Chromium) -> AsyncIterator[Browser]:
    """A browser for one test."""
    async with connected(chromium) as connection:
        browser = Browser(connection)
        try:
            yield browser
        finally:
            with contextlib.suppress(BrowserError):
                await browser.leave()
