"""Finding, reading and copying the history of a real custodian."""

import csv
import io
import json
import secrets
from typing import Any
from urllib.parse import urlencode

import pytest
from bench import Bench, FakeClock
from histories import head_of
from running import ADMIN, World, basic

from custodian import accounts, history
from custodian.checkpoint import open_checkpoint
from custodian.encoding import canonical_json
from custodian.events import Actor
from custodian.history import Filter
from custodian.note import parse_verify_key
from custodian.spreadsheet import COLUMNS, lines

END = 10**12


def find(world: World, **query: Any) -> Any:
    return world.person("auditor", "GET", f"/history?{urlencode(query)}").ok()


def signed(world: World, lease: str, number: int, **changes: Any) -> str:
    """Record a signature; return its serial number."""
    serial = secrets.token_hex(20)
    record = {
        "lease": lease,
        "number": number,
        "tbs_sha256": "0" * 64,
        "serial": serial,
        "profile": "server",
        "names": ["www.example.com"],
        "not_after": "2027-11-23T12:00:00Z",
    }
    world.signer.call("POST", "/records", {"records": [record | changes]}).ok()
    return serial


@pytest.fixture(scope="module")
def story(running_world: World) -> dict[str, str]:
    """Two keys, a lease of each by other owners, a signature of each."""
    world = running_world
    world.seal_key("other", "carol & bob")
    one = world.lend("alice", "bob")
    lease = world.signer.ask(uses=3).ok()["id"]
    two = world.lend("carol", "bob", key="other")
    other = world.signer.ask(key="other", uses=3).ok()["id"]
    serial = signed(world, lease, 1, names=['Quote " and \\', "ÄPFEL.example"])
    other_serial = signed(world, other, 1)
    world.person("carol", "DELETE", f"/delegations/{two[0]}").ok()
    return {
        "delegation": one[0],
        "lease": lease,
        "serial": serial,
        "other": other,
        "other serial": other_serial,
        "revoked": two[0],
    }


# -- finding


def test_without_conditions_everything_is_found_forwards_and_back(running_world: World) -> None:
    forwards = find(running_world, limit=1000)
    back = find(running_world, limit=1000, before=END)
    assert [each["seq"] for each in forwards["entries"]] == list(range(forwards["size"]))
    assert back["entries"] == forwards["entries"][::-1]
    assert (forwards["next"], back["next"]) == (None, None)


@pytest.mark.parametrize("query", [{}, {"type": "account,delegation"}, {"text": "alice"}])
@pytest.mark.parametrize("newest", [False, True])
def test_pages_join_without_gap_and_without_repeating(
    running_world: World, story: dict[str, str], query: dict[str, str], newest: bool
) -> None:
    whole = find(running_world, limit=1000, **query, **({"before": END} if newest else {}))["entries"]
    assert len(whole) > 3
    found, at = [], END if newest else 0
    while at is not None:
        page = find(running_world, limit=2, **query, **{"before" if newest else "start": at})
        found, at = found + page["entries"], page["next"]
    assert found == whole


def seen(world: World, **query: Any) -> set[tuple[str, str]]:
    """Return type and subject of what is found."""
    entries = find(world, limit=1000, **query)["entries"]
    return {(each["type"], each.get("serial") or each.get("lease") or each.get("id", "")) for each in entries}


def test_a_key_is_found_with_its_leases_signatures_and_what_was_revoked(
    running_world: World, story: dict[str, str]
) -> None:
    found = seen(running_world, key="other")
    assert {kind for kind, _ in found} == {
        "key.sealed",
        "delegation.granted",
        "delegation.revoked",
        "lease.granted",
        "lease.ended",
        "signature.recorded",
    }
    assert ("signature.recorded", story["other serial"]) in found
    assert ("delegation.revoked", story["revoked"]) in found
    assert ("signature.recorded", story["serial"]) not in found


def test_an_owner_is_found_with_what_was_made_of_what_they_lent(
    running_world: World, story: dict[str, str]
) -> None:
    found = seen(running_world, owner="alice")
    assert {
        ("account.invited", ""),
        ("account.enrolled", ""),
        ("delegation.granted", story["delegation"]),
        ("lease.granted", story["lease"]),
        ("signature.recorded", story["serial"]),
    } <= found
    assert ("signature.recorded", story["other serial"]) not in found
    assert "signer.enrolled" not in {kind for kind, _ in found}


def test_a_signer_is_found_with_its_leases_and_others_are_not(
    running_world: World, story: dict[str, str]
) -> None:
    assert ("lease.granted", story["lease"]) in seen(running_world, signer="ca-1")
    kinds = {kind for kind, _ in seen(running_world, signer="ca-2")}
    assert kinds == {"signer.invited", "signer.enrolled", "signer.announced"}


def test_types_are_found_by_their_beginnings(running_world: World, story: dict[str, str]) -> None:
    assert {kind for kind, _ in seen(running_world, type="lease.granted,signer.inv")} == {
        "lease.granted",
        "signer.invited",
    }
    assert seen(running_world, type="ease") == set()


def test_text_is_found_in_values_whatever_its_case_and_not_in_names_of_fields(
    running_world: World, story: dict[str, str]
) -> None:
    only = {("signature.recorded", story["serial"])}
    assert seen(running_world, text=story["serial"].upper()) == only
    assert seen(running_world, text="quote") == only
    assert seen(running_world, text='quote " and \\') == only
    assert seen(running_world, text="äpfel") == set()  # only ASCII has no case
    assert seen(running_world, text="Äpfel.Example") == only
    assert seen(running_world, text="tbs_sha256") == set()
    assert [each["seq"] for each in find(running_world, text="7")["entries"] if each["seq"] == 7] == [7]


def test_conditions_must_all_hold(running_world: World, story: dict[str, str]) -> None:
    found = seen(running_world, owner="bob", key="ca", type="signature", text="example")
    assert found == {("signature.recorded", story["serial"])}


@pytest.mark.parametrize(
    "hostile", ["' OR 1=1 --", '"', "%", "_", "\\", '","role":"owner', "alice' OR '1'='1", "{}", "{0}"]
)
@pytest.mark.parametrize("field", ["owner", "key", "signer", "type", "text"])
def test_what_is_sought_is_never_more_than_a_word(running_world: World, field: str, hostile: str) -> None:
    found = find(running_world, **{field: hostile})["entries"]
    assert [each for each in found if field != "text" or hostile not in canonical_json(each).decode()] == []


# -- its bytes


def test_lines_are_the_bytes_of_the_entries(running_world: World) -> None:
    answer = running_world.person("auditor", "GET", "/history/lines?start=3&limit=4")
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert answer.body.endswith(b"\n")
    entries = [canonical_json(each) for each in running_world.history()[3:7]]
    assert answer.body.splitlines() == entries


def test_no_lines_follow_the_last(running_world: World) -> None:
    size = running_world.size()
    assert running_world.person("auditor", "GET", f"/history/lines?start={size}").body == b""


def test_an_export_verifies_against_the_checkpoint_and_is_in_the_history(running_world: World) -> None:
    log = parse_verify_key(running_world.vkey)
    head = open_checkpoint(running_world.person("auditor", "GET", "/history/checkpoint").body, log).head
    answer = running_world.person("bob", "GET", "/history/export?format=jsonl")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="history-{head.size}.jsonl"'
    assert head_of(answer.body.split(b"\n")[:-1]) == head
    last = running_world.history(head.size)[0]
    assert (last["type"], last["size"], last["actor"]) == (
        "history.exported",
        head.size,
        {"role": "owner", "name": "bob"},
    )


def test_a_table_has_a_line_for_each_entry(running_world: World, story: dict[str, str]) -> None:
    answer = running_world.person("auditor", "GET", "/history/export?format=csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert [int(row["seq"]) for row in rows] == list(range(running_world.size() - 1))
    mine = next(row for row in rows if row["serial"] == story["serial"])
    assert mine["names"] == 'Quote " and \\ ÄPFEL.example'
    assert mine["says"].startswith("ca-1 signed certificate")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\tx", "'x", '="x"', "=1,2"])
def test_a_cell_is_never_a_formula(name: str) -> None:
    entry = {"v": 1, "seq": 0, "time": "", "type": "account.disabled", "account": "x", "key": name}
    line = lines([json.dumps(entry | {"actor": {"role": "admin", "name": name}}).encode()])
    (cells,) = csv.reader(io.StringIO(line.decode(), newline=""))
    row = dict(zip(COLUMNS, cells, strict=True))
    assert row["key"] == row["name"] == f"'{name}"
    assert row["says"][0] not in "=+-@\t" or row["says"].startswith("'")


def test_copies_alone_do_not_make_the_history_grow(running_world: World) -> None:
    """A session that only reads added hundreds of entries a second."""
    world = running_world
    world.lend("alice")
    size = world.size()
    copies = {
        name: [world.person(name, "GET", "/history/export").body for _ in range(3)]
        for name in ("bob", "carol")
    }
    assert world.events(size) == ["history.exported"] * 2
    for first, *others in copies.values():
        assert others == [first] * 2
    world.lend("alice")
    world.person("bob", "GET", "/history/export")
    assert world.events(size)[2:] == ["delegation.granted", "history.exported"]


def test_an_export_that_nobody_reads_ends_and_delays_nobody(running_world: World) -> None:
    connection = running_world.daemon.connect()
    connection.request("GET", "/api/v1/history/export", headers={"Authorization": basic("auditor")})
    connection.getresponse().close()
    connection.close()
    assert running_world.person("auditor", "GET", "/status").status == 200


# -- invitations


def test_open_invitations_are_listed_until_they_are_used(running_world: World) -> None:
    code = running_world.invite("auditor", "iris")
    listed = running_world.person(ADMIN, "GET", "/invitations").ok()
    assert [(each["role"], each["name"]) for each in listed] == [("auditor", "iris")]
    assert code not in str(listed)
    look = running_world.daemon.call("POST", "/enrolments/look", {"invitation": code})
    assert look.ok() == {"role": "auditor", "name": "iris"}
    running_world.daemon.call(
        "POST", "/enrolments", {"invitation": code, "password": "long enough for one"}
    ).ok()
    assert running_world.person(ADMIN, "GET", "/invitations").ok() == []
    again = running_world.daemon.call("POST", "/enrolments/look", {"invitation": code})
    never = running_world.daemon.call("POST", "/enrolments/look", {"invitation": "x" * 32})
    assert (again.status, again.body) == (403, never.body)


def test_an_invitation_that_is_over_is_not_open(bench: Bench, clock: FakeClock) -> None:
    actor = Actor(role="admin", name="admin")
    bench.do(accounts.invite, "auditor", "iris", actor)
    clock.advance(days=1)
    bench.do(accounts.invite, "owner", "dora", actor)
    names = [name for _, name, _ in bench.look(accounts.open_invitations)]
    assert names == ["dora", "iris"]
    clock.advance(days=6, seconds=1)
    assert [name for _, name, _ in bench.look(accounts.open_invitations)] == ["dora"]


# -- its cost


class Desk:
    """A store that is looked at as the daemon does, and counts how often."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.store, self.looks = bench, bench.store, 0

    async def look(self, step: Any, *args: Any) -> Any:
        self.looks += 1
        return self.bench.look(step, *args)


@pytest.mark.parametrize("newest", [False, True])
async def test_one_answer_looks_at_so_many_entries_and_says_where_to_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, newest: bool
) -> None:
    monkeypatch.setattr(history, "SLICE", 2)
    monkeypatch.setattr(history, "MOST_LOOKED_AT", 4)
    desk: Any = Desk(bench)
    size = bench.size
    assert size > 8
    nothing = Filter(owner="nobody-at-all")
    page = await history.find(desk, nothing, limit=9, **({"before": size} if newest else {}))
    assert (page.entries, page.next, desk.looks) == ([], size - 4 if newest else 4, 3)
