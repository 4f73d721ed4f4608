"""Sessions: who signs in and how, what a session is good for, and that no page but ours can use one."""

import http.client
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from authenticators import SITE, Passkey, device, device_credential, device_slot
from bench import ADMIN, KDF, Bench
from examples import NOW, private_key
from owners import Owner
from running import World, basic, free_addresses, make_world, password_of, wait_until

from custodian import accounts, ownerslots, proofs, sessions
from custodian.accounts import hash_secret
from custodian.callers import COOKIE
from custodian.errors import Unauthenticated
from custodian.evidence import slot_removed
from custodian.service import Caller, Custody
from custodian.statements import Statements

ADDRESSES = iter(free_addresses())
STATEMENTS = Statements(bytes(32))
DEVICE = device()


def statement(now=NOW, origin=SITE.origin, nonce=b"nonce"):
    return STATEMENTS.make(origin, now, nonce)


# --- statements


def test_a_statement_names_itself_the_origin_and_the_time():
    words = statement().split(" ")
    assert words[:3] == ["custodian/session/v1", SITE.origin, "2026-11-23T12:00:00Z"]
    assert len(words) == 5


def test_a_statement_is_good_for_two_minutes():
    STATEMENTS.check(statement(), SITE.origin, NOW)
    STATEMENTS.check(statement(), SITE.origin, NOW + timedelta(seconds=119))
    for now in (NOW + timedelta(seconds=120), NOW - timedelta(seconds=1)):
        with pytest.raises(Unauthenticated, match="too old"):
            STATEMENTS.check(statement(), SITE.origin, now)


def test_a_statement_of_somebody_else_or_changed_is_refused():
    made = statement()
    others = [
        Statements(b"x" * 32).make(SITE.origin, NOW, b"nonce"),
        "",
        " ",
        "a b c d e",
        made + " ",
        "é " + made,
    ]
    others += [made[:place] + "x" + made[place + 1 :] for place in range(len(made)) if made[place] != "x"]
    for other in others:
        with pytest.raises(Unauthenticated, match="not of this custodian"):
            STATEMENTS.check(other, SITE.origin, NOW)


def test_a_statement_for_another_origin_is_refused():
    with pytest.raises(Unauthenticated):
        STATEMENTS.check(statement(origin="https://other.example"), SITE.origin, NOW)


def test_a_statement_is_good_once_and_forgotten_when_it_is_too_old():
    here = Statements(bytes(32))
    used, other = (here.make(SITE.origin, NOW, nonce) for nonce in (b"1", b"2"))
    here.use(used, NOW)
    with pytest.raises(Unauthenticated, match="was used"):
        here.check(used, SITE.origin, NOW)
    here.check(other, SITE.origin, NOW)
    here.use(other, NOW + timedelta(seconds=120))
    assert len(here._used) == 1


# --- signing in by evidence


@pytest.fixture
def enrolled(bench: Bench) -> Bench:
    """The bench, where alice has a device key that proves."""
    bench.do(ownerslots.add, "alice", None, device_credential(DEVICE))
    return bench


def sign_in(bench, name="alice", said=None, evidence=None, statements=STATEMENTS):
    said = said or statements.make(SITE.origin, bench.clock.now, b"nonce of the test")
    evidence = evidence or DEVICE.agree(said.encode(), "device-laptop")
    return bench.do(proofs.sign_in, name, said, evidence, site=SITE, statements=statements)


def test_who_signs_a_statement_is_signed_in_once(enrolled: Bench):
    here = Statements(bytes(32))
    token, session = sign_in(enrolled, statements=here)
    assert (session.name, session.role) == ("alice", "owner")
    assert enrolled.look(sessions.find, token) == session
    with pytest.raises(Unauthenticated, match="was used"):
        sign_in(enrolled, statements=here)


def test_signing_in_tells_strangers_nothing_of_who_there_is(enrolled: Bench):
    """Not whether there is such a name, such a credential, or what is wrong with a signature."""
    enrolled.enrol("dora")
    enrolled.do(accounts.disable, "dora", ADMIN)
    said = statement()
    good = DEVICE.agree(said.encode(), "device-laptop")
    wrong = [
        ("nobody", good),
        ("bob", good),
        ("admin", good),
        ("dora", good),
        ("alice", DEVICE.agree(said.encode(), "device-other")),
        ("alice", DEVICE.agree(b"another", "device-laptop")),
        ("alice", good.model_copy(update={"signature": "!"})),
        ("alice", Passkey().agree(said.encode(), "device-laptop")),
    ]
    answers = set()
    for name, evidence in wrong:
        with pytest.raises(Unauthenticated) as error:
            sign_in(enrolled, name, said, evidence)
        answers.add(error.value.detail)
    assert answers == {"the name or the signature is not right"}
    sign_in(enrolled, said=said)  # a wrong signature did not use the statement up


def test_what_was_signed_for_something_else_signs_nobody_in(enrolled: Bench):
    said = slot_removed("alice", "device-laptop")
    with pytest.raises(Unauthenticated, match="not of this custodian"):
        sign_in(enrolled, said=said.decode(), evidence=DEVICE.agree(said, "device-laptop"))


# --- sessions as they are kept


def test_a_session_is_over_after_eight_hours(bench: Bench):
    token, session = bench.do(sessions.start, "alice")
    assert session.expires == NOW + timedelta(hours=8)
    bench.clock.advance(hours=8, seconds=-1)
    bench.look(sessions.find, token)
    assert not bench.look(sessions.has_expired)
    bench.clock.advance(seconds=1)
    with pytest.raises(Unauthenticated, match="sign in again"):
        bench.look(sessions.find, token)
    assert bench.look(sessions.has_expired)
    bench.do(sessions.purge)
    assert not bench.look(sessions.has_expired)


def test_the_database_does_not_hold_the_token(bench: Bench):
    token, session = bench.do(sessions.start, "alice")
    assert session.id == hash_secret(token)
    with closing(sqlite3.connect(bench.path)) as other:
        assert token not in "\n".join(other.iterdump())


def test_whoever_is_shut_out_has_no_session_any_more(bench: Bench):
    token, _ = bench.do(sessions.start, "alice")
    other, _ = bench.do(sessions.start, "bob")
    bench.do(accounts.disable, "alice", ADMIN)
    with pytest.raises(Unauthenticated):
        bench.look(sessions.find, token)
    bench.look(sessions.find, other)


def test_a_person_has_32_sessions_and_the_oldest_makes_place(bench: Bench):
    tokens = []
    for _ in range(33):
        tokens.append(bench.do(sessions.start, "alice")[0])
        bench.clock.advance(seconds=1)
    with pytest.raises(Unauthenticated):
        bench.look(sessions.find, tokens[0])
    for token in tokens[1:]:
        bench.look(sessions.find, token)


def test_sessions_are_not_in_the_history(bench: Bench):
    size = bench.size
    token, session = bench.do(sessions.start, "alice")
    bench.do(sessions.end, session.id)
    assert bench.size == size
    with pytest.raises(Unauthenticated):
        bench.look(sessions.find, token)


# --- over the wire


def read(world, token, path="/me"):
    return world.daemon.call("GET", path, authorization=f"Bearer {token}")


def test_a_password_starts_a_session_and_leaving_ends_it(world: World):
    body = {"name": "alice", "password": password_of("alice")}
    answer = world.daemon.call("POST", "/sessions", body)
    assert answer.status == 201
    assert (answer.json["name"], answer.json["role"]) == ("alice", "owner")
    token = answer.json["token"]
    assert token.startswith("s-")
    assert read(world, token).ok()["name"] == "alice"
    left = world.daemon.call("DELETE", "/sessions", authorization=f"Bearer {token}")
    assert (left.status, left.body) == (204, b"")
    again = read(world, token)
    assert (again.status, again.json["detail"]) == (401, "this session is over; sign in again")


def test_a_password_ends_all_sessions_of_its_own(world: World):
    first, second, other = world.sign_in("alice"), world.sign_in("alice"), world.sign_in("bob")
    assert world.person("alice", "DELETE", "/sessions").status == 204
    assert [read(world, token).status for token in (first, second, other)] == [401, 401, 200]


def test_a_wrong_password_starts_no_session_and_has_to_wait(world: World):
    source = next(ADDRESSES)
    wrong = {"name": "bob", "password": "not the right one"}
    answers = [world.daemon.call("POST", "/sessions", wrong, source=source) for _ in range(6)]
    assert [each.status for each in answers] == [401] * 5 + [429]
    assert answers[0].json["detail"] == "the name or the password is not right"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "alice"},
        {"name": "alice", "statement": "a b c d e"},
        {"name": "alice", "password": "x", "statement": "x"},
        {
            "name": "alice",
            "password": "x",
            "evidence": {"kind": "device", "credential": "a", "signature": ""},
        },
        {"name": "Alice", "password": "x"},
        {},
    ],
)
def test_signing_in_takes_a_password_or_a_statement_with_evidence(world: World, body):
    assert world.daemon.call("POST", "/sessions", body, source=next(ADDRESSES)).status == 400


def test_a_password_that_is_removed_leaves_no_session_that_was_just_being_made(tmp_path: Path):
    """Whoever kept signing in with a password that leaked had one under way, which outlived the password."""
    world = make_world(tmp_path / "custodian")
    alice = Owner(world, "alice")
    alice.call("/me/slots", alice.device_by_password()).ok()
    body, made = {"name": "alice", "password": password_of("alice")}, list[str]()

    def keep_signing_in(source: str) -> None:
        while (answer := world.daemon.call("POST", "/sessions", body, source=source)).status == 201:
            made.append(answer.json["token"])

    with ThreadPoolExecutor(2) as thieves:
        under_way = [thieves.submit(keep_signing_in, next(ADDRESSES)) for _ in range(2)]
        wait_until(lambda: made)
        proof = alice.device.agree(slot_removed("alice", "password"), "device-laptop").model_dump()
        mine = f"Bearer {world.sign_in('alice')}"
        gone = world.daemon.call("POST", "/me/slots/password/remove", {"evidence": proof}, authorization=mine)
        assert gone.status == 200
        for each in under_way:
            each.result()
    assert [token for token in made if read(world, token).status == 200] == []
    world.daemon.stop()


async def test_a_password_that_is_removed_meanwhile_changes_nothing(bench: Bench):
    """It was right when it was worked on, which takes longer than removing it."""
    custody = Custody(bench.store, openers=None, kdf=KDF, vkey="vkey")
    account = bench.look(accounts.find_account, "alice")
    caller = Caller("owner", "alice", password="right", verifier=account.verifier)
    key = private_key("alice")
    await custody.change_as(
        caller, ownerslots.add, "alice", device_slot(DEVICE, key), device_credential(DEVICE)
    )
    bench.do(ownerslots.remove, "alice", "password")
    size = bench.size
    with pytest.raises(Unauthenticated):
        await custody.change_as(caller, ownerslots.add, "alice", None, Passkey().credential())
    assert bench.size == size


def test_a_session_changes_nothing_without_a_proof(world: World):
    wish = {"key": "ca", "signer": "ca-1", "uses": 10, "duration": "1h"}
    size, token = world.size(), world.sign_in("alice")
    answer = world.daemon.call("POST", "/delegations", wish, authorization=f"Bearer {token}")
    assert answer.status == 403
    assert "password" in answer.json["detail"]
    for path in ("/me/slots", "/me/slots/password/remove"):
        answer = world.daemon.call("POST", path, {}, authorization=f"Bearer {token}")
        assert answer.status == 403
        assert "sign this with a credential" in answer.json["detail"]
    assert world.size() == size


def test_a_session_revokes_what_its_owner_lent_and_of_no_one_else(world: World):
    mine, theirs = world.lend("alice", "bob")
    token = f"Bearer {world.sign_in('alice')}"
    assert world.daemon.call("DELETE", f"/delegations/{theirs}", authorization=token).status == 403
    assert world.daemon.call("DELETE", f"/delegations/{mine}", authorization=token).status == 200
    assert world.events(world.size() - 1) == ["delegation.revoked"]


def test_who_revokes_by_session_does_not_stand_in_line_with_logins(world: World):
    """A password takes an opener's time; a session takes one look."""
    (mine,) = world.lend("alice")
    token, source = f"Bearer {world.sign_in('alice')}", next(ADDRESSES)
    with ThreadPoolExecutor(8) as crowd:
        guesses = [
            crowd.submit(world.daemon.call, "GET", "/keys", authorization=basic("bob", "x"), source=source)
            for _ in range(8)
        ]
        answer = world.daemon.call("DELETE", f"/delegations/{mine}", authorization=token, source=source)
        assert answer.status == 200
        assert any(guess.result().status in (401, 429) for guess in guesses)


@pytest.mark.parametrize("token", ["s-", "s-" + "A" * 44, "s-" + "A" * 5000, "x", ""])
def test_a_token_that_is_none_is_refused(world: World, token):
    assert read(world, token).status == 401


# --- browsers


def call(world: World, verb: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict]:
    connection = world.daemon.connect()
    with closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(verb, f"/api/v1{path}", body, named)
        answer: http.client.HTTPResponse = connection.getresponse()
        data = answer.read()
        return answer.status, dict(answer.getheaders()) | {"json": json.loads(data) if data else None}


@pytest.fixture
def cookie(world: World) -> str:
    return f"{COOKIE}={world.sign_in('alice')}"


@pytest.mark.parametrize(
    "tossed",
    ["x=1 {}", "x=1,{}", "x=\t{}", "\xa0{}", "x;{}", 'x="1; {}"', "__Host-custodian =1; x=1 {}", "{}; {}"],
)
def test_a_cookie_that_another_host_sets_is_not_taken_for_ours(world: World, cookie: str, tossed: str):
    """Whoever controls a host beside ours would have had others work in a session of the attacker's."""
    others = tossed.replace("{}", f"{COOKIE}={world.sign_in('bob')}")
    assert call(world, "GET", "/me", Cookie=others)[0] == 401
    for both in (f"{cookie}; {others}", f"{others}; {cookie}"):
        status, answer = call(world, "GET", "/me", Cookie=both)
        assert status == 401 or answer["json"]["name"] == "alice"


def origin(world: World) -> str:
    return f"https://localhost:{world.daemon.url.rpartition(':')[2]}"


JSON = "application/json"


def test_the_cookie_reads(world: World, cookie: str):
    assert call(world, "GET", "/me", Cookie=cookie)[0] == 200
    assert call(world, "GET", "/me", Cookie=cookie, Sec_Fetch_Site="same-origin")[0] == 200
    assert call(world, "GET", "/me", Cookie=cookie, Sec_Fetch_Site="none")[0] == 200


@pytest.mark.parametrize("place", ["cross-site", "same-site", "SAME-ORIGIN", "x"])
@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_a_page_of_another_site_neither_reads_nor_changes(world: World, cookie: str, verb: str, place: str):
    status, answer = call(
        world, verb, "/me" if verb == "GET" else "/sessions", Cookie=cookie, Sec_Fetch_Site=place
    )
    assert (status, answer["json"]["type"]) == (403, "forbidden")
    assert call(world, "GET", "/me", Cookie=cookie)[0] == 200


def test_a_change_is_not_for_the_address_bar(world: World, cookie: str):
    assert call(world, "DELETE", "/sessions", Cookie=cookie, Sec_Fetch_Site="none")[0] == 403


@pytest.mark.parametrize(
    "place",
    ["https://evil.example", "null", "https://localhost", "http://localhost:1", "", "https://127.0.0.1"],
)
def test_a_page_of_another_origin_does_not_change(world: World, cookie: str, place: str):
    status, answer = call(world, "DELETE", "/sessions", Cookie=cookie, Origin=place)
    assert status == 403
    assert origin(world) in answer["json"]["detail"]


def test_our_own_page_changes(world: World, cookie: str):
    headers = {"Cookie": cookie, "Origin": origin(world), "Sec_Fetch_Site": "same-origin"}
    (mine,) = world.lend("alice")
    assert call(world, "DELETE", f"/delegations/{mine}", **headers)[0] == 200
    status, answer = call(world, "POST", "/me/slots", b"{}", Content_Type=JSON, **headers)
    assert (status, answer["json"]["type"]) == (403, "forbidden")  # it got as far as the missing proof
    assert call(world, "DELETE", "/sessions", **headers)[0] == 204


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", None],
)
def test_what_a_form_can_send_changes_nothing_with_a_cookie(world: World, cookie: str, kind: str | None):
    headers = {"Content_Type": kind} if kind else {}
    status, answer = call(world, "POST", "/me/slots", b"{}", Cookie=cookie, **headers)
    assert (status, answer["json"]["type"]) == (415, "bad-input")
    assert "Content-Type: application/json" in answer["json"]["title"]
    assert call(world, "DELETE", "/sessions", b"x=1", Cookie=cookie, **headers)[0] == 415


def test_a_page_of_another_site_changes_nothing_with_a_password_either(world: World):
    """A browser may keep a password that somebody once typed into its own question."""
    (mine,) = world.lend("alice")
    headers = {"Authorization": basic("alice"), "Sec_Fetch_Site": "cross-site", "Content_Type": JSON}
    assert call(world, "DELETE", f"/delegations/{mine}", **headers)[0] == 403
    assert call(world, "POST", "/sessions", b"{}", Sec_Fetch_Site="cross-site", Content_Type=JSON)[0] == 403
    assert call(world, "POST", "/grants", b"{}", Origin="https://evil.example", Content_Type=JSON)[0] == 403


def test_a_browser_is_not_made_to_ask_for_a_password(world: World):
    """What it asks for it keeps, and sends with what other pages make it send."""
    assert "WWW-Authenticate" in call(world, "GET", "/me")[1]
    assert "WWW-Authenticate" not in call(world, "GET", "/me", Sec_Fetch_Mode="cors")[1]


def test_a_password_beside_the_cookie_is_what_counts(world: World, cookie: str):
    status, answer = call(world, "GET", "/me", Cookie=cookie, Authorization=basic("bob"))
    assert (status, answer["json"]["name"]) == (200, "bob")


def test_who_removes_a_way_by_password_in_a_page_stays_signed_in_there_only(world: World, cookie: str):
    alice, elsewhere = Owner(world, "alice"), world.sign_in("alice")
    alice.call("/me/slots", alice.device_by_password()).ok()
    removed = "/me/slots/device-laptop/remove"
    changed = call(
        world, "POST", removed, b"{}", Cookie=cookie, Authorization=basic("alice"), Content_Type=JSON
    )
    assert changed[0] == 200
    assert call(world, "GET", "/me", Cookie=cookie)[0] == 200
    assert read(world, elsewhere).status == 401
