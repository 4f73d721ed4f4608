"""What proves that an owner agreed: a signature by one of their credentials over what they agreed to.

What is agreed to is some bytes M, of which evidence names the digest D = SHA-256(M):

    device    Ed25519 over "custodian/evidence/v1" 0x00 D
    ssh       SSHSIG (`ssh-keygen -Y sign`) in the namespace `delegation@custodian` over hex(D) "\\n"
    passkey   a WebAuthn assertion whose challenge is D

For a delegation M are the terms, for a sign-in the statement; the other three are below. Each begins with
another word, so that nobody who agreed to one has agreed to another. Evidence stays in the history, and
whoever has the credential's public key can check it again.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from custodian import webauthn
from custodian.encoding import canonical_json, decode_base64
from custodian.errors import Forbidden, FormatError
from custodian.events import Evidence
from custodian.identity import parse_identity
from custodian.site import Site
from custodian.sshsig import check_ssh_signature, parse_ssh_key
from custodian.webauthn import Assertion, check_assertion

PREFIX = b"custodian/evidence/v1\x00"
NAMESPACE = b"delegation@custodian"


@dataclass(frozen=True, slots=True)
class Credential:
    """What verifies an owner's evidence. `handle` is what a passkey's authenticator knows it by, base64."""

    id: str
    kind: str
    label: str
    public: str
    handle: str = ""


def check(evidence: Evidence, credential: Credential, message: bytes, site: Site) -> None:
    """Check that whoever has `credential` agreed to `message`.

    Raises:
        Forbidden: they did not. FormatError: a part of the evidence is not in its format.
    """
    if (evidence.kind, evidence.credential) != (credential.kind, credential.id):
        raise Forbidden(f"the evidence is not by {credential.id}")
    if credential.kind != "passkey" and (evidence.authenticator_data or evidence.client_data):
        raise FormatError("evidence", "holds what only a passkey's does")
    _CHECKS[credential.kind](evidence, credential.public, hashlib.sha256(message).digest(), site)


def parse_credential(credential: Credential) -> Credential:
    """Return `credential` with its public key in its one spelling. Raises FormatError."""
    if (credential.kind == "passkey") != bool(decode_base64(credential.handle, "credential.handle")):
        raise FormatError("credential.handle", "must be there for passkeys, and only for them")
    public = _PARSERS[credential.kind](credential.public, "credential.public")
    return Credential(credential.id, credential.kind, credential.label, public, credential.handle)


def enrolled(owner: str, public: str) -> bytes:
    """Return what a new owner's credentials agree to: to be of the owner of this public key."""
    return b"\x00".join((b"custodian/enrolment/v1", owner.encode(), public.encode()))


def slot_added(owner: str, slot: str, credential: str) -> bytes:
    """Return what an owner agrees to for a new slot, its base64, and credential, `kind public`."""
    return canonical_json(
        {"type": "custodian/slot-added/v1", "owner": owner, "slot": slot, "credential": credential}
    )


def slot_removed(owner: str, slot: str) -> bytes:
    return b"\x00".join((b"custodian/slot-removed/v1", owner.encode(), slot.encode()))


def _check_device(evidence: Evidence, public: str, digest: bytes, _: Site) -> None:
    key = Ed25519PublicKey.from_public_bytes(parse_identity(public, "credential").raw)
    try:
        key.verify(decode_base64(evidence.signature, "signature"), PREFIX + digest)
    except InvalidSignature:
        raise Forbidden("the device key did not sign this") from None


def _check_ssh(evidence: Evidence, public: str, digest: bytes, _: Site) -> None:
    armoured = decode_base64(evidence.signature, "signature")
    check_ssh_signature(
        armoured, parse_ssh_key(public, "credential"), f"{digest.hex()}\n".encode(), NAMESPACE
    )


def _check_passkey(evidence: Evidence, public: str, digest: bytes, site: Site) -> None:
    assertion = Assertion(
        decode_base64(evidence.signature, "signature"),
        decode_base64(evidence.authenticator_data, "authenticator_data"),
        decode_base64(evidence.client_data, "client_data"),
    )
    check_assertion(assertion, webauthn.parse_key(public, "credential"), digest, site)


def _parse_passkey(public: str, field: str) -> str:
    webauthn.parse_key(public, field)
    return public


_CHECKS: Mapping[str, Callable[[Evidence, str, bytes, Site], None]] = {
    "device": _check_device,
    "ssh": _check_ssh,
    "passkey": _check_passkey,
}
_PARSERS: Mapping[str, Callable[[str, str], str]] = {
    "device": lambda public, field: str(parse_identity(public, field)),
    "ssh": lambda public, field: str(parse_ssh_key(public, field)),
    "passkey": _parse_passkey,
}
