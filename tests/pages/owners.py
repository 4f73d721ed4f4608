"""Owners with passkeys: people, browsers, authenticators; what they do, done by our modules in a real page."""

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

from browser import Browser, Page
from running import World, password_of

from custodian.callers import COOKIE

NUMBERS = itertools.count(1)
RP_ID = "localhost"


@dataclass
class Owner:
    """Somebody at a page of the custodian, with an authenticator plugged in."""

    world: World
    site: str
    name: str
    page: Page
    files: list[str] = field(default_factory=list)  # the device keys that were made here

    async def run(self, module: str, function: str, *arguments: Any) -> Any:
        """Call `function` with a module of the pages, as `m`, and arguments."""
        return await self.page.js(
            f"""async (_, ...given) => {{
                const m = await import("/static/any/{module}.js");
                return ({function})(m, ...given);
            }}""",
            "",
            *given_as_json(arguments),
        )

    async def enrol(self, *ways: str) -> None:
        """Use an invitation, with ways to open that are made here."""
        self.files += await self.run(
            "ways",
            """async (m, name, invitation, rpId, kinds) => {
                const owner = m.newOwner(name);
                for (const kind of kinds) {
                    const [make, label] = [kind === "passkey" ? m.makePasskey : m.makeDevice, `my ${kind}`];
                    owner.ways.push(await make({ owner: name, label, rpId }));
                }
                await m.enrol(owner, invitation);
                return owner.ways.map((way) => way.file ?? "").filter(Boolean);
            }""",
            self.name,
            self.world.invite("owner", self.name),
            RP_ID,
            ways or ("passkey", "device"),
        )

    async def sign_in_by_passkey(self) -> None:
        await self.page.goto(f"{self.site}/sign-in")
        await self.page.type("#name", self.name)
        await self.page.click("#by-passkey")
        await self.page.until("!location.pathname.startsWith('/sign-in') && document.readyState === 'complete'")

    async def lend(self, key: str, *, device: str = "", **changes: Any) -> Any:
        wish = {"key": key, "signer": "ca-1", "uses": 5, "seconds": 900, "request": ""} | changes
        passkey = changes.pop("passkey", not device)
        return await self.run(
            "lending",
            "(m, wish, name, device, passkey) => m.lend({ wish, me: { name }, device, passkey })",
            wish,
            self.name,
            device,
            passkey,
        )

    async def me(self) -> Any:
        return await self.run("api", "(m) => m.call('GET', '/me')")


def given_as_json(arguments: tuple[Any, ...]) -> list[Any]:
    return [list(each) if isinstance(each, tuple) else each for each in arguments]


async def newcomer(browser: Browser, world: World, site: str, **authenticator: Any) -> Owner:
    """Return somebody nobody knows yet, at the page that they sign in on."""
    page = await (await browser.person()).page()
    await page.authenticator(**authenticator)
    await page.goto(f"{site}/sign-in")
    return Owner(world, site, f"owner-{next(NUMBERS)}", page)


async def by_password(browser: Browser, world: World, site: str, name: str) -> Owner:
    """Return an owner who enrolled with a password, signed in."""
    owner = await newcomer(browser, world, site)
    owner.name = name
    await sign_in(owner.page, world, site, name)
    return owner


async def sign_in(page: Page, world: World, site: str, name: str) -> None:
    """Give the page a session as signing in does, without the form."""
    body = {"name": name, "password": password_of(name)}
    token = world.daemon.call("POST", "/sessions", body).ok()["token"]
    await page.send(
        "Network.setCookie",
        name=COOKIE,
        value=token,
        url=site,
        path="/",
        secure=True,
        httpOnly=True,
        sameSite="Strict",
    )


def key_for(world: World, *owners: Owner) -> str:
    """Seal a key that needs two of `owners` and alice; return its name."""
    name = f"key-{next(NUMBERS)}"
    world.seal_key(name, f"2 of ({', '.join([*(each.name for each in owners), 'alice'])})")
    return name


def secret_forms(secret: bytes) -> list[re.Pattern[str]]:
    """Every way in which a secret might be written in a request."""
    import base64  # noqa: PLC0415

    forms = {
        secret.decode("latin-1"),
        secret.hex(),
        base64.b64encode(secret).decode().rstrip("="),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
    }
    return [re.compile(re.escape(each), re.IGNORECASE if each == secret.hex() else 0) for each in forms]
