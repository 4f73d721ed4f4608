"""Vectors of device keys, and of grants with the evidence in them: by a device key, by an SSH key."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custodian.devicekey import DeviceKey, format_device_key
from custodian.encoding import canonical_json, encode_base64
from custodian.events import Evidence
from custodian.evidence import NAMESPACE
from custodian.terms import Constraints, Terms
from vectors.common import KEY_ID, NOW, Header, Vectors, private_key, random_from, swap, vector

SSH = Ed25519PrivateKey.from_private_bytes(random_from("an SSH key")(32))


def device_key(name: str = "device") -> DeviceKey:
    return DeviceKey("alice", random_from(name)(32), "laptop")


def device_key_vectors() -> Vectors:
    labelled = device_key()
    vectors: Vectors = {}
    for subject, key in [("labelled", labelled), ("plain", DeviceKey("alice", labelled.seed))]:
        body = format_device_key(key).encode()
        header = [("unlock", f"x25519:{key.unlock.raw.hex()}"), ("credential", key.public)]
        vectors[subject] = vector("success", header, body)
        for defect, changed in malformed_device_keys(body, key).items():
            vectors[f"{subject}_{defect}"] = vector("malformed", [], changed)
    return vectors


def malformed_device_keys(body: bytes, key: DeviceKey) -> Vectors:
    seed = encode_base64(key.seed)
    loose = seed[:-2] + chr(ord(seed[-2]) + 1) + "="
    return {
        "version-2": swap(body, "device-key/v1", "device-key/v2"),
        "no-newline-at-end": body[:-1],
        "another-line": body + b"note: x\n",
        "carriage-returns": body.replace(b"\n", b"\r\n"),
        "blank-line": body + b"\n",
        "owner-in-upper-case": swap(body, "owner: alice", "owner: Alice"),
        "seed-of-31-bytes": swap(body, seed, encode_base64(key.seed[:31])),
        "seed-with-loose-bits": swap(body, seed, loose),
        "seed-in-hexadecimal": swap(body, seed, key.seed.hex()),
        "no-seed": swap(body, f"seed: {seed}\n", ""),
    }


def grant_vectors() -> Vectors:
    return granted("device", _by_device, f"device device-laptop {device_key().public}") | granted(
        "ssh", _by_ssh, f"ssh ssh-1 {_ssh_line(SSH)}"
    )


def granted(subject: str, agree: Callable[[bytes], Evidence], credential: str) -> Vectors:
    terms = Terms(
        key="ca",
        key_id=KEY_ID,
        owner="alice",
        signer="ca-1",
        recipients=(private_key("recipient").public,),
        uses=5,
        start=NOW,
        end=NOW + timedelta(minutes=15),
        constraints=Constraints(),
        request="r-0123456789ab",
        nonce=random_from("grant")(16).hex(),
    )
    share, recipient = random_from("share")(48), private_key("recipient")
    value = {
        "type": "custodian/grant/v1",
        "terms": encode_base64(bytes(terms)),
        "sealed": {str(recipient.public): encode_base64(recipient.public.seal(share, terms.share_info))},
        "evidence": agree(bytes(terms)).model_dump(),
    }
    header = [("credential", credential), ("recipient-key", f"x25519:{recipient.raw.hex()}")]
    facts = [("share", share.hex()), ("id", terms.id)]
    vectors = {subject: vector("success", [*header, *facts], canonical_json(value))}
    for defect, (expect, change) in defects(value, bytes(terms), agree).items():
        vectors[f"{subject}_{defect}"] = vector(expect, header, canonical_json(value | change))
    return vectors | swapped_credentials(subject, header, canonical_json(value))


def defects(
    value: dict[str, object], terms: bytes, agree: Callable[[bytes], Evidence]
) -> dict[str, tuple[str, dict[str, object]]]:
    evidence = json.loads(canonical_json(value["evidence"]))
    [(recipient, sealed)] = json.loads(canonical_json(value["sealed"])).items()
    more = swap(terms, '"uses":5', '"uses":6')
    flipped = bytearray(base64.b64decode(sealed))
    flipped[-1] ^= 1
    return {
        "another-use": ("forbidden", {"terms": encode_base64(more)}),
        "evidence-of-other-terms": ("forbidden", {"evidence": agree(more).model_dump()}),
        "terms-and-evidence-changed": (
            "cannot-open",
            {"terms": encode_base64(more), "evidence": agree(more).model_dump()},
        ),
        "share-changed": ("cannot-open", {"sealed": {recipient: encode_base64(bytes(flipped))}}),
        "another-credential": ("forbidden", {"evidence": evidence | {"credential": "another"}}),
        "no-signature": (
            "malformed" if evidence["kind"] == "ssh" else "forbidden",
            {"evidence": evidence | {"signature": ""}},
        ),
        "signature-not-base64": ("malformed", {"evidence": evidence | {"signature": "%"}}),
        "terms-not-canonical": ("malformed", {"terms": encode_base64(terms + b"\n")}),
        "terms-not-base64": ("malformed", {"terms": encode_base64(terms) + " "}),
    } | (_ssh_defects(evidence, terms) if evidence["kind"] == "ssh" else {})


def _ssh_defects(evidence: dict[str, str], terms: bytes) -> dict[str, tuple[str, dict[str, object]]]:
    def signed(expect: str, blob: bytes) -> tuple[str, dict[str, object]]:
        return expect, {"evidence": evidence | {"signature": encode_base64(_armour(blob))}}

    other = Ed25519PrivateKey.from_private_bytes(random_from("another SSH key")(32))
    right = _sshsig(SSH, NAMESPACE, terms)
    return {
        "for-files": signed("forbidden", _sshsig(SSH, b"file", terms)),
        "by-another-key": signed("forbidden", _sshsig(other, NAMESPACE, terms)),
        "more-at-its-end": signed("malformed", right + b"\0"),
        "version-2": signed("malformed", swap(right, b"SSHSIG\0\0\0\1", b"SSHSIG\0\0\0\2")),
    }


def swapped_credentials(subject: str, header: Header, body: bytes) -> Vectors:
    other = device_key("another device").public
    stranger = _ssh_line(Ed25519PrivateKey.from_private_bytes(random_from("another SSH key")(32)))
    text = f"device device-laptop {other}" if subject == "device" else f"ssh ssh-1 {stranger}"
    return {f"{subject}_another-public-key": vector("forbidden", [("credential", text), *header[1:]], body)}


def _by_device(message: bytes) -> Evidence:
    return device_key().agree(message, "device-laptop")


def _by_ssh(message: bytes) -> Evidence:
    signature = encode_base64(_armour(_sshsig(SSH, NAMESPACE, message)))
    return Evidence(kind="ssh", credential="ssh-1", signature=signature)


def _sshsig(key: Ed25519PrivateKey, namespace: bytes, message: bytes) -> bytes:
    """What `ssh-keygen -Y sign` makes of a digest: OpenSSH's PROTOCOL.sshsig."""
    digest = hashlib.sha512(f"{hashlib.sha256(message).hexdigest()}\n".encode()).digest()
    said = b"".join(_string(each) for each in (namespace, b"", b"sha512"))
    signature = key.sign(b"SSHSIG" + said + _string(digest))
    blob = _string(b"ssh-ed25519") + _string(key.public_key().public_bytes_raw())
    return b"SSHSIG\0\0\0\1" + _string(blob) + said + _string(_string(b"ssh-ed25519") + _string(signature))


def _armour(blob: bytes) -> bytes:
    text = encode_base64(blob)
    lines = [text[i : i + 70] for i in range(0, len(text), 70)]
    whole = ["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]
    return "\n".join(whole).encode()


def _ssh_line(key: Ed25519PrivateKey) -> str:
    blob = _string(b"ssh-ed25519") + _string(key.public_key().public_bytes_raw())
    return f"ssh-ed25519 {encode_base64(blob)}"


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data
