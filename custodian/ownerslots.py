"""The slots and credentials of owners: what opens what is theirs, and what proves that they agreed.

A slot and a credential that were made together have one id. Whoever adds or removes one has proven to be
the owner, by their password or by evidence; a new credential proves itself. Nobody can remove their
last slot, for then their shares are lost, nor the last thing that proves who they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custodian import accounts, sessions
from custodian.accounts import Account
from custodian.errors import Conflict, Forbidden, FormatError, NotFound
from custodian.events import Actor, CredentialAdded, Evidence, SlotAdded, SlotRemoved
from custodian.evidence import Credential, check, enrolled
from custodian.sealing import PublicKey
from custodian.site import Site
from custodian.slots import Kdf, Slot
from custodian.store import Transaction

MOST = 16  # slots and credentials of one owner, together


@dataclass(frozen=True, slots=True)
class Held:
    """A credential and when it came, in Unix seconds."""

    credential: Credential
    added: int


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What a new owner's side made: the owner's key in slots, and credentials that prove themselves."""

    public: PublicKey
    slots: Sequence[Slot]
    credentials: Sequence[Credential]
    possession: Sequence[Evidence]


def list_credentials(tx: Transaction, owner: str) -> list[Held]:
    rows = tx.rows("SELECT * FROM credential WHERE owner = ? ORDER BY id", owner)
    return [Held(_credential(row), row["added"]) for row in rows]


def prove(tx: Transaction, owner: str, evidence: Evidence, message: bytes, site: Site) -> Account:
    """Check that `owner` agreed to `message`; return their account.

    Raises:
        Forbidden: no such owner or credential, or it did not sign this. FormatError: not evidence.
    """
    account = accounts.find_account(tx, owner)
    row = tx.row("SELECT * FROM credential WHERE owner = ? AND id = ?", owner, evidence.credential)
    if row is None or account is None or account.disabled:
        raise Forbidden(f"{evidence.credential} is not a credential of {owner} here")
    check(evidence, _credential(row), message, site)
    return account


def add(tx: Transaction, owner: str, slot: Slot | None, credential: Credential | None) -> None:
    """Add what was proven already to be the owner's.

    Raises:
        Conflict: the id, or the key of the credential, is there already; or there are too many.
        FormatError: the slot is not of this owner and their key.
    """
    account = _owner(tx, owner)
    slots, held = accounts.owner_slots(tx, owner), list_credentials(tx, owner)
    taken = {each.id for each in slots} | {each.credential.id for each in held}
    made = [each for each in (slot, credential) if each]
    if not made or len({each.id for each in made}) > 1:
        raise FormatError("slot", "and credential must have one id, and one of them must be there")
    if made[0].id in taken:
        raise Conflict(f"{owner} has {made[0].id} already; choose another id")
    if len(slots) + len(held) + len(made) > MOST:
        raise Conflict(f"{owner} has as many slots and credentials as one may; remove one first")
    if slot:
        _add_slot(tx, account, slot)
    if credential:
        if credential.public in {each.credential.public for each in held}:
            raise Conflict(f"{owner} has this credential already, under another id")
        _add_credential(tx, owner, credential)


def remove(tx: Transaction, owner: str, gone: str, session: bytes = b"") -> None:
    """Remove the slot and the credential of this id, and end the owner's sessions but `session`.

    Without its slot a password proves nothing any more.

    Raises:
        NotFound: there is neither. Conflict: the owner could not open or prove anything without it.
    """
    _owner(tx, owner)
    slots = accounts.owner_slots(tx, owner)
    credentials = [each.credential.id for each in list_credentials(tx, owner)]
    left = [each for each in slots if each.id != gone]
    if len(left) == len(slots) and gone not in credentials:
        raise NotFound(f"{owner} has no slot or credential {gone}")
    if not left:
        raise Conflict("this is your last slot: without it what is sealed to you is lost; add another first")
    if not set(credentials) - {gone} and all(each.kind != "password" for each in left):
        raise Conflict("without it you could not prove who you are; add another credential first")
    tx.write("DELETE FROM slot WHERE owner = ? AND id = ?", owner, gone)
    tx.write("DELETE FROM credential WHERE owner = ? AND id = ?", owner, gone)
    if all(each.kind != "password" for each in left):
        tx.write("UPDATE account SET verifier = ? WHERE name = ?", tx.random(32), owner)
    sessions.end_all(tx, owner, but=session)
    tx.append(SlotRemoved(owner=owner, slot=gone), Actor(role="owner", name=owner))


def enrol(tx: Transaction, code: str, kdf: Kdf, newcomer: Newcomer, site: Site) -> Account:
    """Use an owner's invitation without a password: no login by one ever succeeds.

    Raises:
        Forbidden: the invitation is over, or a credential does not prove itself. FormatError: the slots
            are not this owner's. Conflict: the invitation is not for an owner, or an id is there twice.
    """
    _, name = accounts.look_at_invitation(tx, code)
    if len(newcomer.credentials) != len(newcomer.possession):
        raise FormatError("possession", "must be there once for each credential")
    message = enrolled(name, str(newcomer.public))
    for credential, evidence in zip(newcomer.credentials, newcomer.possession, strict=True):
        check(evidence, credential, message, site)
    first = newcomer.slots[0]
    _check_slot(first, name, str(newcomer.public))
    account = accounts.enrol(tx, code, kdf, tx.random(32), first)
    credentials = {each.id: each for each in newcomer.credentials}
    if len(credentials) != len(newcomer.credentials):
        raise Conflict("two of the credentials have one id")
    _tell_slot(tx, first)
    if first.id in credentials:
        _add_credential(tx, name, credentials.pop(first.id))
    for slot in newcomer.slots[1:]:
        add(tx, name, slot, credentials.pop(slot.id, None))
    for credential in credentials.values():
        add(tx, name, None, credential)
    return account


def _owner(tx: Transaction, name: str) -> Account:
    account = accounts.find_account(tx, name)
    if account is None or account.disabled or account.role != "owner":
        raise Forbidden(f"{name} is not an owner here, or is disabled")
    return account


def _check_slot(slot: Slot, owner: str, public: str) -> None:
    if (slot.owner, str(slot.owner_public)) != (owner, public):
        raise FormatError("slot", f"does not hold the key of {owner}")
    if slot.kind == "password":
        raise FormatError("slot.kind", "must not be password: the custodian makes that one")


def _add_slot(tx: Transaction, account: Account, slot: Slot) -> None:
    _check_slot(slot, account.name, account.public)
    tx.write("INSERT INTO slot VALUES (?, ?, ?)", account.name, slot.id, bytes(slot))
    _tell_slot(tx, slot)


def _tell_slot(tx: Transaction, slot: Slot) -> None:
    event = SlotAdded(owner=slot.owner, slot=slot.id, kind=slot.kind, public=str(slot.public))
    tx.append(event, Actor(role="owner", name=slot.owner))


def _add_credential(tx: Transaction, owner: str, each: Credential) -> None:
    tx.write(
        "INSERT INTO credential VALUES (?, ?, ?, ?, ?, ?, ?)",
        owner,
        each.id,
        each.kind,
        each.label,
        each.public,
        each.handle,
        tx.seconds,
    )
    event = CredentialAdded(owner=owner, credential=each.id, kind=each.kind, public=each.public)
    tx.append(event, Actor(role="owner", name=owner))


def _credential(row: Mapping[str, Any]) -> Credential:
    return Credential(row["id"], row["kind"], row["label"], row["public"], row["handle"])
