"""A CA key is made, certified and sealed in one process that ends; only ciphertext leaves it."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import combinations
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from custodian.envelope import open_payload, parse_envelope
from custodian.errors import CannotOpen, QuorumMissing, Unavailable
from custodian.identity import Identity
from custodian.policy import parse_policy
from custodian.sealing import PrivateKey
from custodian.shares import join
from signer import ceremony
from signer.ceremony import GENERATE, Made, Plan, make_here, make_key

OWNERS = {name: PrivateKey("x25519", os.urandom(32)) for name in ("alice", "bob", "carol")}
NOW = datetime.now(UTC).replace(microsecond=0)
PLAN = Plan(
    name="ca",
    algorithm="ecdsa-p256",
    common_name="Test CA",
    organization="Acme",
    not_before=NOW - timedelta(minutes=5),
    not_after=NOW + timedelta(days=365),
    path_length=1,
    policy=parse_policy("2 of (alice, bob, carol)"),
    owners={name: key.public for name, key in OWNERS.items()},
    signers={"ca-1": Identity(bytes(range(32)))},
)


def open_with(made: Made, *owners: str) -> Any:
    """Open the key as its owners could together."""
    envelope = parse_envelope(made.envelope)
    facts = envelope.facts
    shares = {
        name: OWNERS[name].open(envelope.holdings[name].sealed, facts.share_info(name)) for name in owners
    }
    secret = open_payload(envelope, join(facts.policy, facts.id, envelope.commitments, shares))
    return load_der_private_key(secret, None)


@pytest.fixture(scope="module")
def made() -> Made:
    return make_key(PLAN)


def test_any_quorum_opens_the_key_that_was_certified_and_no_fewer(made: Made) -> None:
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    for pair in combinations(OWNERS, 2):
        assert open_with(made, *pair).public_key() == certificate.public_key()
    for name in OWNERS:
        with pytest.raises(QuorumMissing):
            open_with(made, name)


def test_the_envelope_states_what_is_public_about_the_key(made: Made) -> None:
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    facts = parse_envelope(made.envelope).facts
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert facts.public == sha256(spki).digest()
    assert facts.subject == certificate.subject.public_bytes()
    assert (facts.name, facts.algorithm, facts.created) == ("ca", "ecdsa-p256", NOW)
    assert (facts.policy, dict(facts.signers)) == (PLAN.policy, dict(PLAN.signers))


def test_the_rules_of_the_plan_are_sealed_with_the_key() -> None:
    made = make_here(replace(PLAN, veto=("carol",), no_self_approval=True))
    facts = parse_envelope(made.envelope).facts
    assert (facts.veto, facts.no_self_approval) == (("carol",), True)
    assert open_with(made, "alice", "bob")


def test_the_certificate_is_a_cas(made: Made) -> None:
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    certificate.verify_directly_issued_by(certificate)
    assert certificate.subject.rfc4514_string() == "CN=Test CA,O=Acme"
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(ca=True, path_length=1))
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature
    assert certificate.not_valid_before_utc == PLAN.not_before
    assert 0 < certificate.serial_number < 2**159


@pytest.mark.parametrize("algorithm", [each for each in GENERATE if each not in ("rsa-3072", "rsa-4096")])
def test_every_kind_of_key_is_certified_and_sealed(algorithm: str) -> None:
    made = make_here(replace(PLAN, algorithm=algorithm))
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    certificate.verify_directly_issued_by(certificate)
    assert open_with(made, "alice", "carol").public_key() == certificate.public_key()


def test_two_ceremonies_make_two_keys(made: Made) -> None:
    again = make_here(PLAN)
    assert parse_envelope(again.envelope).facts.id != parse_envelope(made.envelope).facts.id
    assert again.certificate != made.certificate


def test_a_process_that_fails_tells_nothing_but_that() -> None:
    """A traceback could show the key, so there is none."""
    with pytest.raises(Unavailable, match="ended without an answer"):
        make_key(replace(PLAN, algorithm="no such algorithm"))


def test_the_key_is_made_in_another_process_that_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    made_in: list[int] = []
    children: list[int] = []
    fork, here = os.fork, ceremony.make_here

    def remember_fork() -> int:
        children.append(fork())
        return children[-1]

    def remember_here(plan: Plan) -> Made:
        made_in.append(os.getpid())
        return here(plan)

    monkeypatch.setattr(os, "fork", remember_fork)
    monkeypatch.setattr(ceremony, "make_here", remember_here)
    assert make_key(PLAN).envelope
    assert made_in == [], "not in this process"
    [child] = children
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.fixture(scope="module")
def other() -> Made:
    return make_here(PLAN)


def test_a_share_of_another_ceremony_does_not_open_and_is_named(made: Made, other: Made) -> None:
    mine, theirs = parse_envelope(made.envelope), parse_envelope(other.envelope)
    shares = {
        "alice": OWNERS["alice"].open(mine.holdings["alice"].sealed, mine.facts.share_info("alice")),
        "bob": OWNERS["bob"].open(theirs.holdings["bob"].sealed, theirs.facts.share_info("bob")),
    }
    with pytest.raises(CannotOpen) as refused:
        join(mine.facts.policy, mine.facts.id, mine.commitments, shares)
    assert refused.value.owners == ("bob",)
