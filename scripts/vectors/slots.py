"""Vectors of owners' slots."""

import hashlib
import json

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from custodian.encoding import canonical_json, encode_base64
from custodian.sealing import PublicKey
from custodian.slots import Kdf, derive, kdf_parameters, login_verifier, make_slot
from vectors.common import (
    SMALL_ORDER,
    Header,
    Vectors,
    private_key,
    random_from,
    seal_with_fixed_randomness,
    swap,
    vector,
)

PASSWORD = "correct horse battery"  # noqa: S105 - of an example
PARAMETERS: dict[str, dict[str, str | int]] = {
    "passkey": {"credential": encode_base64(b"credential id"), "salt": encode_base64(bytes(range(32)))},
    "device": {"label": "alice's laptop"},
}
OTHER_PARAMETERS: dict[str, dict[str, str | int]] = {
    "password": {"passes": 2},
    "passkey": {"credential": encode_base64(b"another credential")},
    "device": {"label": "another laptop"},
}
OTHER_KIND: dict[str, dict[str, object]] = {
    kind: {"kind": other, "parameters": PARAMETERS[other]}
    for kind, other in {"password": "device", "passkey": "device", "device": "passkey"}.items()
}


def slot_vectors() -> Vectors:
    owner = private_key("alice")
    kdf = Kdf(random_from("salt")(16), memory_kib=8_192, passes=1, lanes=1)
    derived = derive(PASSWORD, kdf)
    unlock = {"password": derived.unlock, "passkey": private_key("passkey"), "device": private_key("device")}
    parameters = {"password": kdf_parameters(kdf), **PARAMETERS}
    vectors: Vectors = {}
    for kind, key in unlock.items():
        body = bytes(make_slot(owner, ("alice", f"{kind}-1", kind), key.public, **parameters[kind]))
        header: Header = [("unlock", f"x25519:{key.raw.hex()}")]
        if kind == "password":
            header += [("password", PASSWORD), ("root", root_of(kdf).hex())]
            header += [("verifier", login_verifier(derived).hex())]
        vectors[kind] = vector("success", [*header, ("owner-key", f"x25519:{owner.raw.hex()}")], body)
        for defect, changed in moved_slots(body, key.public, kind).items():
            vectors[f"{kind}_{defect}"] = vector("cannot-open", header[:1], changed)
        for defect, changed in malformed_slots(body, kind).items():
            vectors[f"{kind}_{defect}"] = vector("malformed", header[:1], changed)
    return vectors


def root_of(kdf: Kdf) -> bytes:
    return Argon2id(
        salt=kdf.salt, length=32, iterations=kdf.passes, lanes=kdf.lanes, memory_cost=kdf.memory_kib
    ).derive(PASSWORD.encode())


def moved_slots(body: bytes, public: PublicKey, kind: str) -> Vectors:
    value = json.loads(body)
    said = canonical_json({field: value[field] for field in value if field != "sealed"})
    info = b"custodian/slot/v1\x00" + hashlib.sha256(said).digest()
    planted = seal_with_fixed_randomness(public, private_key("mallory").raw, info)
    return {
        "other-owner": canonical_json(value | {"owner": "bob"}),
        "other-id": canonical_json(value | {"id": f"{kind}-2"}),
        "other-owner-key": canonical_json(value | {"owner_public": str(private_key("bob").public)}),
        "other-public": canonical_json(value | {"public": str(private_key("mallory").public)}),
        "other-parameters": canonical_json(
            value | {"parameters": value["parameters"] | OTHER_PARAMETERS[kind]}
        ),
        "other-kind": canonical_json(value | OTHER_KIND[kind]),
        "planted-key": canonical_json(value | {"sealed": encode_base64(planted)}),
        "nothing-sealed": canonical_json(value | {"sealed": ""}),
    }


def malformed_slots(body: bytes, kind: str) -> Vectors:
    value = json.loads(body)
    parameters = value["parameters"]
    changes: dict[str, dict[str, object]] = {
        "version-2": {"type": "custodian/slot/v2"},
        "unknown-field": {"note": "x"},
        "unknown-kind": {"kind": "retina"},
        "unknown-parameter": {"parameters": parameters | {"also": 1}},
        "upper-case-owner": {"owner": "Alice"},
        "small-order-public": {"public": SMALL_ORDER},
    }
    if kind == "password":
        changes |= {
            "too-little-memory": {"parameters": parameters | {"memory_kib": 8_191}},
            "too-much-memory": {"parameters": parameters | {"memory_kib": 1_048_577}},
            "no-pass": {"parameters": parameters | {"passes": 0}},
            "lanes-true": {"parameters": parameters | {"lanes": True}},
            "short-salt": {"parameters": parameters | {"salt": "AAAA"}},
        }
    return {defect: canonical_json(value | change) for defect, change in changes.items()} | {
        "newline-at-end": body + b"\n",
        "blank": swap(body, '"type":', '"type": '),
    }
