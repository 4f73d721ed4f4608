"""Who is who: people with a role, and the invitations that make them and signers.

Each function is one change or one look, inside a transaction. An invitation is the only way in, is used
once, and names the role; there is no open enrolment.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custodian.encoding import parse_name
from custodian.ending import Ended, revoke_all
from custodian.errors import BadInput, CannotOpen, Conflict, Forbidden, NotFound, TooMany, Unauthenticated
from custodian.events import (
    AccountDisabled,
    AccountEnrolled,
    AccountInvited,
    Actor,
    LoginFailed,
    SignerInvited,
)
from custodian.slots import Kdf, Slot, kdf_parameters, parse_kdf, parse_slot
from custodian.store import Transaction

ACCOUNT_ROLES = ("admin", "owner", "auditor")
INVITATION_LIFE = 7 * 24 * 3600
FREE_TRIES = 5  # failed logins before one has to wait
FREE_TRIES_OF_ADDRESS = 30  # over all accounts; several people may share an address
MAX_WAIT = 900
MOST_STRANGERS = 10_000  # names without an account whose failures are remembered after they are told
FOLD = 60  # seconds; failed logins reach the history at most so often


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    role: str
    kdf: Kdf
    verifier: bytes
    public: str
    disabled: bool


def create_account(tx: Transaction, name: str, role: str, kdf: Kdf, verifier: bytes) -> None:
    """Make an account that holds no shares: the first administrator, later admins and auditors."""
    _insert_account(tx, Account(name, role, kdf, verifier, "", disabled=False))


def invite(tx: Transaction, role: str, name: str, by: Actor) -> str:
    """Return a one-time code with which `name` enrols as `role` within a week."""
    parse_name(name, "name")
    if role not in (*ACCOUNT_ROLES, "signer"):
        raise BadInput("role", f"must be one of {', '.join(ACCOUNT_ROLES)} or signer")
    table = "signer" if role == "signer" else "account"
    if tx.row(f"SELECT 1 FROM {table} WHERE name = ?", name):  # noqa: S608 - one of two constants
        raise Conflict(f"{name} is enrolled already")
    code = base64.b32encode(tx.random(20)).decode().lower()
    tx.write("DELETE FROM invitation WHERE name = ? AND role = ?", name, role)
    tx.write(
        "INSERT INTO invitation VALUES (?, ?, ?, ?)",
        hash_secret(code),
        role,
        name,
        tx.seconds + INVITATION_LIFE,
    )
    if role == "signer":
        tx.append(SignerInvited(signer=name), by)
    else:
        tx.append(AccountInvited(account=name, role=role), by)
    return code


def look_at_invitation(tx: Transaction, code: str) -> tuple[str, str]:
    """Return the role and name a code is for, without using it."""
    row = tx.row("SELECT role, name, expires FROM invitation WHERE code_hash = ?", hash_secret(code))
    if not row or row["expires"] <= tx.seconds:
        raise Forbidden("this invitation is not valid (any more); ask an administrator for another")
    return row["role"], row["name"]


def open_invitations(tx: Transaction) -> list[tuple[str, str, int]]:
    """Return role, name and end (Unix seconds) of what can still be enrolled with; the last to end first."""
    rows = tx.rows(
        "SELECT role, name, expires FROM invitation WHERE expires > ? ORDER BY expires DESC", tx.seconds
    )
    return [(row["role"], row["name"], row["expires"]) for row in rows]


def enrol(tx: Transaction, code: str, kdf: Kdf, verifier: bytes, slot: Slot | None) -> Account:
    """Use an invitation: make its account, for an owner with a first slot."""
    role, name = look_at_invitation(tx, code)
    tx.write("DELETE FROM invitation WHERE code_hash = ?", hash_secret(code))
    if role == "signer" or (role == "owner") != (slot is not None) or (slot and slot.owner != name):
        raise Conflict("the invitation is for another kind of account")
    public = str(slot.owner_public) if slot else ""
    account = Account(name, role, kdf, verifier, public, disabled=False)
    _insert_account(tx, account)
    if slot:
        tx.write("INSERT INTO slot VALUES (?, ?, ?)", name, slot.id, bytes(slot))
    return account


def _insert_account(tx: Transaction, account: Account) -> None:
    if tx.row("SELECT 1 FROM account WHERE name = ?", account.name):
        raise Conflict(f"{account.name} is enrolled already")
    tx.write(
        "INSERT INTO account VALUES (?, ?, ?, ?, ?, 0)",
        account.name,
        account.role,
        json.dumps(kdf_parameters(account.kdf)),
        account.verifier,
        account.public,
    )
    event = AccountEnrolled(account=account.name, role=account.role, public=account.public)
    tx.append(event, Actor.model_validate({"role": account.role, "name": account.name}))


def find_account(tx: Transaction, name: str) -> Account | None:
    row = tx.row("SELECT * FROM account WHERE name = ?", name)
    return _account(row) if row else None


def list_accounts(tx: Transaction) -> list[Account]:
    return [_account(row) for row in tx.rows("SELECT * FROM account ORDER BY name")]


def _account(row: Mapping[str, Any]) -> Account:
    return Account(
        name=str(row["name"]),
        role=str(row["role"]),
        kdf=parse_kdf(json.loads(str(row["kdf"]))),
        verifier=bytes(row["verifier"]),
        public=str(row["public"]),
        disabled=bool(row["disabled"]),
    )


def disable(tx: Transaction, name: str, by: Actor) -> list[Ended]:
    """Shut an account out and revoke what it lent; return the leases that end with it."""
    account = find_account(tx, name)
    if account is None:
        raise NotFound(f"there is no account {name}")
    if account.name == by.name:
        raise Conflict("you cannot disable the account you are using")
    if account.disabled:
        return []
    tx.write("UPDATE account SET disabled = 1 WHERE name = ?", name)
    tx.write("DELETE FROM session WHERE name = ?", name)
    tx.append(AccountDisabled(account=name), by)
    return revoke_all(tx, name, by)


def owner_slots(tx: Transaction, owner: str) -> list[Slot]:
    rows = tx.rows("SELECT body FROM slot WHERE owner = ? ORDER BY id", owner)
    return [parse_slot(bytes(row["body"])) for row in rows]


def password_slot(tx: Transaction, owner: str) -> Slot:
    """Return the slot that the owner's password opens. Raises CannotOpen if there is none."""
    slot = next((each for each in owner_slots(tx, owner) if each.kind == "password"), None)
    if slot is None:
        raise CannotOpen(f"{owner} has no password slot; use a device key or a passkey")
    return slot


def check_patience(tx: Transaction, name: str, address: str, *, whole_address: bool = True) -> None:
    """Raise TooMany while this account from this address, or this `whole_address`, has to wait.

    An account as such never has to: a stranger could keep its owner from revoking.
    """
    here = tx.row("SELECT count, last FROM failure WHERE account = ? AND address = ?", name, address)
    there = tx.rows("SELECT sum(count) AS count, max(last) AS last FROM failure WHERE address = ?", address)[
        0
    ]
    for row, free in ((here, FREE_TRIES), (there if whole_address else None, FREE_TRIES_OF_ADDRESS)):
        if row and row["count"] and row["count"] >= free:
            wait = row["last"] + min(2 ** min(row["count"] - free, 16), MAX_WAIT) - tx.seconds
            if wait > 0:
                raise TooMany(f"too many failed logins; try again in {wait} s", retry_after=wait)


def login_failed(tx: Transaction, name: str, address: str) -> None:
    """Count a failed login; the history hears of it, folded, by a hash of the account's name if it exists."""
    tx.write(
        "INSERT INTO failure VALUES (?, ?, 1, ?, 0) ON CONFLICT DO UPDATE SET count = count + 1, last = ?",
        name,
        address,
        tx.seconds,
        tx.seconds,
    )
    if untold_failures(tx):
        tell_of_failures(tx)


def untold_failures(tx: Transaction) -> bool:
    """Say whether it is time to tell the history of failed logins."""
    told = tx.row("SELECT value FROM meta WHERE name = 'login.failed'")
    due = told is None or int(told["value"]) + FOLD <= tx.seconds
    return due and bool(tx.row("SELECT 1 FROM failure WHERE count > told"))


def tell_of_failures(tx: Transaction) -> None:
    """Tell the history of failed logins, of all names without an account in one entry; forget the oldest."""
    for row in tx.rows(
        "SELECT coalesce(name, '') AS name, sum(count - told) AS count FROM failure"
        " LEFT JOIN account ON name = account WHERE count > told GROUP BY 1"
    ):
        digest = hashlib.sha256(row["name"].encode()).hexdigest() if row["name"] else ""
        tx.append(LoginFailed(account_sha256=digest, count=row["count"]))
    tx.write("UPDATE failure SET told = count")
    tx.write("DELETE FROM failure WHERE last < ?", tx.seconds - MAX_WAIT)
    tx.write(
        "DELETE FROM failure WHERE rowid IN (SELECT failure.rowid FROM failure LEFT JOIN account"
        " ON name = account WHERE name IS NULL ORDER BY last DESC LIMIT -1 OFFSET ?)",
        MOST_STRANGERS,
    )
    tx.write("INSERT OR REPLACE INTO meta VALUES ('login.failed', ?)", str(tx.seconds))


def login_succeeded(tx: Transaction, name: str, address: str) -> None:
    """Forget the failures before this login; those the history does not know go there first."""
    tell_of_failures(tx)
    tx.write("DELETE FROM failure WHERE account = ? AND address = ?", name, address)


def has_failures(tx: Transaction, name: str, address: str) -> bool:
    return bool(tx.row("SELECT 1 FROM failure WHERE account = ? AND address = ?", name, address))


def check_verifier(tx: Transaction, name: str, verifier: bytes) -> None:
    """Raise Unauthenticated if what `verifier` was compared with to prove `name` is not there any more."""
    if not tx.row("SELECT 1 FROM account WHERE name = ? AND verifier = ? AND NOT disabled", name, verifier):
        raise Unauthenticated("the name or the password is not right (any more)")


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
