"""Vectors of envelopes."""

import hashlib
from dataclasses import replace

from Crypto.Protocol import SecretSharing

from custodian.encoding import encode_base64
from custodian.envelope import Envelope, KeyFacts, seal
from custodian.policy import parse_policy
from vectors.common import (
    KEY_ID,
    NOW,
    OTHER_ID,
    SECRET,
    SMALL_ORDER,
    Vectors,
    identity,
    private_key,
    random_from,
    seal_with_fixed_randomness,
    swap,
    vector,
)


def sealed_key(policy: str, label: str, **changes: object) -> Envelope:
    facts = KeyFacts(
        name="ca",
        id=KEY_ID,
        created=NOW,
        algorithm="ecdsa-p256",
        public=hashlib.sha256(b"a SubjectPublicKeyInfo").digest(),
        subject=bytes.fromhex("300d310b300906035504030c024341"),
        policy=parse_policy(policy),
        signers={"ca-1": identity("ca-1")},
    )
    facts = replace(facts, **changes)  # type: ignore[arg-type]
    owners = {owner: private_key(owner).public for owner in facts.policy.owners()}
    SecretSharing.rng = random_from(f"polynomials {label}")
    return seal(facts, owners, SECRET, random_from(f"envelope {label}"))


def envelope_vectors() -> Vectors:
    vectors: Vectors = {}
    for subject, policy, openers in [
        ("threshold", "2 of (alice, bob, carol)", ("alice", "bob")),
        ("nested", "2 of (alice, bob, 1 of (carol, dave))", ("bob", "carol")),
        ("all", "3 of (alice, bob, carol)", ("alice", "bob", "carol")),
    ]:
        envelope = sealed_key(policy, subject)
        body = bytes(envelope)
        keys = [("owner-key", f"{owner} x25519:{private_key(owner).raw.hex()}") for owner in openers]
        vectors[subject] = vector("success", [*keys, ("secret", SECRET.hex())], body)
        vectors[f"{subject}_one-owner"] = vector("quorum-missing", keys[:1], body)
        for defect, changed in cannot_open(envelope, body).items():
            vectors[f"{subject}_{defect}"] = vector("cannot-open", keys, changed)
        for defect, changed in other_facts(envelope, body).items():
            all_wrong = [*keys, ("wrong", " ".join(openers))]
            vectors[f"{subject}_{defect}"] = vector("cannot-open", all_wrong, changed)
        for defect, (changed, wrong) in wrong_shares(envelope, body, openers).items():
            vectors[f"{subject}_{defect}"] = vector("cannot-open", [*keys, ("wrong", wrong)], changed)
        if subject == "threshold":
            for defect, changed in malformed_envelopes(envelope, body).items():
                vectors[f"{subject}_{defect}"] = vector("malformed", keys, changed)
    return vectors


def cannot_open(envelope: Envelope, body: bytes) -> Vectors:
    other_payload = sealed_key(str(envelope.facts.policy), "other")
    flipped_nonce = bytes([envelope.payload[0] ^ 1]) + envelope.payload[1:]
    flipped_tag = envelope.payload[:-1] + bytes([envelope.payload[-1] ^ 1])

    def with_payload(data: bytes) -> bytes:
        return bytes(replace(envelope, payload=data))

    return {
        "other-owner-key": swap(body, str(private_key("alice").public), str(private_key("mallory").public)),
        "other-payload": with_payload(other_payload.payload),
        "flipped-nonce": with_payload(flipped_nonce),
        "flipped-tag": with_payload(flipped_tag),
        "short-payload": with_payload(envelope.payload[:-1]),
    }


def other_facts(envelope: Envelope, body: bytes) -> Vectors:
    """What is public about the key, changed: no owner's share opens."""
    facts = envelope.facts
    needed = facts.policy.needed
    signer, eve = f"signer: ca-1 {identity('ca-1')}\n", f"signer: eve {identity('eve')}\n"
    return {
        "other-id": swap(body, KEY_ID, OTHER_ID),
        "other-name": swap(body, "\nname: ca\n", "\nname: cb\n"),
        "other-created": swap(body, "12:00:00Z", "12:00:01Z"),
        "other-algorithm": swap(body, "ecdsa-p256", "ecdsa-p384"),
        "other-public": swap(body, facts.public.hex(), hashlib.sha256(b"another").hexdigest()),
        "other-subject": swap(body, encode_base64(facts.subject), encode_base64(facts.subject[:-1] + b"B")),
        "other-policy": swap(body, f"policy: {needed} of", f"policy: {5 - needed} of"),
        "other-signer-identity": swap(body, str(identity("ca-1")), str(identity("eve"))),
        "other-signer-name": swap(body, "signer: ca-1 ", "signer: ca-2 "),
        "signer-added": swap(body, signer, signer + eve),
        "signer-added-before": swap(body, signer, eve + signer),
        "signer-dropped": swap(body, signer, ""),
        "veto-added": swap(body, signer, "veto: alice\n" + signer),
        "rule-added": swap(body, signer, "rule: no-self-approval\n" + signer),
    }


def wrong_shares(envelope: Envelope, body: bytes, openers: tuple[str, ...]) -> dict[str, tuple[bytes, str]]:
    first = openers[0]
    held = envelope.holdings[first]
    sealed, commitment = encode_base64(held.sealed), encode_base64(held.commitment)
    other = sealed_key(str(envelope.facts.policy), "another key", id=OTHER_ID).holdings[first]
    planted = seal_with_fixed_randomness(held.public, bytes(48), envelope.facts.share_info(first))
    flipped = bytes([held.commitment[0] ^ 1]) + held.commitment[1:]
    return {
        "share-of-another-key": (swap(body, sealed, encode_base64(other.sealed)), first),
        "planted-share": (swap(body, sealed, encode_base64(planted)), first),
        "flipped-share": (
            swap(body, sealed, encode_base64(held.sealed[:-1] + bytes([held.sealed[-1] ^ 1]))),
            first,
        ),
        "share-missing": (swap(body, f" {sealed}\n", f" {encode_base64(b'')}\n"), first),
        "flipped-commitment": (swap(body, commitment, encode_base64(flipped)), first),
    }


def malformed_envelopes(envelope: Envelope, body: bytes) -> Vectors:
    head, _, tail = body.partition(b"\n\n")
    rows = [line for line in body.splitlines(keepends=True) if line.startswith(b"owner: ")]
    signer = f"signer: ca-1 {identity('ca-1')}\n"
    bob = envelope.holdings["bob"]
    tail_text = tail.decode()
    return {
        "empty": b"",
        "version-2": swap(body, "envelope/v1", "envelope/v2"),
        "crlf": body.replace(b"\n", b"\r\n"),
        "no-newline-at-end": body[:-1],
        "newline-too-many": body + b"\n",
        "text-after-end": body + b"x\n",
        "no-payload": head + b"\n\n",
        "payload-of-28-bytes": head + b"\n\n" + encode_base64(bytes(28)).encode() + b"\n",
        "payload-lines-of-60": head
        + b"\n\n"
        + "".join(f"{line}\n" for line in wrap(tail_text.replace("\n", ""), 60)).encode(),
        "payload-loose-bits": head + b"\n\n" + loose_bits(tail_text).encode(),
        "no-blank-line": swap(body, "\n\n", "\n"),
        "unknown-line": swap(body, "\n\n", "\nnote: x\n\n"),
        "fields-reordered": swap(body, f"name: ca\nid: {KEY_ID}\n", f"id: {KEY_ID}\nname: ca\n"),
        "two-blanks": swap(body, "\nname: ca\n", "\nname:  ca\n"),
        "blank-at-end": swap(body, "\nname: ca\n", "\nname: ca \n"),
        "upper-case-name": swap(body, "\nname: ca\n", "\nname: CA\n"),
        "upper-case-id": swap(body, KEY_ID, KEY_ID.upper()),
        "short-id": swap(body, KEY_ID, KEY_ID[2:]),
        "time-with-offset": swap(body, "12:00:00Z", "12:00:00+00:00"),
        "unknown-algorithm": swap(body, "ecdsa-p256", "dsa-1024"),
        "short-public": swap(body, envelope.facts.public.hex(), envelope.facts.public.hex()[2:]),
        "subject-not-base64": swap(body, encode_base64(envelope.facts.subject), "CN=CA"),
        "policy-not-canonical": swap(body, "2 of (alice, bob, carol)", "2 of (alice,bob,carol)"),
        "policy-of-one": swap(body, "2 of (alice, bob, carol)", "1 of (alice, bob, carol)"),
        "policy-without-carol": swap(body, "2 of (alice, bob, carol)", "2 of (alice, bob)"),
        "owners-reordered": swap(body, rows[0] + rows[1], rows[1] + rows[0]),
        "owner-missing": swap(body, rows[2], b""),
        "owner-twice": swap(body, rows[2], rows[2] + rows[2]),
        "owner-without-share": swap(body, " " + encode_base64(bob.sealed), ""),
        "signer-twice": swap(body, signer, signer + signer),
        "identity-of-31-bytes": swap(body, str(identity("ca-1")), f"ed25519:{encode_base64(bytes(31))}"),
        "owner-key-of-small-order": swap(body, str(bob.public), SMALL_ORDER),
        "owner-key-of-another-suite": swap(body, str(bob.public), str(bob.public).replace("x25519", "p256")),
        "commitment-of-31-bytes": swap(
            body, encode_base64(bob.commitment), encode_base64(bob.commitment[:31])
        ),
        "not-ascii": swap(body, "\nname: ca\n", "\nname: c\u00e4\n"),
    }


def wrap(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), width)]


def loose_bits(text: str) -> str:
    """Change the last base64 digit so that the bytes stay and the spelling does not."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = text.rstrip("=\n")
    if len(text) == len(body) + 1:
        raise ValueError("there are no loose bits to change")
    return body[:-1] + digits[digits.index(body[-1]) + 1] + text[len(body) :]
