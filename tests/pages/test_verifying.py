"""Verifying the history in a browser: whatever was tampered with is found, and nothing else is."""

import json
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterator

import pytest
from browser import Browser, Page
from page_owners import Owner, sign_in
from running import World

from custodian.checkpoint import sign_checkpoint
from custodian.config import read_history_key
from custodian.encoding import canonical_json
from custodian.merkle import Frontier, leaf_hash


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
async def history_page(browser: Browser, running_world: World, site: str) -> Page:
    page = await (await browser.person()).page()
    await sign_in(page, running_world, site, "auditor")
    await page.goto(f"{site}/history")
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
@pytest.mark.parametrize("field", ["signature", "credential", "nobody", "terms_sha256"])
async def test_a_loan_its_owner_did_not_sign_is_found_even_by_a_newcomer(
    agreed: list[int], history_page: Page, records: sqlite3.Connection, world: World, which: int, field: str
) -> None:
    """Whoever holds the key of the history can write what they like into it, but not for an owner."""
    seq, other = agreed[which], agreed[1 - which]
    entry, foreign = (json.loads(body(records, each)) for each in (seq, other))
    if field == "terms_sha256":
        entry[field] = foreign[field]
    elif field == "nobody":
        entry["evidence"]["credential"] = "passkey-of-nobody"
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
