"""`/api/v1` of a real custodian over TLS: what it answers, and what its history says."""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import TypeAdapter
from running import (
    ADMIN,
    CERTIFICATE,
    World,
    basic,
    free_addresses,
    password_of,
    routes,
)

from custodian import api
from custodian.calls import STATUS, TITLES
from custodian.checkpoint import follows, open_checkpoint, open_receipt
from custodian.encoding import canonical_json, decode_base64, encode_base64
from custodian.errors import CustodianError, Untrusted
from custodian.events import Event
from custodian.note import parse_verify_key

ADDRESSES = iter(free_addresses())
HIDDEN = "hunter2-is-the-password"


# -- what anyone may ask


def test_health_needs_nobody(world: World) -> None:
    assert world.daemon.call("GET", "/healthz", root="").ok() == {"status": "ok"}
    assert world.daemon.call("GET", "/readyz", root="").ok() == {"status": "ready"}


def test_metrics_say_how_far_a_key_is_from_opening_and_only_here(world: World) -> None:
    world.lend("alice")
    here = world.daemon.call("GET", "/metrics", root="").body.decode()
    assert 'custodian_owners_needed{key="ca",signer="ca-1"} 1.0' in here
    assert 'custodian_quorum_live{key="ca",signer="ca-1"} 0.0' in here
    world.lend("bob")
    world.signer.ask().ok()
    here = world.daemon.call("GET", "/metrics", root="").body.decode()
    assert 'custodian_quorum_live{key="ca",signer="ca-1"} 1.0' in here
    assert 'custodian_leases_total{key="ca",result="granted"}' in here
    assert world.daemon.call("GET", "/metrics", root="", source="127.0.0.9").status == 403


def test_metrics_grow_by_no_path_or_verb_a_caller_makes_up(world: World) -> None:
    for n in range(5):
        world.daemon.call("GET", f"/made-up-{n}")
        world.daemon.call(f"MADEUP{n}", "/keys")
    assert b"made-up" not in world.daemon.call("GET", "/metrics", root="").body
    assert b"MADEUP" not in world.daemon.call("GET", "/metrics", root="").body


def test_the_openapi_document_is_made_once_since_anyone_may_ask_for_it() -> None:
    assert api._document() is api._document()


def test_openapi_lists_every_route_and_every_reference_leads_somewhere(world: World) -> None:
    document = world.daemon.call("GET", "/openapi.json").ok()
    listed = {f"{verb.upper()} {path}" for path, verbs in document["paths"].items() for verb in verbs}
    assert listed == routes()
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    for part in text.split('"$ref": "')[1:]:
        name = part.partition('"')[0].removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"], name
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            assert operation["summary"], path


def test_every_error_has_a_status_and_a_title() -> None:
    assert set(STATUS) == set(TITLES)
    leaves = {each for each in CustodianError.__subclasses__() if each.__module__ == "custodian.errors"}
    assert leaves <= set(STATUS)


# -- logging in


def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(world: World) -> None:
    world.enrol("owner", "grace")
    world.person(ADMIN, "DELETE", "/accounts/grace").ok()
    unknown, wrong, disabled = (
        world.daemon.call("GET", "/keys", authorization=basic(name, password), source=next(ADDRESSES))
        for name, password in (("nobody-at-all", ""), ("alice", HIDDEN), ("grace", ""))
    )
    assert unknown.status == wrong.status == disabled.status == 401
    assert unknown.body == wrong.body == disabled.body
    different = {"Date"}
    assert {k: v for k, v in unknown.headers.items() if k not in different} == {
        k: v for k, v in wrong.headers.items() if k not in different
    }


def test_failed_logins_have_to_wait_even_when_they_come_all_at_once(world: World) -> None:
    address = next(ADDRESSES)
    with ThreadPoolExecutor(3) as threads:
        answers = list(
            threads.map(
                lambda n: world.daemon.call(
                    "GET", "/keys", authorization=basic("bob", f"guess number {n}"), source=address
                ),
                range(20),
            )
        )
    statuses = [each.status for each in answers]
    assert statuses.count(401) <= 6
    waiting = next(each for each in answers if each.status == 429)
    assert waiting.json["type"] == "too-many"
    assert 1 <= int(waiting.headers["Retry-After"]) == waiting.json["retry_after"]
    right = world.daemon.call("GET", "/keys", authorization=basic("bob"), source=address)
    assert right.status == 429, "the right password waits too, or guessing would go on"
    assert world.person("bob", "GET", "/keys").status == 200, "from elsewhere bob can work"


def test_no_guess_is_found_in_the_log_or_the_database(world: World) -> None:
    world.daemon.call("GET", "/keys", authorization=basic("alice", HIDDEN), source=next(ADDRESSES))
    world.daemon.call("GET", "/keys", authorization=basic(HIDDEN, HIDDEN), source=next(ADDRESSES))
    kept = b"".join(path.read_bytes() for path in world.daemon.directory.iterdir() if path.is_file())
    assert f"{password_of('alice')}".encode() not in kept
    history = json.dumps(world.history())
    assert HIDDEN not in history + world.daemon.log.read_text()


# -- the history


def test_each_change_is_told_by_exactly_its_entries(world: World) -> None:
    def told(size: int) -> list[str]:
        return world.events(size)

    size = world.size()
    code = world.invite("owner", "dora")
    assert told(size) == ["account.invited"]
    size = world.size()
    world.daemon.call("POST", "/enrolments", {"invitation": code, "password": password_of("dora")}).ok()
    assert told(size) == ["account.enrolled"]
    size = world.size()
    hers, _ = world.lend("alice", "bob", uses=3)
    assert told(size) == ["delegation.granted", "delegation.granted"]
    size = world.size()
    lease = world.signer.ask(uses=3).ok()["id"]
    assert told(size) == ["lease.granted"]
    size = world.size()
    record = {
        "lease": lease,
        "number": 1,
        "tbs_sha256": "ab" * 32,
        "serial": "0a",
        "profile": "server",
        "names": ["www.example.com"],
        "not_after": "2026-12-24T12:00:00Z",
    }
    assert world.signer.call("POST", "/records", {"records": [record]}).ok() == {"new": 1}
    assert world.signer.call("POST", "/records", {"records": [record]}).ok() == {"new": 0}
    assert told(size) == ["signature.recorded"]
    size = world.size()
    assert world.signer.call("POST", f"/leases/{lease}/close", {"used": 1}).ok() == {"returned": 2}
    assert told(size) == ["lease.ended"]
    size = world.size()
    lease = world.signer.ask().ok()["id"]
    assert world.person("alice", "DELETE", f"/delegations/{hers}").ok()["leases_ended"] == [lease]
    assert told(size) == ["lease.granted", "delegation.revoked", "lease.ended"]
    size = world.size()
    world.person(ADMIN, "DELETE", "/accounts/dora").ok()
    assert told(size) == ["account.disabled"]
    size = world.size()
    world.signer.announce()
    assert told(size) == ["signer.announced"]


def test_looking_changes_nothing(world: World) -> None:
    size = world.size()
    for route in routes() - {"GET /api/v1/live", "GET /api/v1/history/export"}:  # one never ends, one tells
        if route.startswith("GET /api/v1/") and "{" not in route:
            world.person("auditor", "GET", route.removeprefix("GET /api/v1"))
    assert world.size() == size


def test_every_entry_fits_its_model_and_is_its_own_canonical_form(world: World) -> None:
    world.lend("alice", "bob", constraints={"profiles": ["server"], "names": ["*.example.com"]})
    world.signer.ask().ok()
    events = TypeAdapter(Event)
    for seq, entry in enumerate(world.history()):
        assert (entry["seq"], entry["v"]) == (seq, 1)
        fields = {k: v for k, v in entry.items() if k not in ("v", "seq", "time", "actor")}
        events.validate_python(fields)


def test_the_history_of_others_is_proven_by_receipts_and_consistency(world: World) -> None:
    log = parse_verify_key(world.vkey)
    old = open_checkpoint(world.person("alice", "GET", "/history/checkpoint").body, log)
    delegation = world.delegate("alice").ok()
    receipt = open_receipt_of(world, old.head.size)
    assert receipt.index == old.head.size
    proof = world.person("alice", "GET", f"/history/consistency?from={old.head.size}").ok()
    new = open_checkpoint(proof["checkpoint"].encode(), log)
    hashes = [decode_base64(each, "proof") for each in proof["proof"]]
    follows(old, new, hashes)
    with pytest.raises(Untrusted):
        follows(new, old, hashes)
    entry = canonical_json(world.history(old.head.size)[0])
    assert open_receipt(delegation["receipt"].encode(), entry=entry, log=log).index == old.head.size


def open_receipt_of(world: World, index: int) -> Any:
    receipt = world.person("auditor", "GET", f"/history/{index}/receipt").body
    entry = canonical_json(world.history(index)[0])
    return open_receipt(receipt, entry=entry, log=parse_verify_key(world.vkey))


def test_pages_of_the_history_join_without_gap(world: World) -> None:
    whole = world.history()
    pages = [
        entry
        for start in range(0, len(whole), 7)
        for entry in world.person("auditor", "GET", f"/history?start={start}&limit=7").ok()["entries"]
    ]
    assert pages[: len(whole)] == whole


# -- keys


def test_a_key_is_sealed_once_and_only_by_a_signer_it_names(world: World) -> None:
    envelope = {"envelope": encode_base64(bytes(world.envelope("other"))), "certificate": CERTIFICATE}
    assert world.signers["ca-2"].call("POST", "/keys", envelope).status == 403
    assert world.signer.call("POST", "/keys", envelope).ok()["policy"] == "2 of (alice, bob, carol)"
    assert world.signer.call("POST", "/keys", envelope).json["type"] == "conflict"


def test_an_envelope_for_owners_who_are_not_enrolled_is_refused(world: World) -> None:
    whole = bytes(world.envelope("third")).decode()
    swapped = whole.replace("alice", "zelda")
    answer = world.signer.call(
        "POST", "/keys", {"envelope": encode_base64(swapped.encode()), "certificate": CERTIFICATE}
    )
    assert (answer.status, answer.json["field"]) == (400, "envelope.owner")


def test_everybody_reads_the_envelope_that_nobody_can_open(world: World) -> None:
    detail = world.person("auditor", "GET", "/keys/ca").ok()
    assert detail["owners"] == ["alice", "bob", "carol"]
    assert decode_base64(detail["envelope"], "envelope").startswith(b"custodian/envelope/v1\n")


# -- every owner action with curl, as docs/api.md shows


def test_curl_does_everything_an_owner_does(world: World) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")

    def run(*arguments: str) -> Any:
        command = [curl, "-sS", "--fail-with-body", "--cacert", str(world.daemon.directory / "tls.pem")]
        done = subprocess.run(
            [*command, "-u", "alice", *arguments],
            input=f"{password_of('alice')}\n",
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # without a terminal it reads the password from standard input
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    base = f"{world.daemon.url}/api/v1"
    assert run(f"{base}/keys")[0]["name"] == "ca"
    assert run(f"{base}/keys/ca")["owners"] == ["alice", "bob", "carol"]
    granted = run(
        f"{base}/delegations", "-d", json.dumps({"key": "ca", "signer": "ca-1", "uses": 1, "duration": "1h"})
    )
    assert granted["state"] == "live"
    assert run(f"{base}/delegations?owner=alice")[0]["id"] == granted["id"]
    assert run(f"{base}/delegations/{granted['id']}")["left"] == 1
    assert run(f"{base}/status")[0]["live"][0]["owner"] == "alice"
    assert run("-X", "DELETE", f"{base}/delegations/{granted['id']}")["id"] == granted["id"]
    assert run(f"{base}/history?limit=1")["entries"]
    assert run(f"{base}/signers")[0]["name"] == "ca-1"
    assert run(f"{base}/owners")[0]["name"] == "alice"
