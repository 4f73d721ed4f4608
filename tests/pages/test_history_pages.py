"""The page of the history: what it shows, what it finds, and that tampering does not get past its readers."""

import json
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from browser import Browser, Page
from owners import Owner
from running import Answer, World, password_of

from custodian.checkpoint import sign_checkpoint
from custodian.config import read_history_key
from custodian.encoding import canonical_json
from custodian.merkle import Frontier, leaf_hash
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


# -- verifying, in a real browser


async def sign_in(page: Page, site: str, name: str, path: str = "/history") -> None:
    await page.goto(f"{site}/sign-in?next={quote(path, safe='')}")
    await page.type("#name", name)
    await page.type("#password", password_of(name))
    await page.click("#sign-in [type=submit]")
    await page.until("path => location.pathname === path", path)


async def verify(page: Page) -> dict[str, str]:
    """Press the button; return state, title and detail of what came of it."""
    await page.click("#verify-now")
    await page.until(
        "(now => now.textContent === 'Verify again' && !now.disabled)(document.querySelector('#verify-now'))"
    )
    found: dict[str, str] = await page.js(
        """(_ => ({
            ...document.querySelector("#verify").dataset,
            title: document.querySelector("#verdict").textContent,
            detail: document.querySelector("#proof-detail").textContent,
            bad: [...document.querySelectorAll("li.bad")].map(row => row.dataset.seq).join(),
        }))(0)"""
    )
    return found


@pytest.fixture
async def history_page(browser: Browser, running_world: World, site: str, serial: str) -> Page:
    page = await (await browser.person()).page()
    await sign_in(page, site, "auditor")
    return page


async def test_a_history_that_is_whole_is_verified_and_remembered(history_page: Page, world: World) -> None:
    first = await verify(history_page)
    assert (first["state"], first["title"]) == ("live", "Verified in this browser, for the first time")
    assert f"{world.size():,} entries, root " in first["detail"]
    assert "signed by custodian.local/history" in first["detail"]
    world.invite("auditor", "eve")
    again = await verify(history_page)
    assert (again["state"], again["title"]) == ("live", "Verified in this browser")
    assert "Nothing was dropped or changed since your last visit on " in again["detail"]


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


# -- tampering


@pytest.fixture
def records(running_world: World) -> Iterator[sqlite3.Connection]:
    """The database, open to somebody who may write anything; put back afterwards."""
    database = sqlite3.connect(running_world.daemon.directory / "custodian.db", isolation_level=None)
    database.execute("PRAGMA busy_timeout = 5000")
    triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER {name}")
    tables = {
        name: database.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - one of three
        for name in ("entry", "checkpoint", "hash")
    }
    yield database
    for name, rows in tables.items():
        database.execute(f"DELETE FROM {name}")  # noqa: S608 - one of three
        places = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT INTO {name} VALUES ({places})", rows)  # noqa: S608
    for _, sql in triggers:
        database.execute(sql)
    database.close()


def body(database: sqlite3.Connection, seq: int) -> bytes:
    return bytes(database.execute("SELECT body FROM entry WHERE seq = ?", (seq,)).fetchone()[0])


def put(database: sqlite3.Connection, seq: int, new: bytes) -> None:
    assert database.execute("UPDATE entry SET body = ? WHERE seq = ?", (new, seq)).rowcount == 1


def flip(database: sqlite3.Connection) -> None:
    new = body(database, 7).replace(b'"v":1', b'"v":2')
    assert new != body(database, 7)
    put(database, 7, new)


def garble(database: sqlite3.Connection) -> None:
    put(database, 5, body(database, 5)[:-1])


def drop(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM entry WHERE seq = 9")


def drop_and_close_the_gap(database: sqlite3.Connection) -> None:
    (last,) = database.execute("SELECT max(seq) FROM entry").fetchone()
    bodies = [body(database, seq) for seq in range(10, last + 1)]
    for seq, each in enumerate(bodies, 9):
        put(database, seq, each.replace(f'"seq":{seq + 1},'.encode(), f'"seq":{seq},'.encode()))


def swap(database: sqlite3.Connection) -> None:
    one, other = body(database, 3), body(database, 4)
    put(database, 3, other)
    put(database, 4, one)


def swap_and_renumber(database: sqlite3.Connection) -> None:
    one, other = body(database, 3), body(database, 4)
    put(database, 3, other.replace(b'"seq":4,', b'"seq":3,'))
    put(database, 4, one.replace(b'"seq":3,', b'"seq":4,'))


def change_the_first(database: sqlite3.Connection) -> None:
    put(database, 0, body(database, 0).replace(b'"v":1', b'"v":2'))


def change_the_last(database: sqlite3.Connection) -> None:
    (last,) = database.execute("SELECT max(seq) FROM entry").fetchone()
    put(database, last, body(database, last).replace(b'"v":1', b'"v":2'))


@pytest.mark.parametrize(
    ("tamper", "seq", "title"),
    [
        (flip, 7, "Entry 7 was changed"),
        (garble, 5, "Entry 5 is damaged"),
        (drop, 9, "Entry 9 is missing"),
        (drop_and_close_the_gap, 9, "Entry 9 was changed"),
        (swap, 3, "Entry 3 is missing"),
        (swap_and_renumber, 3, "Entry 3 was changed"),
        (change_the_first, 0, "Entry 0 was changed"),
    ],
)
async def test_the_first_entry_that_was_tampered_with_is_found(
    history_page: Page,
    records: sqlite3.Connection,
    tamper: Callable[[sqlite3.Connection], None],
    seq: int,
    title: str,
) -> None:
    tamper(records)
    found = await verify(history_page)
    assert (found["state"], found["title"], found["seq"]) == ("wax", title, str(seq))


async def test_the_last_entry_is_found_too_and_marked(
    history_page: Page, world: World, records: sqlite3.Connection
) -> None:
    change_the_last(records)
    found = await verify(history_page)
    last = world.size() - 1
    assert (found["state"], found["title"]) == ("wax", f"Entry {last:,} was changed")
    assert found["bad"] == str(last)


def sign_anew(database: sqlite3.Connection, world: World) -> int:
    """Sign whatever the entries are now, with the history's own key; return how many they are."""
    frontier = Frontier()
    for (each,) in database.execute("SELECT body FROM entry ORDER BY seq"):
        frontier = frontier.append(leaf_hash(bytes(each)))
    note = sign_checkpoint(frontier.head, read_history_key(world.daemon.directory / "history.key"))
    database.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (note, frontier.size))
    return frontier.size


async def test_a_rollback_is_found_by_who_was_there_before(
    history_page: Page, world: World, records: sqlite3.Connection
) -> None:
    assert (await verify(history_page))["state"] == "live"
    size = world.size()
    records.execute("DELETE FROM checkpoint WHERE size > ?", (size - 2,))
    (kept,) = records.execute("SELECT max(size) FROM checkpoint").fetchone()
    records.execute("DELETE FROM entry WHERE seq >= ?", (kept,))
    found = await verify(history_page)
    assert (found["state"], found["seq"]) == ("wax", str(kept))
    assert f"saw {size:,} entries, now there are {kept:,}: the history was rolled back" in found["detail"]


async def test_a_history_rewritten_with_its_own_key_is_found_by_who_was_there_before(
    history_page: Page, world: World, site: str, records: sqlite3.Connection
) -> None:
    assert (await verify(history_page))["state"] == "live"
    flip(records)
    size = sign_anew(records, world)
    found = await verify(history_page)
    assert (found["state"], found["title"]) == ("wax", f"The first {size:,} entries have changed")
    assert "the history was rewritten" in found["detail"]
    await history_page.click("#verify-forget")
    await history_page.goto(f"{site}/history")
    assert (await verify(history_page))["state"] == "live"  # who was not there cannot tell


@pytest.fixture
async def agreed(browser: Browser, running_world: World, site: str) -> list[int]:
    """The entries of two loans of an owner, one agreed to by passkey, one by device key."""
    world, name = running_world, f"olga-{secrets.token_hex(3)}"
    page = await (await browser.person()).page()
    await page.authenticator()
    await page.goto(f"{site}/enrol")
    olga = Owner(world, site, name, page)
    await olga.enrol("passkey", "device")
    world.seal_key(f"key-of-{name}", f"2 of (alice, {name})")
    await olga.sign_in_by_passkey()
    start = world.size()
    await olga.lend(f"key-of-{name}")
    await olga.lend(f"key-of-{name}", device=olga.files[0])
    await page.close()
    return [each["seq"] for each in world.history(start) if each["type"] == "delegation.granted"]


async def test_signatures_of_owners_are_checked(agreed: list[int], history_page: Page, world: World) -> None:
    assert [world.history(seq)[0]["evidence"]["kind"] for seq in agreed] == ["passkey", "device"]
    found = await verify(history_page)
    assert found["state"] == "live"
    assert re.search(r"\d+ signatures of owners checked", found["detail"])


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("field", ["signature", "credential", "terms_sha256"])
async def test_a_loan_its_owner_did_not_sign_is_found_even_by_a_newcomer(
    agreed: list[int], history_page: Page, records: sqlite3.Connection, world: World, which: int, field: str
) -> None:
    """Whoever holds the key of the history can write what they like into it, but not for an owner."""
    seq, other = agreed[which], agreed[1 - which]
    entry, foreign = (json.loads(body(records, each)) for each in (seq, other))
    if field == "terms_sha256":
        entry[field] = foreign[field]
    else:
        entry["evidence"][field] = foreign["evidence"][field]
    put(records, seq, canonical_json(entry))
    sign_anew(records, world)
    found = await verify(history_page)
    name = entry["owner"]
    assert (found["state"], found["title"]) == ("wax", f"Entry {seq:,} is not signed by {name}")


async def test_a_checkpoint_that_is_not_signed_is_refused(
    history_page: Page, records: sqlite3.Connection
) -> None:
    size, note = records.execute("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    records.execute(
        "UPDATE checkpoint SET note = ? WHERE size = ?",
        (bytes(note)[:-8] + b"AAAAAA=\n", size),
    )
    found = await verify(history_page)
    assert (found["state"], found["title"]) == ("wax", "The checkpoint is not signed")


async def test_another_key_of_the_history_is_told(history_page: Page, world: World) -> None:
    assert (await verify(history_page))["state"] == "live"
    await history_page.js(
        """(_ => {
            const seen = JSON.parse(localStorage.getItem("custodian.history"));
            const other = { ...seen, vkey: "other+00000000+AAAA" };
            localStorage.setItem("custodian.history", JSON.stringify(other));
        })(0)"""
    )
    found = await verify(history_page)
    assert (found["state"], found["title"]) == ("wax", "The key that signs this history has changed")
    assert "other+00000000+AAAA" in found["detail"]
    assert world.vkey in found["detail"]


async def test_what_the_page_shows_is_compared_with_what_was_verified(history_page: Page) -> None:
    await history_page.js(
        """(row => {
            row.dataset.leaf = row.dataset.leaf.replace(/^./, digit => digit === "0" ? "1" : "0");
        })(document.querySelector(".entries li"))"""
    )
    found = await verify(history_page)
    assert found["state"] == "wax"
    assert found["title"].endswith("is not as this page shows it")


async def test_who_is_signed_out_is_asked_to_sign_in(history_page: Page) -> None:
    history_page.expect("401")
    await history_page.send("Network.clearBrowserCookies")
    await history_page.click("#verify-now")
    await history_page.until(
        """document.querySelector("#verdict")?.textContent === "Nobody is signed in any more"
            || location.pathname === "/sign-in" """
    )


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
