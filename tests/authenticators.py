"""What owners hold, in software: passkeys, keys of the real ssh-keygen, FIDO tokens as SSH uses them."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from custodian.devicekey import DeviceKey, make_device_key
from custodian.encoding import encode_base64
from custodian.events import Evidence
from custodian.evidence import NAMESPACE, Credential
from custodian.sealing import PrivateKey
from custodian.site import Site
from custodian.slots import Slot, make_slot
from custodian.webauthn import Assertion

SITE = Site("https://custodian.example.com", "custodian.example.com")
FLAGS = 0b101  # somebody was there, and it is known who

needs_ssh_keygen = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")


@dataclass
class Passkey:
    """An authenticator with one key, and the browser in front of it."""

    site: Site = SITE
    key: EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey = field(
        default_factory=lambda: generate_private_key(SECP256R1())
    )
    handle: bytes = field(default_factory=lambda: os.urandom(16))
    prf: PrivateKey = field(default_factory=lambda: PrivateKey("x25519", os.urandom(32)))

    @property
    def public(self) -> str:
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return encode_base64(der)

    def credential(self, name: str = "passkey-1") -> Credential:
        return Credential(name, "passkey", "a passkey", self.public, encode_base64(self.handle))

    def answer(self, challenge: bytes, /, *, flags: int = FLAGS, rest: bytes = b"", **said: Any) -> Assertion:
        """Sign as a browser has it signed; `said` replaces members of the client data, with None removes."""
        usual = {
            "type": "webauthn.get",
            "challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "origin": self.site.origin,
            "crossOrigin": False,
        }
        client = {name: value for name, value in (usual | said).items() if value is not None}
        head = hashlib.sha256(self.site.rp_id.encode()).digest() + bytes([flags]) + bytes(4)
        return self.sign(head + rest, json.dumps(client, separators=(",", ":")).encode())

    def sign(self, authenticator_data: bytes, client_data: bytes) -> Assertion:
        signed = authenticator_data + hashlib.sha256(client_data).digest()
        if isinstance(self.key, EllipticCurvePrivateKey):
            signature = self.key.sign(signed, ECDSA(SHA256()))
        elif isinstance(self.key, RSAPrivateKey):
            signature = self.key.sign(signed, padding.PKCS1v15(), SHA256())
        else:
            signature = self.key.sign(signed)
        return Assertion(signature, authenticator_data, client_data)

    def agree(self, message: bytes, name: str = "passkey-1", **changes: Any) -> Evidence:
        made = self.answer(hashlib.sha256(message).digest(), **changes)
        return Evidence(
            kind="passkey",
            credential=name,
            signature=encode_base64(made.signature),
            authenticator_data=encode_base64(made.authenticator_data),
            client_data=encode_base64(made.client_data),
        )

    def slot(self, owner: str, owner_key: PrivateKey, name: str = "passkey-1") -> Slot:
        parameters = {"credential": encode_base64(self.handle), "salt": encode_base64(bytes(32))}
        return make_slot(owner_key, (owner, name, "passkey"), self.prf.public, **parameters)


def device(owner: str = "alice") -> DeviceKey:
    return make_device_key(owner, hashlib.sha256(f"device of {owner}".encode()).digest(), "laptop")


def device_credential(key: DeviceKey, name: str = "device-laptop") -> Credential:
    return Credential(name, "device", "laptop", key.public)


def device_slot(key: DeviceKey, owner_key: PrivateKey, name: str = "device-laptop") -> Slot:
    return make_slot(owner_key, (key.owner, name, "device"), key.unlock.public, label="laptop")


class SshKeygen:
    """A key of the real ssh-keygen, in a file."""

    def __init__(self, directory: Path, *kind: str) -> None:
        self.path = directory / "-".join(kind).replace("/", "")
        arguments = ["ssh-keygen", "-q", "-N", "", "-C", "alice@laptop", "-f", str(self.path), "-t", *kind]
        subprocess.run(arguments, check=True, capture_output=True)

    @property
    def public(self) -> str:
        return self.path.with_suffix(".pub").read_text().removesuffix("\n")

    def sign(self, message: bytes, namespace: str = NAMESPACE.decode(), *options: str) -> bytes:
        """Return what `ssh-keygen -Y sign` writes."""
        arguments = ["ssh-keygen", "-Y", "sign", "-f", str(self.path), "-n", namespace, *options]
        return subprocess.run(arguments, input=message, check=True, capture_output=True).stdout

    def verifies(self, message: bytes, signature: bytes, namespace: str = NAMESPACE.decode()) -> bool:
        """Ask ssh-keygen what it thinks of a signature."""
        (allowed := self.path.with_suffix(".allowed")).write_text(f"alice {self.public}\n")
        (signed := self.path.with_suffix(".sig")).write_bytes(signature)
        arguments = [
            "ssh-keygen",
            "-Y",
            "verify",
            "-f",
            allowed,
            "-I",
            "alice",
            "-n",
            namespace,
            "-s",
            signed,
        ]
        return subprocess.run(arguments, check=False, input=message, capture_output=True).returncode == 0

    def credential(self, name: str = "ssh-laptop") -> Credential:
        return Credential(name, "ssh", "laptop", self.public)

    def agree(self, message: bytes, name: str = "ssh-laptop") -> Evidence:
        armoured = self.sign(f"{hashlib.sha256(message).hexdigest()}\n".encode())
        return Evidence(kind="ssh", credential=name, signature=encode_base64(armoured))


class SshToken:
    """A FIDO token as SSH uses it (PROTOCOL.u2f); it is touched unless told otherwise."""

    def __init__(self, key: Ed25519PrivateKey | EllipticCurvePrivateKey, application: str = "ssh:") -> None:
        self.key, self.application = key, application.encode()
        public = key.public_key()
        if isinstance(key, Ed25519PrivateKey):
            self.kind = b"sk-ssh-ed25519@openssh.com"
            parts = [public.public_bytes(Encoding.Raw, PublicFormat.Raw)]
        else:
            self.kind = b"sk-ecdsa-sha2-nistp256@openssh.com"
            parts = [b"nistp256", public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)]
        self.blob = ssh(self.kind, *parts, self.application)

    @property
    def public(self) -> str:
        return f"{self.kind.decode()} {encode_base64(self.blob)} alice@token"

    def sign(self, message: bytes, namespace: bytes = NAMESPACE, *, flags: int = 1) -> bytes:
        said = b"SSHSIG" + ssh(namespace, b"", b"sha512", hashlib.sha512(message).digest())
        head = bytes([flags]) + (7).to_bytes(4)
        signed = hashlib.sha256(self.application).digest() + head + hashlib.sha256(said).digest()
        if isinstance(self.key, Ed25519PrivateKey):
            raw = self.key.sign(signed)
        else:
            raw = ssh(*map(mpint, decode_dss_signature(self.key.sign(signed, ECDSA(SHA256())))))
        return armour(signature_blob(self.blob, namespace, b"sha512", ssh(self.kind, raw) + head))


def signature_blob(public: bytes, namespace: bytes, hash_name: bytes, signature: bytes) -> bytes:
    return b"SSHSIG" + (1).to_bytes(4) + ssh(public, namespace, b"", hash_name, signature)


def armour(blob: bytes) -> bytes:
    text = base64.b64encode(blob).decode()
    lines = "\n".join(text[i : i + 70] for i in range(0, len(text), 70))
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n".encode()


def ssh(*parts: bytes) -> bytes:
    return b"".join(len(each).to_bytes(4) + each for each in parts)


def mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1)
