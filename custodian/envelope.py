"""A key sealed under its owners' policy: `custodian/envelope/v1`.

    custodian/envelope/v1
    name: ca
    id: 5f0c…
    created: 2026-11-23T12:00:00Z
    algorithm: ecdsa-p256
    public: SHA-256 of the SubjectPublicKeyInfo, hexadecimal
    subject: the CA's distinguished name, DER in base64
    policy: 2 of (alice, bob, carol)
    veto: carol
    rule: no-self-approval
    signer: ca-1 <identity>
    owner: alice <public key> <commitment> <sealed share>
    owner: …
    <empty line>
    nonce and ciphertext, base64 in lines of 64

The header, as read, is the AAD of the payload (AES-256-GCM), and the key-encryption key comes from the
seed that only a quorum can join:

    kek = HKDF-SHA-256(ikm = seed, salt = "", info = "custodian/key/v1" 0x00 id)

so who may open the key, who may stop it, and to which signers it may be lent, cannot be changed without
opening it.
Owners lend without opening it, though. So each share is sealed under the *facts*, the lines above the
owners', and opens for its owner only where none of them was changed:

    info = "custodian/share/v1" 0x00 SHA-256(facts) 0x00 owner
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from custodian.encoding import (
    decode_base64,
    decode_hex,
    encode_base64,
    format_instant,
    parse_instant,
    parse_name,
)
from custodian.errors import CannotOpen, FormatError
from custodian.identity import Identity, parse_identity
from custodian.policy import Policy, parse_policy
from custodian.sealing import PublicKey, parse_public_key
from custodian.shares import SEED_SIZE, commit, split
from custodian.wiping import wipe

VERSION = "custodian/envelope/v1"
ALGORITHMS = (
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "ed25519",
)
MAX_SIZE = 1_048_576
NONCE_SIZE = 12
TAG_SIZE = 16
LINE = 64


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What is public about a key: what it is called, what it is, who may be lent it.

    `bytes()` is the header's lines from the first through the last signer's.
    """

    name: str
    id: str
    created: datetime
    algorithm: str
    public: bytes  # SHA-256 of the SubjectPublicKeyInfo
    subject: bytes  # DER of the name it signs under
    policy: Policy
    signers: Mapping[str, Identity]
    veto: tuple[str, ...] = ()  # owners each of whom alone can stop a request; sorted
    no_self_approval: bool = False  # a delegation must answer a request that somebody else made

    def __bytes__(self) -> bytes:
        lines = [
            VERSION,
            f"name: {self.name}",
            f"id: {self.id}",
            f"created: {format_instant(self.created)}",
            f"algorithm: {self.algorithm}",
            f"public: {self.public.hex()}",
            f"subject: {encode_base64(self.subject)}",
            f"policy: {self.policy}",
            *(f"veto: {owner}" for owner in self.veto),
            *(["rule: no-self-approval"] if self.no_self_approval else []),
            *(f"signer: {name} {identity}" for name, identity in self.signers.items()),
        ]
        return ("\n".join(lines) + "\n").encode("ascii")

    def share_info(self, owner: str) -> bytes:
        """Return the HPKE info under which `owner`'s share is sealed: under other facts it does not open.

        An owner seals their share to what a signer of these facts announced, so they must be those that
        the key was sealed with, not what the envelope's keeper made of them.
        """
        return b"\x00".join((b"custodian/share/v1", hashlib.sha256(bytes(self)).digest(), owner.encode()))


@dataclass(frozen=True, slots=True)
class Holding:
    """One owner's part of an envelope."""

    public: PublicKey
    commitment: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    facts: KeyFacts
    holdings: Mapping[str, Holding]
    header: bytes
    payload: bytes

    def __bytes__(self) -> bytes:
        text = encode_base64(self.payload)
        lines = [text[i : i + LINE] for i in range(0, len(text), LINE)]
        return self.header + "\n".join([*lines, ""]).encode()

    @property
    def commitments(self) -> dict[str, bytes]:
        return {owner: holding.commitment for owner, holding in self.holdings.items()}


def seal(
    facts: KeyFacts,
    owners: Mapping[str, PublicKey],
    secret: bytes | bytearray,
    random: Callable[[int], bytes],
) -> Envelope:
    """Seal `secret` under a new seed, split over `owners` as the policy says.

    `facts.id` must be new: a seed is used for one envelope only. What is returned was read back, so
    no key is ever sealed into an envelope that would be refused later.

    Raises:
        FormatError: `facts` or `secret` do not fit the format.
    """
    seed = random(SEED_SIZE)
    shares = split(facts.policy, seed, random)
    holdings = {
        owner: Holding(
            owners[owner],
            commit(share, facts.id, owner),
            owners[owner].seal(share, facts.share_info(owner)),
        )
        for owner, share in shares.items()
    }
    header = _header(facts, holdings)
    nonce = random(NONCE_SIZE)
    kek = derive_kek(seed, facts.id)
    payload = nonce + AESGCM(kek).encrypt(nonce, bytes(secret), header)
    wipe(kek)
    for secret_part in (seed, *shares.values()):
        wipe(secret_part)
    return parse_envelope(bytes(Envelope(facts, holdings, header, payload)))


def open_payload(envelope: Envelope, seed: bytes | bytearray) -> bytearray:
    """Return the secret, in a buffer the caller wipes.

    Raises:
        CannotOpen: the seed is another's, or a byte of the envelope was changed.
    """
    secret = bytearray(len(envelope.payload) - NONCE_SIZE - TAG_SIZE)
    kek = derive_kek(seed, envelope.facts.id)
    nonce, sealed = envelope.payload[:NONCE_SIZE], envelope.payload[NONCE_SIZE:]
    try:
        AESGCM(kek).decrypt_into(nonce, sealed, envelope.header, secret)
    except InvalidTag:
        raise CannotOpen("the envelope does not open with these shares") from None
    finally:
        wipe(kek)
    return secret


def derive_kek(seed: bytes | bytearray, key_id: str) -> bytearray:
    kek = bytearray(32)
    info = b"\x00".join((b"custodian/key/v1", key_id.encode()))
    HKDF(SHA256(), 32, salt=None, info=info).derive_into(seed, kek)
    return kek


def _header(facts: KeyFacts, holdings: Mapping[str, Holding]) -> bytes:
    lines = [
        f"owner: {owner} {held.public} {encode_base64(held.commitment)} {encode_base64(held.sealed)}\n"
        for owner, held in holdings.items()
    ]
    return bytes(facts) + ("".join(lines) + "\n").encode("ascii")


def parse_envelope(data: bytes) -> Envelope:
    """Parse an envelope strictly; its bytes are the only spelling of what it says.

    Raises:
        FormatError: it is not `custodian/envelope/v1`.
    """
    if len(data) > MAX_SIZE:
        raise FormatError("envelope", f"is larger than {MAX_SIZE} bytes")
    head, separator, body = data.partition(b"\n\n")
    header = head + separator
    try:
        lines = head.decode("ascii").split("\n")
        text = body.decode("ascii")
    except UnicodeDecodeError:
        raise FormatError("envelope", "is not ASCII") from None
    if lines.pop(0) != VERSION:
        raise FormatError("envelope", f"does not start with {VERSION}")
    envelope = _parse_header(lines, header, decode_base64(text.replace("\n", ""), "envelope.payload"))
    if len(envelope.payload) <= NONCE_SIZE + TAG_SIZE:
        raise FormatError("envelope.payload", "is too short")
    if _header(envelope.facts, envelope.holdings) != header or bytes(envelope) != data:
        raise FormatError("envelope", "is not in its canonical form")
    return envelope


def _parse_header(lines: list[str], header: bytes, payload: bytes) -> Envelope:
    def take(field: str) -> str:
        if not lines or not lines[0].startswith(f"{field}: "):
            raise FormatError(f"envelope.{field}", "is missing or not in its place")
        return lines.pop(0).removeprefix(f"{field}: ")

    def take_all(field: str, parts: int) -> list[list[str]]:
        rows = []
        while lines and lines[0].startswith(f"{field}: "):
            row = take(field).split(" ")
            if len(row) != parts:
                raise FormatError(f"envelope.{field}", f"must have {parts} parts")
            rows.append(row)
        return rows

    facts = KeyFacts(
        name=parse_name(take("name"), "envelope.name"),
        id=parse_key_id(take("id"), "envelope.id"),
        created=parse_instant(take("created"), "envelope.created"),
        algorithm=_parse_algorithm(take("algorithm")),
        public=_sized(decode_hex(take("public"), "envelope.public"), 32, "envelope.public"),
        subject=decode_base64(take("subject"), "envelope.subject"),
        policy=parse_policy(take("policy")),
        veto=tuple(name for (name,) in take_all("veto", 1)),
        no_self_approval=_parse_rules(take_all("rule", 1)),
        signers={
            parse_name(name, "envelope.signer"): parse_identity(identity, "envelope.signer")
            for name, identity in take_all("signer", 2)
        },
    )
    if list(facts.veto) != sorted({*facts.veto} & {*facts.policy.owners()}):
        raise FormatError("envelope.veto", "must be owners of the policy, each once, in alphabetical order")
    holdings = {owner: _parse_holding(*parts) for owner, *parts in take_all("owner", 4)}
    if list(holdings) != list(facts.policy.owners()):
        raise FormatError("envelope.owner", "must list the policy's owners, in its order")
    if lines:
        raise FormatError("envelope", f"has an unknown line {len(header.splitlines()) - len(lines)}")
    return Envelope(facts, holdings, header, payload)


def _parse_rules(rows: list[list[str]]) -> bool:
    if rows not in ([], [["no-self-approval"]]):
        raise FormatError("envelope.rule", "can only be no-self-approval, once")
    return bool(rows)


def _parse_holding(public: str, commitment: str, sealed: str) -> Holding:
    return Holding(
        parse_public_key(public, "envelope.owner"),
        _sized(decode_base64(commitment, "envelope.owner"), 32, "envelope.owner"),
        decode_base64(sealed, "envelope.owner"),
    )


def parse_key_id(text: str, field: str) -> str:
    """A key's id is 128 random bits in lower-case hexadecimal."""
    if not re.fullmatch("[0-9a-f]{32}", text):
        raise FormatError(field, "is not 32 hexadecimal digits")
    return text


def _parse_algorithm(text: str) -> str:
    if text not in ALGORITHMS:
        raise FormatError("envelope.algorithm", f"is not one of {', '.join(ALGORITHMS)}")
    return text


def _sized(data: bytes, size: int, field: str) -> bytes:
    if len(data) != size:
        raise FormatError(field, f"is not {size} bytes long")
    return data
