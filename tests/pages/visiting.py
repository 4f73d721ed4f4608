"""Visiting the pages without a browser: forms, cookies, and what a page consists of."""

import gzip
import html.parser
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from running import Answer, World, password_of

FORM = "application/x-www-form-urlencoded"
HTML = "text/html,application/xhtml+xml"


@dataclass
class Visitor:
    """Somebody with a browser's habits, and a cookie once they are signed in."""

    world: World
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=lambda: {"Accept": HTML, "Accept-Encoding": "gzip"})

    def ask(self, verb: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Make one call; `Sec_Fetch_Site="…"` is a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        cookies = {"Cookie": self.cookie} if self.cookie else {}
        connection = self.world.daemon.connect()
        try:
            connection.request(verb, path, body, self.headers | cookies | named)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def page(self, path: str) -> str:
        """Return the HTML of a page that must be there."""
        answer = self.get(path)
        assert answer.status == 200, (path, answer.status, answer.body)
        packed = answer.headers.get("Content-Encoding") == "gzip"
        return (gzip.decompress(answer.body) if packed else answer.body).decode()

    def send(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        headers = {"Content_Type": FORM, "Sec_Fetch_Site": "same-origin", "Origin": "null"} | headers
        return self.ask("POST", path, urlencode(fields).encode(), **headers)

    def sign_in(self, name: str, **more: str) -> Answer:
        answer = self.send("/sign-in", {"name": name, "password": password_of(name)} | more)
        if answer.status == 303:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer


def signed_in(world: World, name: str) -> Visitor:
    visitor = Visitor(world)
    assert visitor.sign_in(name).status == 303
    return visitor


class _Parts(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parts = _Parts()
    parts.feed(page)
    return parts.tags


def said(page: str) -> str:
    """Return the text of a page, blanks folded."""
    parts = _Parts()
    parts.feed(page)
    return " ".join("".join(parts.said).split())


def fetched(visitor: Visitor, page: str) -> Iterator[tuple[str, Answer]]:
    """Yield every file that a browser loads for a page, modules and fonts of style sheets too."""
    seen: set[str] = set()
    wanted = [
        address
        for tag, at in tags(page)
        for address in (at.get("src") if tag == "script" else at.get("href") if tag == "link" else None,)
        if address
    ]
    while wanted:
        address = wanted.pop()
        if address in seen:
            continue
        seen.add(address)
        yield address, visitor.get(address)
        whole = visitor.get(address, Accept_Encoding="identity").body
        folder = address.rpartition("/")[0]
        if address.endswith(".js"):
            found = re.findall(rb'^(?:import|export) .*?from "\./([\w.]+)"', whole, re.MULTILINE | re.DOTALL)
            wanted += [f"{folder}/{name.decode()}" for name in found]
        if address.endswith(".css"):
            wanted += [f"{folder}/{name.decode()}" for name in re.findall(rb"url\(([\w./]+)\)", whole)]
