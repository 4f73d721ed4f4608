"""Making a CA key: generated, certified and sealed inside one shut-in process, which then ends.

Only the envelope and the CA's certificate leave it. The key is never on disk in clear and never in a
process that stays.
"""

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from custodian.encoding import decode_base64, encode_base64
from custodian.envelope import KeyFacts, seal
from custodian.errors import Unavailable
from custodian.hardening import shut_in_opener
from custodian.identity import Identity
from custodian.policy import Policy
from custodian.sealing import PublicKey
from custodian.wiping import wipe

MAX_ANSWER = 4_194_304
BACKDATE = timedelta(minutes=5)  # clocks of those who check the certificate may be behind
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

GENERATE: Mapping[str, Callable[[], Key]] = {
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa-4096": lambda: rsa.generate_private_key(65537, 4096),
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ecdsa-p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
HASHES: Mapping[str, Any] = {
    "rsa-2048": SHA256,
    "rsa-3072": SHA384,
    "rsa-4096": SHA512,
    "ecdsa-p256": SHA256,
    "ecdsa-p384": SHA384,
    "ecdsa-p521": SHA512,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a ceremony is to make."""

    name: str
    algorithm: str
    common_name: str
    organization: str
    not_before: datetime
    not_after: datetime
    path_length: int | None
    policy: Policy
    owners: Mapping[str, PublicKey]
    signers: Mapping[str, Identity]
    veto: tuple[str, ...] = ()
    no_self_approval: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    envelope: bytes
    certificate: str  # PEM


def make_key(plan: Plan) -> Made:
    """Fork a process, shut it in, and have it make, certify and seal the key.

    Call it where no other thread runs. Raises Unavailable if the process fails.
    """
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        ours.close()
        _answer(theirs, plan, parent)
    theirs.close()
    with ours, ours.makefile("rb") as answers:
        answer = answers.read(MAX_ANSWER)
    os.waitpid(child, 0)
    if not answer:
        raise Unavailable("the process that makes the key ended without an answer")
    made = json.loads(answer)
    return Made(decode_base64(made["envelope"], "envelope"), made["certificate"])


def _answer(channel: socket.socket, plan: Plan, parent: int) -> None:
    with contextlib.suppress(BaseException):  # a traceback could show the key
        shut_in_opener(parent)
        made = make_here(plan)
        answer = {"envelope": encode_base64(made.envelope), "certificate": made.certificate}
        channel.sendall(json.dumps(answer).encode())
    os._exit(0)


def make_here(plan: Plan) -> Made:
    """Make the key in this process."""
    key = GENERATE[plan.algorithm]()
    certificate = _certify(key, plan)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    facts = KeyFacts(
        name=plan.name,
        id=secrets.token_hex(16),
        created=plan.not_before + BACKDATE,
        algorithm=plan.algorithm,
        public=_sha256(spki),
        subject=certificate.subject.public_bytes(),
        policy=plan.policy,
        signers=plan.signers,
        veto=plan.veto,
        no_self_approval=plan.no_self_approval,
    )
    secret = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    envelope = seal(facts, plan.owners, secret, secrets.token_bytes)
    wipe(secret)
    return Made(bytes(envelope), certificate.public_bytes(Encoding.PEM).decode())


def _certify(key: Key, plan: Plan) -> x509.Certificate:
    """Return the CA's self-signed certificate (RFC 5280, sections 4.2.1.2, 4.2.1.3, 4.2.1.9)."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, plan.common_name)]
    if plan.organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, plan.organization))
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    name = x509.Name(attributes)
    digest = HASHES.get(plan.algorithm)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(secrets.token_bytes(20)) >> 1 | 1)
        .not_valid_before(plan.not_before)
        .not_valid_after(plan.not_after)
        .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=plan.path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, digest() if digest else None)
    )


def _sha256(data: bytes) -> bytes:
    digest = Hash(SHA256())
    digest.update(data)
    return digest.finalize()
