"""Vectors of requests, with the id and the check words of each."""

import json
from dataclasses import replace
from datetime import timedelta

from custodian.encoding import canonical_json
from custodian.petition import Petition
from custodian.terms import Constraints
from vectors.common import KEY_ID, NOW, Vectors, random_from, swap, vector


def request_vectors() -> Vectors:
    plain = Petition(
        key="ca",
        key_id=KEY_ID,
        signer="ca-1",
        role="owner",
        asker="alice",
        on_behalf="",
        uses=5,
        seconds=3600,
        constraints=Constraints(),
        reason="renew the front ends",
        made=NOW,
        expires=NOW + timedelta(days=1),
        nonce=random_from("request")(16).hex(),
    )
    limited = replace(
        plain,
        role="signer",
        asker="ca-1",
        on_behalf="eve",
        constraints=Constraints(("server",), ("www.example.com", "*.example.org"), 7_776_000, ca=True),
    )
    vectors: Vectors = {}
    for subject, petition in [("plain", plain), ("limited", limited)]:
        body = bytes(petition)
        header = [("id", petition.id), ("words", " ".join(petition.words))]
        vectors[subject] = vector("success", header, body)
        for defect, changed in malformed_requests(body).items():
            vectors[f"{subject}_{defect}"] = vector("malformed", [], changed)
    return vectors


def malformed_requests(body: bytes) -> Vectors:
    value = json.loads(body)
    changes: dict[str, dict[str, object]] = {
        "version-2": {"type": "custodian/request/v2"},
        "unknown-field": {"note": "x"},
        "no-uses": {"uses": 0},
        "too-many-uses": {"uses": 1_000_001},
        "uses-true": {"uses": True},
        "no-time": {"seconds": 0},
        "32-days": {"seconds": 31 * 86_400 + 1},
        "expires-when-made": {"expires": value["made"]},
        "waits-32-days": {"expires": "2026-12-25T12:00:00Z"},
        "auditor": {"asker": {"role": "auditor", "name": "alice"}},
        "asker-without-name": {"asker": {"role": "owner", "name": ""}},
        "asker-with-more": {"asker": value["asker"] | {"also": ""}},
        "no-reason": {"reason": ""},
        "control-character": {"reason": "\u001b[2J"},
        "not-ascii": {"on_behalf": "caf\u00e9"},
        "long-reason": {"reason": "x" * 256},
        "ca-true": {"constraints": value["constraints"] | {"ca": True}},
        "short-nonce": {"nonce": "00"},
    }
    return {defect: canonical_json(value | change) for defect, change in changes.items()} | {
        "newline-at-end": body + b"\n",
        "blank": swap(body, '"uses":', '"uses": '),
        "key-twice": swap(body, '"uses":5', '"uses":5,"uses":5'),
        "no-json": body[:-1],
    }
