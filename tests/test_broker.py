"""The broker and its keyholders hold to what owners agreed to, whatever they are handed.

Real processes; the test plays the API process and a custodian that lies.
"""

import math
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from broker_lab import Broker, deal, lease_of, running_broker, stretched
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from histories import KEY, granted, head_of
from memory_scan import tree
from running import wait_until
from signing import SOON, alive
from tbs_samples import make_tbs

from custodian.checkpoint import format_receipt, sign_checkpoint
from custodian.encoding import encode_base64
from custodian.merkle import inclusion_proof, tile_reader
from custodian.sealing import PrivateKey
from custodian.terms import Constraints


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running_broker() as running:
        yield running


def test_a_lease_opens_signs_as_often_as_it_says_and_ends(broker: Broker) -> None:
    lease = lease_of(broker.lend(), uses=2)
    channel = broker.opened(lease)
    public = deal().certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    for number in (1, 2):
        fine, signature = channel.ask(make_tbs(), number=number)
        assert fine
        public.verify(signature, make_tbs(), ec.ECDSA(hashes.SHA256()))
    assert channel.ends()
    assert broker.hear()[0] == {"gone": lease["id"], "why": "used up", "left": 0}


# -- a custodian that lies


def test_shares_do_not_open_under_terms_with_more_uses(broker: Broker) -> None:
    lent = stretched(broker.lend(uses=3), uses=1000)
    why = "the share of alice was not sealed to this signer under these terms"
    answer, _ = broker.open(lease_of(lent, uses=500))
    assert answer["error"] == why
    assert answer["members"] == {"owners": ["alice"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"end": datetime.now(UTC).replace(microsecond=0) + timedelta(days=20)},
        {"start": datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)},
        {"constraints": Constraints()},
        {"signer": "ca-2"},
        {"request": "another ticket"},
        {"nonce": "00" * 16},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_shares_do_not_open_under_other_terms(broker: Broker, changes: dict[str, Any]) -> None:
    lent = broker.lend(constraints=Constraints(names=("*.example.com",)))
    assert "not sealed to this signer under these terms" in broker.refusal(
        lease_of(stretched(lent, **changes))
    )


def test_a_share_under_another_owners_name_does_not_open(broker: Broker) -> None:
    [(alices, sealed), bobs] = broker.lend("alice", "bob")
    lent = [*stretched([(alices, sealed)], owner="carol"), bobs]
    assert broker.refusal(lease_of(lent)).startswith("the share of carol was not sealed")


def test_more_uses_than_one_owner_lent_are_refused(broker: Broker) -> None:
    lent = [*broker.lend("alice", uses=50), *broker.lend("bob", uses=3)]
    assert broker.refusal(lease_of(lent, uses=4)) == "bob lent it for 3 uses, not 4"


@pytest.mark.parametrize("uses", [0, -1])
def test_a_lease_without_uses_is_refused(broker: Broker, uses: int) -> None:
    assert "lent it for 5 uses" in broker.refusal(lease_of(broker.lend(), uses=uses))


def test_a_delegation_that_is_played_again_gives_no_more_than_its_uses(broker: Broker) -> None:
    lent = broker.lend(uses=5)
    for _ in range(2):
        channel = broker.opened(lease_of(lent, uses=2))
        channel.ask(make_tbs())
        channel.ask(make_tbs())
        assert channel.ends()
        broker.hear()
    assert broker.refusal(lease_of(lent, uses=2)) == "alice lent it for 5 uses; they were given already"
    assert broker.opened(lease_of(lent, uses=1)).ask(make_tbs())[0]
    broker.hear()
    assert "given already" in broker.refusal(lease_of(lent, uses=1))


def test_one_spent_delegation_is_enough_to_refuse(broker: Broker) -> None:
    alices, bobs, carols = (broker.lend(owner, uses=2) for owner in ("alice", "bob", "carol"))
    broker.opened(lease_of([*alices, *bobs], uses=2))
    assert broker.hear()[0]["why"] == "ended"  # nobody held on to its channel
    assert broker.refusal(lease_of([*alices, *carols], uses=1)).startswith("alice lent it for 2 uses")


def test_uses_of_a_lease_that_did_not_open_return(broker: Broker) -> None:
    lent = broker.lend(uses=2)
    spoiled = [lent[0], (lent[1][0], lent[1][1][:-1] + bytes([lent[1][1][-1] ^ 1]))]
    assert broker.refusal(lease_of(spoiled, uses=2)).startswith("the share of bob")
    assert broker.opened(lease_of(lent, uses=2)).ask(make_tbs())[0]
    broker.hear()


def test_a_share_that_was_not_dealt_names_its_owner(broker: Broker) -> None:
    [alices] = broker.lend("alice")
    terms = broker.terms("bob", deal())
    bobs = (terms, broker.recipient.seal(bytes(48), terms.share_info))
    answer, _ = broker.open(lease_of([alices, bobs]))
    assert answer["error"] == "the share of bob is not the one that was dealt"
    assert answer["members"] == {"owners": ["bob"]}


def test_too_few_shares_open_nothing(broker: Broker) -> None:
    assert broker.refusal(lease_of(broker.lend("alice"))) == "1 more of the owners' shares are needed"
    assert broker.refusal(lease_of(broker.lend("alice") * 2)) == "1 more of the owners' shares are needed"
    assert broker.refusal(lease_of([])) == "the history does not tell of this lease"


def test_shares_lent_to_another_signer_are_refused(broker: Broker) -> None:
    other = PrivateKey("x25519", os.urandom(32)).public
    refusal = broker.refusal(lease_of(broker.lend(recipients=(other,))))
    assert refusal == "alice lent it to another recipient"


def test_shares_of_another_key_are_refused(broker: Broker) -> None:
    lent = broker.lend(dealt=deal(name="other"))
    assert broker.refusal(lease_of(lent)) == "alice lent another key"
    renamed = stretched(lent, key_id=deal().envelope.facts.id)
    assert "not sealed to this signer under these terms" in broker.refusal(lease_of(renamed))


@pytest.mark.parametrize(
    ("end", "why"), [(3601, "another time"), (-1, "another time"), (math.inf, "not a time")]
)
def test_a_lease_outside_its_delegations_time_is_refused(broker: Broker, end: float, why: str) -> None:
    assert why in broker.refusal(lease_of(broker.lend(), end=time.time() + end))


def test_a_lease_that_ends_at_no_number_is_refused(broker: Broker) -> None:
    """NaN is neither before nor after any end, so no comparison and no timer would hold it."""
    assert "is not a time" in broker.refusal(lease_of(broker.lend(), end=math.nan))


def test_a_delegation_that_has_not_begun_is_refused(broker: Broker) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
    assert broker.refusal(lease_of(broker.lend(start=start))) == "alice lent it for another time"


def test_the_end_comes_by_itself(broker: Broker) -> None:
    lease = lease_of(broker.lend(), end=time.time() + 0.5)
    channel = broker.opened(lease)
    began = time.monotonic()
    assert channel.ends()
    assert time.monotonic() - began < 2
    assert broker.hear()[0] == {"gone": lease["id"], "why": "ended", "left": 0}


def test_an_envelope_whose_header_was_changed_does_not_open(broker: Broker) -> None:
    altered = bytes(deal().envelope).replace(b"policy: 2 of", b"policy: 1 of")
    assert broker.refusal(lease_of(broker.lend(), envelope=encode_base64(altered)))
    altered = bytes(deal().envelope).replace(b"name: ca", b"name: cb")
    assert "does not open" in broker.refusal(lease_of(broker.lend(), envelope=encode_base64(altered)))


@pytest.mark.parametrize(
    "lease",
    [
        {},
        [],
        None,
        {"id": "l-1", "uses": "many", "end": 1, "envelope": "", "shares": []},
        {"id": "l-1", "uses": 1, "end": "soon", "envelope": "", "shares": []},
        {"id": "l-1", "uses": 1, "end": 10**400, "envelope": "", "shares": []},
        {"id": "l-1", "uses": 1, "end": 1, "envelope": 7, "shares": []},
        {"id": "l-1", "uses": 1, "end": 1, "envelope": "bm9uZQ==", "shares": []},
    ],
)
def test_what_is_no_lease_is_refused(broker: Broker, lease: Any) -> None:
    assert broker.refusal(lease)


@pytest.mark.parametrize("shares", [None, 7, ["x"], [{}], [{"terms": "e30=", "sealed": ""}], [{"terms": 1}]])
def test_what_are_no_shares_is_refused(broker: Broker, shares: Any) -> None:
    assert broker.refusal(lease_of([], shares=shares))


# -- the API process's orders


def test_a_lease_opens_only_once(broker: Broker) -> None:
    lease = lease_of(broker.lend(uses=50))
    channel = broker.opened(lease)
    assert broker.refusal(lease) == f"the lease {lease['id']} is open already"
    assert channel.ask(make_tbs())[0]
    broker.send({"do": "kill", "lease": lease["id"]})
    assert channel.ends()
    assert broker.hear()[0]["gone"] == lease["id"]


def test_a_killed_keyholder_is_gone_and_its_uses_are_spent(broker: Broker) -> None:
    lent = broker.lend(uses=2)
    lease = lease_of(lent, uses=2)
    answer, [channel] = broker.open(lease)
    broker.send({"do": "kill", "lease": lease["id"]})
    assert channel.ends()
    assert broker.hear()[0] == {"gone": lease["id"], "why": "killed", "left": 0}
    assert not alive(answer["pid"])
    assert "given already" in broker.refusal(lease_of(lent, uses=1))


def test_a_closed_keyholder_gives_its_unused_uses_back(broker: Broker) -> None:
    lent = broker.lend(uses=3)
    lease = lease_of(lent, uses=3)
    channel = broker.opened(lease)
    channel.ask(make_tbs())
    broker.send({"do": "close", "lease": lease["id"]})
    assert broker.hear()[0] == {"gone": lease["id"], "why": "closed", "left": 2}
    assert "given already" in broker.refusal(lease_of(lent, uses=3))
    again = lease_of(lent, uses=2)
    broker.opened(again).ask(make_tbs())
    broker.hear()


@pytest.mark.parametrize("order", ["kill", "close"])
def test_ending_a_lease_nobody_knows_changes_nothing(broker: Broker, order: str) -> None:
    before = broker.report()
    broker.send({"do": order, "lease": "l-unknown"})
    assert broker.report()["leases"] == before["leases"]


def test_several_leases_live_side_by_side(broker: Broker) -> None:
    lent = broker.lend(uses=50)
    leases = [lease_of(lent) for _ in range(3)]
    channels = [broker.opened(lease) for lease in leases]
    pids = {each["pid"] for each in broker.report()["leases"]}
    assert len(pids) == 3
    broker.send({"do": "kill", "lease": leases[1]["id"]})
    assert channels[1].ends()
    assert broker.hear()[0]["gone"] == leases[1]["id"]
    assert channels[0].ask(make_tbs())[0]
    assert channels[2].ask(make_tbs())[0]
    for lease in (leases[0], leases[2]):
        broker.send({"do": "kill", "lease": lease["id"]})
        assert broker.hear()[0]["gone"] == lease["id"]


def test_a_keyholder_that_is_killed_from_outside_is_told_of(broker: Broker) -> None:
    lease = lease_of(broker.lend())
    answer, [channel] = broker.open(lease)
    os.kill(answer["pid"], signal.SIGKILL)
    assert channel.ends()
    assert broker.hear()[0] == {"gone": lease["id"], "why": "ended", "left": 0}


def test_the_report_says_what_took_and_names_no_secret(broker: Broker) -> None:
    report = broker.report()
    assert {each["name"] for each in report["measures"]} >= {"landlock", "seccomp", "not dumpable"}
    assert {each["name"] for each in report["keyholder_measures"]} >= {"secret memory", "seccomp"}
    names = {"call", "pid", "recipient", "seen", "measures", "keyholder_measures", "leases"}
    assert set(report) == names


def test_two_channels_share_one_lease() -> None:
    with running_broker(channels=2) as broker:
        answer, channels = broker.open(lease_of(broker.lend(), uses=3))
        assert len(channels) == 2
        assert channels[0].ask(make_tbs(), number=1)[0]
        assert channels[1].ask(make_tbs(), number=1)[0]
        assert channels[0].ask(make_tbs(), number=2)[0]
        assert all(channel.ends() for channel in channels)
        wait_until(lambda: not alive(answer["pid"]), SOON)


def test_junk_ends_the_broker_and_every_key() -> None:
    with running_broker() as broker:
        channel = broker.opened(lease_of(broker.lend()))
        family = tree(broker.process.pid)
        broker.send(b"\xff{junk")
        assert channel.ends()
        with pytest.raises(EOFError):
            broker.hear()
        broker.process.wait(SOON)
        wait_until(lambda: not any(map(alive, family)), SOON)


def test_the_end_of_the_api_process_is_the_end_of_every_key() -> None:
    with running_broker() as broker:
        channel = broker.opened(lease_of(broker.lend()))
        broker.report()  # by then the next spare is there
        family = tree(broker.process.pid)
        assert len(family) == 3
        broker.leave()
        assert channel.ends()
        assert broker.process.wait(SOON) == 0
        wait_until(lambda: not any(map(alive, family)), SOON)


# -- the history


def test_a_lease_that_the_history_does_not_tell_of_opens_nothing(broker: Broker) -> None:
    """A lying custodian proves that some entry is there; it must be this lease's own."""
    lease = lease_of(broker.lend(), uses=2)
    other = lease_of(broker.lend(), uses=2)
    for untrue in (
        broker.prove_entry(b'{"type":"log.started"}'),
        broker.prove(other),
        broker.prove_entry(granted(lease, broker.recipient, uses=1)),
        broker.prove_entry(granted(lease, broker.recipient, end="2036-01-01T00:00:00Z")),
        broker.prove_entry(granted(lease, "x25519:AAAA")),
        broker.prove_entry(granted(lease, broker.recipient, signer="ca-2")),
        broker.prove_entry(granted(lease, broker.recipient, spent=[])),
        broker.prove_entry(granted(lease, broker.recipient, type="lease.ended")),
        broker.prove_entry(b"[]"),
    ):
        untrue["consistency"] = broker.history.since(broker.report()["seen"])
        answer, channels = broker.open(lease, **untrue)
        assert (answer["code"], channels) == ("history-mismatch", [])


def test_shares_that_were_sent_once_open_nothing_again(broker: Broker) -> None:
    """After a revocation the API process still has the shares; the history has no second entry."""
    lease = lease_of(broker.lend(), uses=2)
    proof = broker.prove(lease)
    broker.open(lease, **proof)
    broker.send({"do": "kill", "lease": lease["id"]})
    assert broker.hear()[0]["gone"] == lease["id"]
    again = proof | {"consistency": []}
    size = broker.report()["seen"]
    again["receipt"] = format_receipt(
        size - 1,
        inclusion_proof(tile_reader(broker.history.leaves), size - 1, size),
        sign_checkpoint(head_of(broker.history.entries[:size]), KEY),
    ).decode()
    answer, _ = broker.open(lease, **again)
    assert answer["error"] == "the lease is not a new one; each opening needs an entry of its own"


def test_a_rewritten_history_opens_nothing(broker: Broker) -> None:
    lease = lease_of(broker.lend(), uses=2)
    broker.opened(lease)
    broker.hear()
    broker.history.entries[1] = b"another past"
    try:
        assert "rewritten" in broker.refusal(lease_of(broker.lend(), uses=2))
    finally:
        broker.close()


# -- what must not end it


def test_closing_a_lease_whose_keyholder_just_ended_does_not_end_the_broker() -> None:
    with running_broker() as broker:
        lease = lease_of(broker.lend(), uses=1)
        channel = broker.opened(lease)
        os.kill(broker.process.pid, signal.SIGSTOP)
        assert channel.ask(make_tbs())[0]
        assert channel.ends()
        broker.send({"do": "close", "lease": lease["id"]})
        os.kill(broker.process.pid, signal.SIGCONT)
        assert broker.hear()[0]["gone"] == lease["id"]
        assert broker.opened(lease_of(broker.lend())).ask(make_tbs())[0]


def test_a_spare_that_died_waiting_is_replaced() -> None:
    with running_broker() as broker:
        lease = lease_of(broker.lend())
        proof = broker.prove(lease)
        spares = [child for child in tree(broker.process.pid) if child != broker.process.pid]
        os.kill(broker.process.pid, signal.SIGSTOP)  # so that it has not noticed when it is asked
        for spare in spares:
            os.kill(spare, signal.SIGKILL)
        wait_until(lambda: not any(map(alive, spares)))
        broker.send({"do": "open", "call": 1000, "lease": lease} | proof)
        os.kill(broker.process.pid, signal.SIGCONT)
        answer, channels = broker.hear()
        assert answer.get("opened") == lease["id"], answer
        assert channels[0].ask(make_tbs())[0]


def test_asking_for_its_state_all_the_time_does_not_end_the_broker() -> None:
    with running_broker() as broker:
        for _ in range(20):
            broker.opened(lease_of(broker.lend(), uses=1)).ask(make_tbs())
            for _ in range(5):
                broker.report()


def test_a_keyholder_has_no_way_to_command_the_broker() -> None:
    with running_broker() as broker:
        lease = lease_of(broker.lend())
        channel = broker.opened(lease)
        [pid] = [each["pid"] for each in broker.report()["leases"]]
        held = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
        assert f"socket:[{broker.their_inode}]" not in held
        assert channel.ask(make_tbs())[0]
