"""Vectors of terms with the shares sealed under them, and of announced recipients."""

import json
from dataclasses import replace
from datetime import timedelta

from custodian.encoding import canonical_json, encode_base64, format_instant
from custodian.identity import ORDER_8, SIGN, announce
from custodian.terms import Constraints, Terms
from vectors.common import (
    KEY_ID,
    NOW,
    OTHER_ID,
    SMALL_ORDER,
    Vectors,
    identity,
    identity_key,
    private_key,
    random_from,
    swap,
    vector,
)


def terms_vectors() -> Vectors:
    plain = Terms(
        key="ca",
        key_id=KEY_ID,
        owner="alice",
        signer="ca-1",
        recipients=(private_key("recipient").public,),
        uses=5,
        start=NOW,
        end=NOW + timedelta(minutes=15),
        constraints=Constraints(),
        request="",
        nonce=random_from("nonce")(16).hex(),
    )
    limited = replace(
        plain,
        recipients=(private_key("recipient").public, private_key("second instance").public),
        constraints=Constraints(("server",), ("www.example.com", "*.example.org"), 7_776_000, ca=True),
        request="r-7 renew the front ends",
    )
    share = random_from("share")(48)
    vectors: Vectors = {}
    for subject, terms in [("plain", plain), ("limited", limited)]:
        body = bytes(terms)
        sealed = private_key("recipient").public.seal(share, terms.share_info)
        header = [
            ("recipient-key", f"x25519:{private_key('recipient').raw.hex()}"),
            ("sealed", encode_base64(sealed)),
        ]
        facts = [("digest", terms.digest.hex()), ("id", terms.id), ("share", share.hex())]
        vectors[subject] = vector("success", [*header, *facts], body)
        for defect, changed in altered_terms(body).items():
            vectors[f"{subject}_{defect}"] = vector("cannot-open", header, changed)
        for defect, changed in malformed_terms(body).items():
            vectors[f"{subject}_{defect}"] = vector("malformed", header, changed)
    return vectors


def altered_terms(body: bytes) -> Vectors:
    value = json.loads(body)
    constraints = value["constraints"]
    other = str(private_key("another recipient").public)
    changes: dict[str, dict[str, object]] = {
        "another-use": {"uses": 6},
        "another-minute": {"end": "2026-11-23T12:16:00Z"},
        "earlier": {"start": "2026-11-23T11:59:59Z"},
        "other-key": {"key_id": OTHER_ID},
        "other-key-name": {"key": "root"},
        "other-owner": {"owner": "bob"},
        "other-signer": {"signer": "ca-2"},
        "other-recipient": {"recipients": [other]},
        "recipient-added": {"recipients": [*value["recipients"], other]},
        "other-request": {"request": "r-8"},
        "other-nonce": {"nonce": "0" * 32},
        "name-added": {"constraints": constraints | {"names": [*constraints["names"], "evil.example"]}},
        "profile-added": {"constraints": constraints | {"profiles": [*constraints["profiles"], "ca"]}},
        "longer-validity": {"constraints": constraints | {"max_validity": 2**31}},
        "ca-toggled": {"constraints": constraints | {"ca": 1 - constraints["ca"]}},
    }
    return {defect: canonical_json(value | change) for defect, change in changes.items()}


def malformed_terms(body: bytes) -> Vectors:
    value = json.loads(body)
    constraints = value["constraints"]
    changes: dict[str, dict[str, object]] = {
        "version-2": {"type": "custodian/terms/v2"},
        "unknown-field": {"note": "x"},
        "no-uses": {"uses": 0},
        "negative-uses": {"uses": -1},
        "too-many-uses": {"uses": 1_000_001},
        "uses-true": {"uses": True},
        "uses-text": {"uses": "5"},
        "end-at-start": {"end": value["start"]},
        "32-days": {"end": "2026-12-25T12:00:00Z"},
        "time-without-zone": {"end": "2026-11-23T12:15:00"},
        "no-recipient": {"recipients": []},
        "17-recipients": {"recipients": value["recipients"][:1] * 17},
        "small-order-recipient": {"recipients": [SMALL_ORDER]},
        "key-id-upper-case": {"key_id": KEY_ID.upper()},
        "name-with-newline": {"owner": "alice\n"},
        "control-character": {"request": "\u001b[2J"},
        "not-ascii": {"request": "caf\u00e9"},
        "ca-true": {"constraints": constraints | {"ca": True}},
        "ca-2": {"constraints": constraints | {"ca": 2}},
        "unknown-constraint": {"constraints": constraints | {"also": 1}},
        "empty-name": {"constraints": constraints | {"names": [""]}},
        "short-nonce": {"nonce": "00"},
    }
    return {defect: canonical_json(value | change) for defect, change in changes.items()} | {
        "newline-at-end": body + b"\n",
        "blank": swap(body, '"uses":', '"uses": '),
        "keys-unsorted": b'{"type":"custodian/terms/v1",'
        + swap(body, ',"type":"custodian/terms/v1"', "")[1:],
        "key-twice": swap(body, '"uses":5', '"uses":5,"uses":5'),
        "float": swap(body, '"uses":5', '"uses":5.0'),
        "escape-not-needed": swap(body, '"owner":"alice"', '"owner":"\\u0061lice"'),
        "no-json": body[:-1],
        "byte-order-mark": b"\xef\xbb\xbf" + body,
    }


def recipient_vectors() -> Vectors:
    recipient = private_key("recipient").public
    signature = announce(identity_key("ca-1"), "ca-1", recipient, NOW)
    usual = {
        "identity": str(identity("ca-1")),
        "signer": "ca-1",
        "recipient": str(recipient),
        "announced": format_instant(NOW),
        "signature": encode_base64(signature),
    }
    flipped = encode_base64(bytes([signature[0] ^ 1]) + signature[1:])
    swapped: dict[str, tuple[str, dict[str, str]]] = {
        "announcement": ("success", {}),
        "announcement_other-signer": ("forbidden", {"signer": "ca-2"}),
        "announcement_other-recipient": ("forbidden", {"recipient": str(private_key("eve").public)}),
        "announcement_other-second": ("forbidden", {"announced": "2026-11-23T12:00:01Z"}),
        "announcement_fraction-of-second": ("malformed", {"announced": "2026-11-23T12:00:00.0Z"}),
        "announcement_other-identity": ("forbidden", {"identity": str(identity("eve"))}),
        "announcement_flipped-signature": ("forbidden", {"signature": flipped}),
        "announcement_short-signature": ("forbidden", {"signature": encode_base64(signature[:63])}),
        "announcement_other-prefix": (
            "malformed",
            {"identity": usual["identity"].replace("ed25519", "x25519")},
        ),
        "announcement_small-order-identity": (
            "malformed",
            {"identity": f"ed25519:{encode_base64(bytes([1]) + bytes(31))}"},
        ),
        "announcement_identity-of-order-8": (
            "malformed",
            {"identity": f"ed25519:{encode_base64((SIGN + ORDER_8).to_bytes(32, 'little'))}"},
        ),
        "announcement_small-order-recipient": ("malformed", {"recipient": SMALL_ORDER}),
    }
    return {name: vector(expect, [*(usual | change).items()]) for name, (expect, change) in swapped.items()}
