"""What an opener does with one job, here without its process: tests/test_openers.py has the processes."""

import json
import socket
from typing import Any

import pytest
from examples import KEY_ID, OTHER_ID, identity, private_key, remade, sealed_key, terms

from custodian.encoding import decode_base64, encode_base64
from custodian.envelope import Envelope, parse_envelope
from custodian.errors import CannotOpen
from custodian.opener import lend, serve_one
from custodian.slots import Kdf, derive, kdf_parameters, make_slot

PASSWORD = "correct horse battery"
KDF = Kdf(bytes(range(16)), memory_kib=8_192, passes=1, lanes=1)
EVE = f"\nsigner: eve {identity('eve')}\nowner: alice"


def job(envelope: bytes) -> dict[str, Any]:
    unlock = derive(PASSWORD, KDF).unlock.public
    slot = make_slot(private_key("alice"), ("alice", "password", "password"), unlock, **kdf_parameters(KDF))
    parts = {"slot": bytes(slot), "envelope": envelope, "terms": bytes(terms())}
    return {"work": "lend", "password": PASSWORD} | {
        name: encode_base64(part) for name, part in parts.items()
    }


def answer_to(asked: dict[str, Any]) -> dict[str, Any]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(json.dumps(asked).encode())
        ours.shutdown(socket.SHUT_WR)
        serve_one(theirs)
        answer: dict[str, Any] = json.loads(ours.recv(65_536))
    return answer


def test_a_share_is_lent_as_it_was_dealt():
    recipient, envelope = private_key("recipient"), sealed_key()
    sealed = lend(job(bytes(envelope)))["sealed"][str(recipient.public)]
    share = recipient.open(decode_base64(sealed, "sealed"), terms().share_info)
    dealt = envelope.holdings["alice"].sealed
    assert share == private_key("alice").open(dealt, envelope.facts.share_info("alice"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (str(identity()), str(identity("eve"))),
        ("\nowner: alice", EVE),
        (f"signer: ca-1 {identity()}\n", ""),
        ("2 of (alice, bob, carol)", "3 of (alice, bob, carol)"),
        ("name: ca\n", "name: cb\n"),
        (KEY_ID, OTHER_ID),
    ],
    ids=["another identity", "a signer added", "a signer dropped", "policy", "name", "id"],
)
def test_nothing_is_lent_from_an_envelope_that_was_changed(old, new):
    altered = remade(sealed_key(), (old, new))
    with pytest.raises(CannotOpen, match="not as it was sealed") as refusal:
        lend(job(altered))
    assert refusal.value.owners == ("alice",)
    answer = answer_to(job(altered))
    assert set(answer) == {"cannot_open", "owners"}
    assert answer["owners"] == ["alice"]


def test_nothing_is_lent_that_was_sealed_anew_to_fit_a_changed_envelope():
    altered = parse_envelope(remade(sealed_key(), (str(identity()), str(identity("eve")))))
    with pytest.raises(CannotOpen, match="not the one that was dealt") as refusal:
        lend(job(with_share(altered, bytes(48))))
    assert refusal.value.owners == ("alice",)


def with_share(envelope: Envelope, share: bytes) -> bytes:
    alice = envelope.holdings["alice"]
    sealed = alice.public.seal(share, envelope.facts.share_info("alice"))
    return remade(envelope, (encode_base64(alice.sealed), encode_base64(sealed)))
