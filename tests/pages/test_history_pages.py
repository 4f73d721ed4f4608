"""The page of the history: what it shows, what it finds, and what it weighs."""

import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from browser import Browser, Page
from page_owners import sign_in
from running import Answer, World, password_of

from custodian.encoding import canonical_json
from custodian.merkle import leaf_hash
from custodian.web.history import KINDS, ROWS
from custodian.web.timeline import SIGNS, days, parts

HOSTILE = (
    '<img src=x onerror="document.title=1">',
    "<script>document.title='got'</script>",
    "'\"><svg onload=alert(1)>",
    "{{ 99991 * 7 }}",
    "javascript:alert(1)",
)


# -- what it shows, without scripts


class Reader:
    """Somebody who reads pages as plain HTML."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        body = {"name": name, "password": password_of(name)}
        self.token = str(world.daemon.call("POST", "/sessions", body).ok()["token"])

    def get(self, path: str) -> Answer:
        return self.world.daemon.call("GET", path, authorization=f"Bearer {self.token}", root="")

    def page(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    def entries(self, path: str) -> list[int]:
        return [int(each) for each in re.findall(r'<li [^>]*data-seq="(\d+)"', self.page(path))]


def sign(world: World, *names: str) -> str:
    """Have a certificate for `names` in the history; return its serial number."""
    world.lend("alice", "bob")
    lease = world.signer.ask().ok()["id"]
    serial = secrets.token_hex(20)
    record = {
        "lease": lease,
        "number": 1,
        "tbs_sha256": "0" * 64,
        "serial": serial,
        "profile": "server",
        "names": list(names),
        "not_after": "2027-11-23T12:00:00Z",
    }
    world.signer.call("POST", "/records", {"records": [record]}).ok()
    return serial


@pytest.fixture(scope="module")
def serial(running_world: World) -> str:
    """The serial number of a certificate with hostile names."""
    return sign(running_world, *HOSTILE)


@pytest.fixture(scope="module")
def auditor(running_world: World, serial: str) -> Reader:
    return Reader(running_world, "auditor")


def test_the_newest_entry_is_first_and_every_entry_is_told(auditor: Reader) -> None:
    size = auditor.world.size()
    shown = auditor.entries("/history")
    assert shown == list(range(size - 1, max(-1, size - 1 - ROWS), -1))


def test_pages_lead_to_the_first_entry_and_back(auditor: Reader) -> None:
    for _ in range(ROWS):
        auditor.world.invite("owner", "dora")
    seen, path = [], "/history"
    while path:
        text = auditor.page(path)
        seen += [int(each) for each in re.findall(r'<li [^>]*data-seq="(\d+)"', text)]
        path, last = (
            next(iter(re.findall(r'href="([^"]+)" rel="next"', text)), "").replace("&amp;", "&"),
            path,
        )
    assert seen == list(range(auditor.world.size() - 1, -1, -1))
    newer = re.findall(r'href="([^"]+)" rel="prev"', auditor.page(last))[0].replace("&amp;", "&")
    assert auditor.entries(newer)[-1] == auditor.entries(last)[0] + 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_chip_shows_its_kind_and_stays_pressed(auditor: Reader, kind: str) -> None:
    text = auditor.page(f"/history?kind={kind}")
    types = re.findall(r"&#34;type&#34;:&#34;([a-z.]+)&#34;", text)
    assert types or kind in ("requests", "refusals")
    assert all(each.startswith(tuple(KINDS[kind].split(","))) for each in types)
    assert re.search(rf'aria-current="true">{kind}<', text, re.IGNORECASE)


def test_search_and_chip_go_together_and_the_words_stay_typed(auditor: Reader, serial: str) -> None:
    text = auditor.page(f"/history?kind=signatures&text={serial[:12].upper()}")
    assert text.count(serial) == 1 + text.count(f"?text={serial}")
    assert f'value="{serial[:12].upper()}"' in text
    assert '<input type="hidden" name="kind" value="signatures">' in text
    assert auditor.entries(f"/history?kind=grants&text={serial}") == []


@pytest.mark.parametrize("words", HOSTILE)
def test_what_is_searched_for_is_text(auditor: Reader, words: str) -> None:
    text = auditor.page(f"/history?text={quote(words)}&owner={quote(words)}")
    assert not re.search(r"<img|<script>|onload=alert\(1\)>|699937", text.split("<main", 1)[1])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=none", "kind"),
        ("before=x", "before"),
        ("start=-1", "start"),
        ("text=%00", "text"),
        ("before=" + "9" * 16, "before"),
    ],
)
def test_a_wrong_address_is_told_in_a_page(auditor: Reader, query: str, field: str) -> None:
    answer = auditor.get(f"/history?{query}")
    assert answer.status == 400
    assert f"{field.capitalize()}: " in answer.body.decode()


def test_nobody_is_sent_to_sign_in(auditor: Reader) -> None:
    answer = auditor.world.daemon.call("GET", "/history?kind=grants", root="")
    assert answer.status == 303
    assert unquote(answer.headers["Location"]) == "/sign-in?next=/history?kind=grants"


def test_every_sign_is_a_picture_that_is_there() -> None:
    pictures = Path(__file__).parents[2] / "custodian" / "web" / "templates" / "pictures.html"
    there = set(re.findall(r'<symbol id="(\w+)"', pictures.read_text()))
    assert {picture for picture, _ in SIGNS.values()} <= there


def test_every_entry_of_a_real_history_becomes_a_row(auditor: Reader, bench: Any) -> None:
    entries = auditor.world.history()
    rows = [row for day in days(entries, bench.clock.now) for row in day.rows]
    assert [row.seq for row in rows] == [entry["seq"] for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        assert row.leaf == leaf_hash(canonical_json(entry)).hex()
        assert all(part.text for part in row.parts)


def test_names_stand_out_only_as_whole_words(bench: Any) -> None:
    entry = {
        "actor": {"role": "admin", "name": "in"},
        "type": "account.invited",
        "account": "o",
        "role": "owner",
    }
    found = [(part.kind, part.text) for part in parts(entry, bench.clock.now)]
    assert found == [("name", "in"), ("text", " invited "), ("name", "o"), ("text", " as owner")]


# -- in a real browser


@pytest.fixture
async def history_page(browser: Browser, running_world: World, site: str, serial: str) -> Page:
    page = await (await browser.person()).page()
    await sign_in(page, running_world, site, "auditor")
    await page.goto(f"{site}/history")
    return page


async def test_hostile_names_are_text_on_the_page(history_page: Page, site: str) -> None:
    await history_page.goto(f"{site}/history?kind=signatures")
    assert await history_page.js("document.title") == "History · Custodian"
    shown = await history_page.text("main")
    assert HOSTILE[0] in shown
    assert await history_page.js("document.querySelectorAll('main img, main script').length") == 0


async def test_everything_can_be_read_and_found_without_scripts(
    browser: Browser, world: World, site: str, serial: str
) -> None:
    page = await (await browser.person()).page(javascript=False)
    await page.goto(f"{site}/sign-in?next=%2Fhistory")
    await page.type("#name", "auditor")
    await page.type("#password", password_of("auditor"))
    await page.click("#sign-in [type=submit]")
    await page.until("location.pathname === '/history'")
    await page.type(".find input[type=search]", serial)
    await page.press("Enter")
    await page.until("location.search.includes('text=')")
    assert await page.js("document.querySelectorAll('.entries > li').length") == 1
    await page.click(".entries summary")
    assert serial in await page.text(".entries pre")
    assert not await page.js("document.querySelector('#verify-now')?.checkVisibility()")


async def test_an_export_is_what_the_page_shows(history_page: Page, world: World) -> None:
    text = await history_page.js(
        """fetch(document.querySelector('a[href*=jsonl]').href).then(answer => answer.text())"""
    )
    lines = text.encode().split(b"\n")[:-1]
    assert lines == [canonical_json(entry) for entry in world.history()[: len(lines)]]
    assert len(lines) == world.size() - 1


# -- its weight


def test_a_first_visit_costs_at_most_100_kb(world: World, auditor: Reader) -> None:
    """The page, full of entries, and every file it asks for, as they cross the wire."""
    for name in ("/history", "/setup"):
        sizes = {name: wire_size(world, auditor, name)}
        for path in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', auditor.page(name))):
            sizes[path] = wire_size(world, auditor, path)
        for script in ("api.js", "bytes.js"):  # imported
            sizes[script] = wire_size(world, auditor, f"/static/any/{script}")
        assert sum(sizes.values()) <= 100_000, sizes
        assert len(sizes) >= 7


def wire_size(world: World, reader: Reader, path: str) -> int:
    """Return head and body of an answer, in bytes."""
    connection = world.daemon.connect()
    headers = {"Authorization": f"Bearer {reader.token}", "Accept-Encoding": "gzip, deflate"}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    size = len(answer.read()) + len(str(answer.headers))
    connection.close()
    assert answer.status == 200, path
    return size
