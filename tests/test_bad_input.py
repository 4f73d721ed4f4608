"""Bad input gets a problem that names the field, echoes nothing, and leaves no trace."""

import json
import time
from typing import Any

import pytest
from running import (
    CERTIFICATE,
    PURPOSE,
    Answer,
    World,
    basic,
    free_addresses,
    raw_connection,
)

ADDRESSES = iter(free_addresses())
HIDDEN = "hunter2-is-the-password"


POST = "POST /api/v1/enrolments HTTP/1.1\r\nHost: x\r\n"
# ruff: noqa: E501 - a case a line
RECORD = {
    "lease": "l-0",
    "number": 1,
    "tbs_sha256": "0" * 64,
    "serial": "0a",
    "profile": "",
    "names": [],
    "not_after": "2026-11-23T12:00:00Z",
}
DELEGATE = {"key": "ca", "signer": "ca-1", "uses": 1, "duration": "1h"}
INVITE = {"role": "owner", "name": "dora"}
ENROL = {"invitation": "a-code-nobody-has", "password": HIDDEN}
ASK = {"key": "ca", "signer": "ca-1", "uses": 1, "duration": "1h", "reason": "a test"}
LEASE = {
    "request": "request-1",
    "key": "ca",
    "recipient": "x25519:",
    "purpose": PURPOSE,
    "uses": 1,
    "seconds": 9,
}
BAD: dict[str, tuple[str, str, Any, int, str | None]] = {
    "no JSON": ("alice", "POST /delegations", b'{"key": "ca', 400, "body"),
    "no object": ("alice", "POST /delegations", b'["ca"]', 400, "body"),
    "a number": ("alice", "POST /delegations", b"1", 400, "body"),
    "nothing": ("alice", "POST /delegations", b"", 400, "key"),
    "not UTF-8": ("alice", "POST /delegations", b'{"key": "\xff"}', 400, "body"),
    "a key twice": ("alice", "POST /delegations", b'{"key": "ca", "key": "cb"}', 400, "body"),
    "a fraction": ("alice", "POST /delegations", b'{"uses": 1.5}', 400, "body"),
    "NaN": ("alice", "POST /delegations", b'{"uses": NaN}', 400, "body"),
    "a huge number": ("alice", "POST /delegations", b'{"uses": 9007199254740993}', 400, "body"),
    "deep nesting": ("alice", "POST /delegations", b"[" * 60_000, 400, "body"),
    "half a surrogate pair": ("alice", "POST /delegations", b'{"key": "\\ud800"}', 400, "body"),
    "an unknown field": ("alice", "POST /delegations", DELEGATE | {"extra": 1}, 400, "extra"),
    "an unknown constraint": ("alice", "POST /delegations", DELEGATE | {"constraints": {"x": 1}}, 400, "constraints.x"),
    "uses as text": ("alice", "POST /delegations", DELEGATE | {"uses": "1"}, 400, "uses"),
    "uses as truth": ("alice", "POST /delegations", DELEGATE | {"uses": True}, 400, "uses"),
    "no uses": ("alice", "POST /delegations", DELEGATE | {"uses": 0}, 400, "uses"),
    "negative uses": ("alice", "POST /delegations", DELEGATE | {"uses": -1}, 400, "uses"),
    "too many uses": ("alice", "POST /delegations", DELEGATE | {"uses": 1_000_001}, 400, "uses"),
    "ten years": ("alice", "POST /delegations", DELEGATE | {"duration": "3652d"}, 400, "duration"),
    "99999 days": ("alice", "POST /delegations", DELEGATE | {"duration": "99999d"}, 400, "duration"),
    "no time": ("alice", "POST /delegations", DELEGATE | {"duration": "0s"}, 400, "duration"),
    "negative time": ("alice", "POST /delegations", DELEGATE | {"duration": "-1h"}, 400, "duration"),
    "junk for time": ("alice", "POST /delegations", DELEGATE | {"duration": "1h junk"}, 400, "duration"),
    "time as a number": ("alice", "POST /delegations", DELEGATE | {"duration": 60}, 400, "duration"),
    "a start of junk": ("alice", "POST /delegations", DELEGATE | {"start": "tomorrow"}, 400, "start"),
    "a start in local time": ("alice", "POST /delegations", DELEGATE | {"start": "2026-11-23T12:00:00+01:00"}, 400, "start"),
    "a start long ago": ("alice", "POST /delegations", DELEGATE | {"start": "2020-01-01T00:00:00Z"}, 400, "start"),
    "a start in ten years": ("alice", "POST /delegations", DELEGATE | {"start": "2036-11-23T12:00:00Z"}, 400, "start"),
    "year 9999": ("alice", "POST /delegations", DELEGATE | {"start": "9999-12-31T23:59:59Z"}, 400, "start"),
    "a key of junk": ("alice", "POST /delegations", DELEGATE | {"key": "Ca/../x"}, 400, "key"),
    "a key with a newline": ("alice", "POST /delegations", DELEGATE | {"key": "ca\n"}, 400, "key"),
    "no such key": ("alice", "POST /delegations", DELEGATE | {"key": "not-there"}, 404, None),
    "no such signer": ("alice", "POST /delegations", DELEGATE | {"signer": "not-there"}, 404, None),
    "another signer": ("alice", "POST /delegations", DELEGATE | {"signer": "ca-2"}, 403, None),
    "a request of two lines": ("alice", "POST /delegations", DELEGATE | {"request": "one\ntwo"}, 400, "request"),
    "a long request": ("alice", "POST /delegations", DELEGATE | {"request": "x" * 256}, 400, "request"),
    "too many names": ("alice", "POST /delegations", DELEGATE | {"constraints": {"names": ["a"] * 65}}, 400, "constraints.names"),
    "an empty name": ("alice", "POST /delegations", DELEGATE | {"constraints": {"names": [""]}}, 400, "constraints.names.0"),
    "negative validity": ("alice", "POST /delegations", DELEGATE | {"constraints": {"max_validity": -1}}, 400, "constraints.max_validity"),
    "no such delegation": ("alice", "DELETE /delegations/d-0", None, 404, None),
    "an unknown parameter": ("alice", "GET /delegations?whose=alice", None, 400, "whose"),
    "an unknown key to filter by": ("alice", "GET /delegations?key=not-there", None, 404, None),
    "a start of the history of junk": ("alice", "GET /history?start=x", None, 400, "start"),
    "a negative start of the history": ("alice", "GET /history?start=-1", None, 400, "start"),
    "too much history": ("alice", "GET /history?limit=1001", None, 400, "limit"),
    "forwards and back at once": ("alice", "GET /history?start=1&before=9", None, 400, "before"),
    "a negative end of the history": ("alice", "GET /history?before=-1", None, 400, "before"),
    "a search of control characters": ("alice", "GET /history?text=%00", None, 400, "text"),
    "a search that turns text around": ("alice", "GET /history?owner=%E2%80%AE", None, 400, "owner"),
    "a search too long": ("alice", f"GET /history?text={'x' * 257}", None, 400, "text"),
    "too many lines of history": ("alice", "GET /history/lines?limit=5001", None, 400, "limit"),
    "lines from nowhere": ("alice", "GET /history/lines?start=", None, 400, "start"),
    "an export as something else": ("auditor", "GET /history/export?format=xlsx", None, 400, "format"),
    "an export of a part": ("auditor", "GET /history/export?start=4", None, 400, "start"),
    "a look without an invitation": ("", "POST /enrolments/look", {}, 400, "invitation"),
    "a look with a code of nobody": ("", "POST /enrolments/look", {"invitation": "x" * 32}, 403, None),
    "a look with more than a code": (
        "",
        "POST /enrolments/look",
        {"invitation": "x" * 32, "password": HIDDEN},
        400,
        "password",
    ),
    "a receipt of the future": ("alice", "GET /history/999999/receipt", None, 404, None),
    "a receipt of junk": ("alice", "GET /history/x/receipt", None, 404, None),
    "a proof from the future": ("alice", "GET /history/consistency?from=999999", None, 400, "from"),
    "a superscript": ("alice", "GET /history?start=%C2%B2", None, 400, "start"),
    "an unknown role": ("admin", "POST /invitations", INVITE | {"role": "king"}, 400, "role"),
    "a name in capitals": ("admin", "POST /invitations", INVITE | {"name": "Dora"}, 400, "name"),
    "a name of nothing": ("admin", "POST /invitations", INVITE | {"name": ""}, 400, "name"),
    "who is there already": ("admin", "POST /invitations", INVITE | {"name": "alice"}, 409, None),
    "shutting out nobody": ("admin", "DELETE /accounts/nobody", None, 404, None),
    "shutting oneself out": ("admin", "DELETE /accounts/admin", None, 409, None),
    "a wrong invitation": ("", "POST /enrolments", ENROL, 403, None),
    "a short password": ("", "POST /enrolments", ENROL | {"password": HIDDEN[:6]}, 403, None),
    "a long password": ("", "POST /enrolments", ENROL | {"password": HIDDEN * 100}, 400, "password"),
    "a password as a list": ("", "POST /enrolments", ENROL | {"password": [HIDDEN]}, 400, "password"),
    "a password under another name": ("", "POST /enrolments", {"invitation": HIDDEN, "passwd": HIDDEN}, 400, "passwd"),
    "a password in broken JSON": ("", "POST /enrolments", f'{{"password": "{HIDDEN}'.encode(), 400, "body"),
    "a password twice": ("", "POST /enrolments", f'{{"password":"{HIDDEN}","password":"{HIDDEN}"}}'.encode(), 400, "body"),
    "password and identity": ("", "POST /enrolments", ENROL | {"identity": "ed25519:"}, 400, "password"),
    "neither": ("", "POST /enrolments", {"invitation": HIDDEN}, 400, "password"),
    "an identity of junk": ("", "POST /enrolments", {"invitation": HIDDEN, "identity": "ed25519:AA"}, 400, "identity"),
    "asking without a reason": ("alice", "POST /requests", ASK | {"reason": ""}, 400, "reason"),
    "a reason of two lines": ("alice", "POST /requests", ASK | {"reason": "one\ntwo"}, 400, "reason"),
    "a reason that moves the cursor": ("alice", "POST /requests", ASK | {"reason": "\x1b[2J"}, 400, "reason"),
    "a reason that is not ASCII": ("alice", "POST /requests", ASK | {"reason": "caf\u00e9"}, 400, "reason"),
    "a long reason": ("alice", "POST /requests", ASK | {"reason": "x" * 256}, 400, "reason"),
    "asking for no uses": ("alice", "POST /requests", ASK | {"uses": 0}, 400, "uses"),
    "asking for a name of two lines": ("alice", "POST /requests", ASK | {"constraints": {"names": ["a\nb"]}}, 400, "constraints.names.0"),
    "asking for 32 days": ("alice", "POST /requests", ASK | {"duration": "32d"}, 400, "duration"),
    "asking for no time": ("alice", "POST /requests", ASK | {"duration": "0s"}, 400, "duration"),
    "waiting for no time": ("alice", "POST /requests", ASK | {"expires_in": "0s"}, 400, "expires_in"),
    "waiting for ever": ("alice", "POST /requests", ASK | {"expires_in": "99999d"}, 400, "expires_in"),
    "asking for another": ("alice", "POST /requests", ASK | {"on_behalf": "bob"}, 400, "on_behalf"),
    "asking for somebody of two lines": ("ca-1", "POST /requests", ASK | {"on_behalf": "a\nb"}, 400, "on_behalf"),
    "asking for more than is asked for": ("alice", "POST /requests", ASK | {"veto": True}, 400, "veto"),
    "asking for no key": ("alice", "POST /requests", ASK | {"key": "not-there"}, 404, None),
    "asking for no signer": ("alice", "POST /requests", ASK | {"signer": "not-there"}, 403, None),
    "a signer asking for another": ("ca-1", "POST /requests", ASK | {"signer": "ca-2"}, 403, None),
    "requests of an unknown state": ("alice", "GET /requests?state=open", None, 400, "state"),
    "requests for no key": ("alice", "GET /requests?key=not-there", None, 404, None),
    "no such request": ("alice", "GET /requests/r-000000000000", None, 404, None),
    "a request of junk": ("alice", "GET /requests/%00%1b", None, 404, None),
    "declining nothing": ("alice", "POST /requests/r-000000000000/decline", {"reason": "no"}, 404, None),
    "declining without a reason": ("alice", "POST /requests/r-0/decline", {}, 400, "reason"),
    "stopping without a reason": ("alice", "POST /requests/r-0/veto", {"reason": ""}, 400, "reason"),
    "lending for no such request": ("alice", "POST /delegations", DELEGATE | {"request": "r-000000000000"}, 404, None),
    "a recipient of junk": ("ca-1", "POST /leases", LEASE, 400, "recipient"),
    "a lease of no uses": ("ca-1", "POST /leases", LEASE | {"uses": 0}, 400, "uses"),
    "a lease of no time": ("ca-1", "POST /leases", LEASE | {"seconds": 0}, 400, "seconds"),
    "a lease of ten years": ("ca-1", "POST /leases", LEASE | {"seconds": 315_360_000}, 400, "seconds"),
    "a lease without a purpose": ("ca-1", "POST /leases", LEASE | {"purpose": None}, 400, "purpose"),
    "a short request id": ("ca-1", "POST /leases", LEASE | {"request": "short"}, 400, "request"),
    "closing nothing": ("ca-1", "POST /leases/l-0/close", {"used": 0}, 404, None),
    "records of nothing": ("ca-1", "POST /records", {"records": [RECORD]}, 400, "records"),
    "a name that moves the cursor": ("ca-1", "POST /records", {"records": [RECORD | {"names": ["\x1b[2J"]}]}, 400, "records.0.names.0"),
    "a name of two lines": ("ca-1", "POST /records", {"records": [RECORD | {"names": ["x\n"]}]}, 400, "records.0.names.0"),
    "a name with a C1 control": ("ca-1", "POST /records", {"records": [RECORD | {"names": ["x\x9b2J"]}]}, 400, "records.0.names.0"),
    "a name that turns text": ("ca-1", "POST /records", {"records": [RECORD | {"names": ["x\u202ey"]}]}, 400, "records.0.names.0"),
    "a name of another line": ("ca-1", "POST /leases", LEASE | {"purpose": PURPOSE | {"names": ["x\u2028y"]}}, 400, "purpose.names.0"),
    "a name that isolates text": ("ca-1", "POST /leases", LEASE | {"purpose": PURPOSE | {"names": ["x\u2066y"]}}, 400, "purpose.names.0"),
    "a record of junk": ("ca-1", "POST /records", {"records": [{}]}, 400, "records.0.lease"),
    "an envelope of junk": ("ca-1", "POST /keys", {"envelope": "AAAA", "certificate": CERTIFICATE}, 400, "envelope"),
    "an envelope in no base64": ("ca-1", "POST /keys", {"envelope": "A!", "certificate": CERTIFICATE}, 400, "envelope"),
    "a certificate of junk": ("ca-1", "POST /keys", {"envelope": "AAAA", "certificate": "PEM"}, 400, "certificate"),
    "an announcement of junk": ("ca-1", "PUT /signers/ca-1/recipient", {"recipient": "rsa:AA", "announced": "2026-11-23T12:00:00Z", "signature": ""}, 400, "recipient"),
}  # fmt: skip


def call_as(world: World, name: str, route: str, body: Any) -> Answer:
    verb, _, path = route.partition(" ")
    credentials = world.signers[name].authorization if name in world.signers else basic(name) if name else ""
    return world.daemon.call(verb, path, body, authorization=credentials)


@pytest.fixture(scope="module")
def before(running_world: World) -> int:
    """The size of the history before all the bad input of this file."""
    return running_world.size()


@pytest.fixture
def unharmed(running_world: World, before: int) -> World:
    return running_world


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_a_problem_that_names_the_field_and_echoes_nothing(unharmed: World, case: str) -> None:
    name, route, body, status, field = BAD[case]
    answer = call_as(unharmed, name, route, body)
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json.get("field") == field, answer.body
    assert {"type", "title", "status", "detail"} <= set(answer.json)
    assert HIDDEN[:6] not in answer.body.decode() + str(answer.headers)


def test_a_body_that_is_too_large_is_refused_whatever_it_says_of_its_size(unharmed: World) -> None:
    answer = call_as(unharmed, "alice", "POST /delegations", DELEGATE | {"request": "x" * 65_536})
    assert (answer.status, answer.json["type"]) == (413, "too-many")
    with raw_connection(unharmed.daemon) as connection:
        head = "POST /api/v1/enrolments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"11000\r\n" + b"x" * 0x11000 + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_just_the_limit_is_read(unharmed: World) -> None:
    body = json.dumps(ENROL).encode()
    answer = call_as(unharmed, "", "POST /enrolments", body + b" " * (65_536 - len(body)))
    assert answer.status == 403


def test_a_body_that_drips_is_given_up_and_keeps_nobody_waiting(unharmed: World) -> None:
    with raw_connection(unharmed.daemon) as connection:
        head = "POST /api/v1/enrolments HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        connection.sendall(head.encode())
        start = time.monotonic()
        assert call_as(unharmed, "", "GET /openapi.json", None).status == 200
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
        assert 0.5 < time.monotonic() - start < 4


def test_what_is_not_there_and_verbs_that_do_not_fit_are_problems_too(unharmed: World) -> None:
    nowhere = call_as(unharmed, "", "GET /nowhere", None)
    assert (nowhere.status, nowhere.json["type"]) == (404, "not-found")
    verb = call_as(unharmed, "", "PATCH /keys", None)
    assert (verb.status, verb.json["type"]) == (405, "wrong-method")
    assert verb.headers["Allow"] == "GET,POST"


BROKEN = {
    "no HTTP": f"{HIDDEN}\r\n\r\n",
    "a header with a control character": f"GET / HTTP/1.1\r\nAuthorization: Basic {HIDDEN}\x01\r\n\r\n",
    "a header that is too long": f"GET / HTTP/1.1\r\nAuthorization: Basic {HIDDEN * 1000}\r\n\r\n",
    "a path that is too long": f"GET /{HIDDEN * 1000} HTTP/1.1\r\n\r\n",
    "a length below nothing": f"{POST}Content-Length: -{HIDDEN}\r\n\r\n",
    "a chunk without a size": f"{POST}Transfer-Encoding: chunked\r\n\r\n{HIDDEN}\r\n",
    "a chunk without an end": f"{POST}Transfer-Encoding: chunked\r\n\r\n1\r\n{HIDDEN}\r\n",
    "what is not compressed": f"{POST}Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n{HIDDEN[:9]}",
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_http_is_repeated_to_nobody(unharmed: World, case: str) -> None:
    with raw_connection(unharmed.daemon) as connection:
        connection.sendall(BROKEN[case].encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.split()[1] == b"400", answer
    assert b"application/problem+json" in answer
    told = answer.decode() + unharmed.daemon.log.read_text()
    assert HIDDEN[:7] not in told
    assert "Traceback" not in told


def test_all_that_bad_input_wrote_nothing_into_history_and_log(unharmed: World, before: int) -> None:
    assert unharmed.events(before) == []
    assert HIDDEN not in unharmed.daemon.log.read_text()


def test_a_password_that_is_too_short_does_not_use_up_the_invitation(world: World) -> None:
    code = world.invite("owner", "frank")
    short = world.daemon.call("POST", "/enrolments", {"invitation": code, "password": HIDDEN[:9]})
    assert (short.status, short.json["field"]) == (400, "password")
    enrolled = world.daemon.call("POST", "/enrolments", {"invitation": code, "password": HIDDEN})
    assert enrolled.ok()["name"] == "frank"


@pytest.mark.parametrize(
    "credentials",
    ["Basic", "Basic !!!", "Basic YWxpY2U=", "Bearer", "Bearer x", "Digest x", "Basic " + "A" * 4000],
)
def test_credentials_of_junk_get_401_and_a_challenge(unharmed: World, credentials: str) -> None:
    answer = unharmed.daemon.call("GET", "/keys", authorization=credentials, source=next(ADDRESSES))
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="custodian"')


def test_the_largest_record_fits_and_its_names_may_be_of_any_language(unharmed: World) -> None:
    for letter in ("a", "\u05d0", "\u6c34"):
        record = RECORD | {"names": [letter * 1024] * 200, "profile": "p" * 255}
        body = json.dumps({"records": [record]}, ensure_ascii=False).encode()
        answer = call_as(unharmed, "ca-1", "POST /records", body)
        assert (answer.status, answer.json["field"]) == (400, "records"), "read, and of no lease"
