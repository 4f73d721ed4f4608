"""The page of what is set up: owners, signers, keys, what is still missing, and what ends next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509

from custodian import accounts, views
from custodian.accounts import Account
from custodian.encoding import fingerprint, parse_instant
from custodian.keys import Key, list_keys
from custodian.outlook import outlook
from custodian.policy import Policy
from custodian.service import Custody
from custodian.signers import Signer, list_signers
from custodian.store import Transaction
from custodian.web import reading
from custodian.web.ceremony import Progress, steps
from custodian.web.endings import Ending, next_to_end, state
from custodian.web.me import ways
from custodian.web.page import Page, Visit

TLS_CERTIFICATE = web.AppKey("tls_certificate", Path)
Invited = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class PersonRow:
    name: str
    role: str
    fingerprint: str  # of an owner's public key
    ways: int  # how many open an owner's share
    disabled: bool


@dataclass(frozen=True, slots=True)
class SignerRow:
    name: str
    fingerprint: str
    announced: str
    connected: bool
    disabled: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    subject: str
    ends: datetime


@dataclass(frozen=True, slots=True)
class KeyRow:
    name: str
    algorithm: str
    policy: Policy
    veto: tuple[str, ...]
    no_self_approval: bool
    signers: tuple[str, ...]
    certificate: Certificate | None


async def show_setup(visit: Visit) -> dict[str, Any]:
    tls = certificate_of(_read(visit.http.app.get(TLS_CERTIFICATE)))
    return await visit.custody.look(_setup, visit.custody, visit.me.role == "admin", tls)


def _setup(tx: Transaction, custody: Custody, admin: bool, tls: Certificate | None) -> dict[str, Any]:
    people = [_person(tx, each) for each in accounts.list_accounts(tx)]
    signers = [_signer(each, custody) for each in list_signers(tx)]
    keys = [_key(each) for each in list_keys(tx)]
    invited = accounts.open_invitations(tx)
    done = steps(_progress(tx, custody, people, signers, invited))
    ends = next_to_end(_endings(tx, keys, invited if admin else (), tls), tx.now)
    return {
        "owners": [each for each in people if each.role == "owner"],
        "others": [each for each in people if each.role != "owner"],
        "signers": signers,
        "keys": keys,
        "invited": [
            {"role": role, "name": name, "ends": datetime.fromtimestamp(end, UTC)}
            for role, name, end in invited
        ],
        "steps": done,
        "missing": sum(not each.done for each in done),
        "ends": [{"ending": each, "state": state(each, tx.now)} for each in ends],
        "origin": custody.site.origin,
    }


def _person(tx: Transaction, account: Account) -> PersonRow:
    opening = sum(way.opens for way in ways(tx, account.name)) if account.role == "owner" else 0
    shown = fingerprint(account.public) if account.public else ""
    return PersonRow(account.name, account.role, shown, opening, account.disabled)


def _signer(signer: Signer, custody: Custody) -> SignerRow:
    view = views.signer(signer)
    connected = custody.is_followed(signer.name)
    return SignerRow(signer.name, fingerprint(view.identity), view.announced, connected, signer.disabled)


def _key(key: Key) -> KeyRow:
    facts = key.envelope.facts
    return KeyRow(
        name=facts.name,
        algorithm=facts.algorithm,
        policy=facts.policy,
        veto=facts.veto,
        no_self_approval=facts.no_self_approval,
        signers=tuple(facts.signers),
        certificate=certificate_of(key.certificate.encode()),
    )


def certificate_of(pem: bytes) -> Certificate | None:
    """Return what a page shows of a certificate; None of one that cannot be read."""
    try:
        found = x509.load_pem_x509_certificate(pem)
        return Certificate(found.subject.rfc4514_string(), found.not_valid_after_utc)
    except ValueError:
        return None


def _read(path: Path | None) -> bytes:
    try:
        return path.read_bytes() if path else b""
    except OSError:
        return b""


def _progress(
    tx: Transaction,
    custody: Custody,
    people: Sequence[PersonRow],
    signers: Sequence[SignerRow],
    invited: Sequence[Invited],
) -> Progress:
    return Progress(
        owners=[each.name for each in people if each.role == "owner" and not each.disabled],
        invited=[name for role, name, _ in invited if role == "owner"],
        signers=[each.name for each in signers if not each.disabled],
        connected=any(each.connected for each in signers),
        outlooks=outlook(tx),
        signed=bool(tx.row("SELECT 1 FROM signature LIMIT 1")),
        url=custody.site.origin,
    )


def _endings(
    tx: Transaction, keys: Sequence[KeyRow], invited: Sequence[Invited], tls: Certificate | None
) -> Iterator[Ending]:
    for loan in reading.lent(tx):
        if loan.state == "live":
            what = f"The loan of {loan.key} by {loan.owner} to {loan.signer}"
            yield Ending(_at(loan.end), what, f"{loan.left} of {loan.uses} uses left", "/quorum")
    for request in reading.waiting(tx):
        short = f"{request.needed} more must lend" if request.needed else "enough have lent"
        yield Ending(_at(request.expires), f"The request for {request.key}", short, f"/requests/{request.id}")
    for role, name, end in invited:
        at = datetime.fromtimestamp(end, UTC)
        yield Ending(at, f"The invitation of {name}", f"to enrol as {role}", "/setup#invited")
    for key in keys:
        if key.certificate:
            then = "nothing it signed is valid after that"
            yield Ending(key.certificate.ends, f"The certificate of {key.name}", then, "", certificate=True)
    if tls:
        then = "nobody can reach the custodian after that"
        yield Ending(tls.ends, "The TLS certificate of the custodian", then, "", certificate=True)


def _at(instant: str) -> datetime:
    return parse_instant(instant, "end")


SETUP = Page("/setup", "setup.html", show_setup, label="Setup")
