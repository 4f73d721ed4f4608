"""A signer's first steps: enrol at the custodian, make a CA key and put it into custody."""

import asyncio
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from custodian.encoding import encode_base64, parse_name
from custodian.errors import BadInput, Conflict
from custodian.identity import Identity
from custodian.note import parse_verify_key
from custodian.policy import Policy, parse_policy
from custodian.sealing import PublicKey, parse_public_key
from signer.app import load_identity, load_policy
from signer.ceremony import BACKDATE, Made, Plan, make_key
from signer.client import CustodianClient
from signer.config import CUSTODIAN_CA, FILE, IDENTITY, LOG_KEY, TOKEN, load_config

POLICY_FILE = "policy.json"
MAX_NAME = 64  # ub-common-name, ub-organization-name (RFC 5280, appendix A.1)
AUTH_KEY_FILE = "auth.key"
POLICY = """\
{
  "signing": {
    "default": {
      "expiry": "720h", "auth_key": "clients",
      "usages": ["digital signature", "key encipherment", "server auth"]
    },
    "profiles": {
      "server": {
        "expiry": "720h", "auth_key": "clients",
        "usages": ["digital signature", "key encipherment", "server auth"]
      },
      "client": {
        "expiry": "720h", "auth_key": "clients",
        "usages": ["digital signature", "client auth"]
      }
    }
  },
  "auth_keys": {"clients": {"type": "standard", "key": "file:auth.key"}}
}
"""


@dataclass(frozen=True, slots=True)
class NewCa:
    policy: Policy
    veto: tuple[str, ...]
    owners: dict[str, str]  # the public keys that shares were sealed to
    certificate: Path


async def enrol_signer(directory: Path, name: str, url: str, ca: Path, code: str) -> None:
    """Make `directory`, whole or not at all, with an identity enrolled at the custodian."""
    parse_name(name, "name")
    if directory.exists() and any(directory.iterdir()):
        raise Conflict(f"{directory} is not empty; choose another directory")
    identity = Ed25519PrivateKey.generate()
    public = Identity(identity.public_key().public_bytes_raw())
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        shutil.copyfile(ca, fresh / CUSTODIAN_CA)
        async with CustodianClient(url, ca) as client:
            enrolled = await client.post("/enrolments", {"invitation": code, "identity": str(public)})
        if enrolled["name"] != name:
            raise Conflict(f"the invitation is for {enrolled['name']}, not for {name}; it is used up now")
        _write_state(fresh, identity, enrolled, url)
        if directory.exists():
            directory.rmdir()  # an empty one may be replaced
        fresh.rename(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _write_state(fresh: Path, identity: Ed25519PrivateKey, enrolled: dict[str, Any], url: str) -> None:
    pem = identity.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_secret(fresh / IDENTITY, pem)
    _write_secret(fresh / TOKEN, enrolled["token"].encode() + b"\n")
    (fresh / LOG_KEY).write_text(str(parse_verify_key(enrolled["vkey"])) + "\n")
    (fresh / FILE).write_text(f'name = "{enrolled["name"]}"\n\n[custodian]\nurl = "{url}"\n')


@dataclass(frozen=True, slots=True)
class Wanted:
    """What kind of CA is wanted, as it was typed."""

    key: str
    policy: str
    cn: str
    org: str
    algorithm: str
    path_length: int | None
    not_before: datetime
    not_after: datetime
    veto: tuple[str, ...] = ()
    no_self_approval: bool = False


def init_ca(directory: Path, profiles: Path | None, wanted: Wanted) -> NewCa:
    """Make a CA key, put it into custody, and configure this signer to sign with it.

    Raises:
        Conflict: this signer has a CA already, or the custodian has a key of that name.
        BadInput: the policy names someone who is no owner, or a veto someone whom it does not name.
    """
    config = load_config(directory)
    if config.ca is not None:
        raise Conflict(f"this signer signs with {config.ca.key} already; enrol another for another key")
    if profiles is not None:
        load_policy(profiles)
    policy = parse_policy(wanted.policy)
    for name, text, least in (("cn", wanted.cn, 1), ("org", wanted.org, 0)):
        if not least <= len(text) <= MAX_NAME:
            raise BadInput(name, f"must have {least} to {MAX_NAME} characters")
    identity = Identity(load_identity(directory).public_key().public_bytes_raw())
    plan = Plan(
        name=parse_name(wanted.key, "key"),
        algorithm=wanted.algorithm,
        common_name=wanted.cn,
        organization=wanted.org,
        not_before=wanted.not_before - BACKDATE,
        not_after=wanted.not_after,
        path_length=wanted.path_length,
        policy=policy,
        owners=asyncio.run(_owners(directory, config.custodian.url, policy)),
        signers={config.name: identity},
        veto=_veto(wanted.veto, policy),
        no_self_approval=wanted.no_self_approval,
    )
    made = make_key(plan)
    asyncio.run(_hand_in(directory, config.custodian.url, made))
    owners = {name: str(public) for name, public in plan.owners.items()}
    return NewCa(policy, plan.veto, owners, _configure(directory, wanted.key, profiles, made))


def _veto(names: tuple[str, ...], policy: Policy) -> tuple[str, ...]:
    for name in names:
        if name not in policy.owners():
            raise BadInput("veto", f"{name} is not an owner of the policy; only who holds a share can veto")
    return tuple(sorted(set(names)))


def _configure(directory: Path, key: str, profiles: Path | None, made: Made) -> Path:
    certificate = directory / f"{key}.pem"
    certificate.write_text(made.certificate)
    policy_file = directory / POLICY_FILE
    policy_file.write_text(profiles.read_text() if profiles else POLICY)
    if profiles is None:
        _write_secret(directory / AUTH_KEY_FILE, secrets.token_hex(32).encode() + b"\n")
    section = f'\n[ca]\nkey = "{key}"\ncertificate = "{certificate.name}"\npolicy = "{POLICY_FILE}"\n'
    with (directory / FILE).open("a") as file:
        file.write(section)
    return certificate


async def _owners(directory: Path, url: str, policy: Policy) -> dict[str, PublicKey]:
    async with _client(directory, url) as client:
        enrolled = {each["name"]: each for each in await client.get("/owners") if not each["disabled"]}
    for name in policy.owners():
        if name not in enrolled:
            raise BadInput("policy", f"{name} is not an owner at the custodian; invite them first")
    return {name: parse_public_key(enrolled[name]["public"], name) for name in policy.owners()}


async def _hand_in(directory: Path, url: str, made: Made) -> None:
    body = {"envelope": encode_base64(made.envelope), "certificate": made.certificate}
    async with _client(directory, url) as client:
        await client.post("/keys", body)


def _client(directory: Path, url: str) -> CustodianClient:
    return CustodianClient(url, directory / CUSTODIAN_CA, (directory / TOKEN).read_text().strip())


def _write_secret(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
        os.fsync(file.fileno())
