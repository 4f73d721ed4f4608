"""Owners with passkeys: what they do, done by the modules of the pages in a real browser."""

import base64
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from browser import Browser, Page
from devtools import Sent
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
            *arguments,
        )

    async def enrol(self, *ways: str, code: str = "") -> None:
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
            code or self.world.invite("owner", self.name),
            RP_ID,
            ways or ("passkey", "device"),
        )

    async def sign_in_by_passkey(self) -> None:
        await self.page.goto(f"{self.site}/sign-in")
        await self.page.type("#name", self.name)
        await self.page.click("#by-passkey")
        await self.page.until(
            "!location.pathname.startsWith('/sign-in') && document.readyState === 'complete'"
        )

    async def lend(self, key: str, *, device: str = "", **changes: Any) -> Any:
        passkey = changes.pop("passkey", not device)
        wish = {"key": key, "signer": "ca-1", "uses": 5, "seconds": 900, "request": ""} | changes
        return await self.run(
            "lending",
            "(m, wish, name, device, passkey) => m.lend({ wish, me: { name }, device, passkey })",
            wish,
            self.name,
            device,
            passkey,
        )

    async def make_grant(self, key: str) -> Any:
        """Make what `lend` would send, and send nothing."""
        return await self.run(
            "lending",
            """async (m, wish, name) => {
                const real = globalThis.fetch;
                let grant = null;
                globalThis.fetch = async (path, options) => {
                    if (options.method === "GET") return real(path, options);
                    grant = JSON.parse(options.body);
                    return new Response("{}");
                };
                await m.lend({ wish, me: { name } }).finally(() => { globalThis.fetch = real; });
                return grant;
            }""",
            {"key": key, "signer": "ca-1", "uses": 5, "seconds": 900, "request": ""},
            self.name,
        )

    async def lie(self, key: str, envelope: str, signer: dict[str, str]) -> None:
        """Make this page see another envelope and signer than the custodian has."""
        await self.page.js(
            """(key, envelope, signer) => {
                const real = globalThis.fetch;
                globalThis.fetch = async (path, options) => {
                    const said = await real(path, options);
                    const answer = await said.clone().json();
                    if (path.endsWith(`/keys/${key}`)) answer.envelope = envelope;
                    else if (!path.endsWith("/signers")) return said;
                    else Object.assign(answer.find(({ name }) => name === signer.name), signer);
                    return new Response(JSON.stringify(answer), { headers: said.headers });
                };
            }""",
            key,
            envelope,
            signer,
        )

    async def add(self, kind: str, **proof: str) -> Any:
        return await self.run(
            "ways",
            """async (m, kind, proof, rpId) => {
                const { call } = await import("/static/any/api.js");
                const me = await call("GET", "/me");
                const known = me.credentials.map(({ handle }) => handle).filter(Boolean);
                const make = kind === "passkey" ? m.makePasskey : m.makeDevice;
                const way = await make({ owner: me.name, label: "another", rpId, known });
                return m.addWay({ me, way, proof });
            }""",
            kind,
            proof,
            RP_ID,
        )

    async def remove(self, way: str, **proof: str) -> Any:
        return await self.run(
            "ways",
            """async (m, id, proof) => {
                const { call } = await import("/static/any/api.js");
                return m.removeWay({ me: await call("GET", "/me"), id, proof });
            }""",
            way,
            proof,
        )

    async def me(self) -> Any:
        return await self.run("api", "(m) => m.call('GET', '/me')")


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


def entry(world: World, kind: str, **fields: str) -> Any:
    """Return the one entry of the history of this type and with these fields."""
    (found,) = [
        each
        for each in world.history()
        if each["type"] == kind and all(each.get(name) == value for name, value in fields.items())
    ]
    return found


def key_for(world: World, *owners: Owner) -> str:
    """Seal a key that needs two of `owners` and alice; return its name."""
    name = f"key-{next(NUMBERS)}"
    world.seal_key(name, f"2 of ({', '.join([*(each.name for each in owners), 'alice'])})")
    return name


def leaked(secrets: Iterable[bytes], sent: Iterable[Sent]) -> list[tuple[int, str]]:
    """Return which secret is in which request: in its address, headers or body, however it is written."""
    secrets = list(secrets)
    found = []
    for request in sent:
        text = f"{request.url} {' '.join(request.headers.values())} {request.body}"
        whole = text.encode("latin-1", "replace")
        seen = [whole, *(decoded(each) for each in BASE64.findall(text)), *map(unhexed, HEX.findall(text))]
        found += [
            (number, request.url)
            for number, secret in enumerate(secrets)
            if any(secret in each for each in seen)
        ]
    return found


BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}")
HEX = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")


def decoded(text: str) -> bytes:
    """Decode either alphabet, from each of the four places where a group may begin."""
    plain = text.replace("-", "+").replace("_", "/")
    starts = (plain[at : at + (len(plain) - at) // 4 * 4] for at in range(4))
    tail = plain + "=" * (-len(plain) % 4) if len(plain) % 4 != 1 else ""
    return b" ".join(base64.b64decode(each) for each in (*starts, tail))


def unhexed(text: str) -> bytes:
    return bytes.fromhex(text)
