"""How leases and delegations end before their time."""

from custodian.delegations import LENT, Lent, find_delegation, parse_lent
from custodian.errors import Forbidden
from custodian.events import Actor, DelegationRevoked, LeaseEnded
from custodian.store import Transaction

Ended = tuple[str, str]  # a signer and one of its leases
SLACK = 60  # seconds a signer has to close a lease after its end


def revoke(tx: Transaction, owner: str, delegation: str) -> list[Ended]:
    """Revoke a delegation of `owner`; return the leases that end with it. Twice is not an error."""
    lent = find_delegation(tx, delegation)
    if lent.delegation.terms.owner != owner:
        raise Forbidden("only the owner who delegated can revoke")
    return revoke_lent(tx, lent, Actor(role="owner", name=owner))


def revoke_all(tx: Transaction, owner: str, by: Actor) -> list[Ended]:
    """Revoke whatever `owner` lent and is not over."""
    rows = tx.rows(f"{LENT} WHERE owner = ? AND ends > ?", owner, tx.seconds)
    return [lease for row in rows for lease in revoke_lent(tx, parse_lent(row), by)]


def revoke_lent(tx: Transaction, lent: Lent, by: Actor) -> list[Ended]:
    """Revoke what was lent, in the name of `by`; return the leases that end with it."""
    delegation = lent.delegation
    if delegation.revoked:
        return []
    tx.write("UPDATE delegation SET revoked = 1 WHERE id = ?", delegation.terms.id)
    tx.append(DelegationRevoked(id=delegation.terms.id, left=delegation.left), by)
    where = "id IN (SELECT lease FROM lease_delegation WHERE delegation = ?)"
    return end_leases(tx, where, delegation.terms.id, reason="revoked")


def end_leases(tx: Transaction, where: str, *values: object, reason: str) -> list[Ended]:
    """End the leases that `where` (a constant of ours) picks and are not over; nothing returns."""
    rows = tx.rows(f"SELECT id, signer FROM lease WHERE ended = '' AND {where}", *values)  # noqa: S608
    for row in rows:
        end_lease(tx, row["id"], reason, 0)
    return [(row["signer"], row["id"]) for row in rows]


def expired_leases(tx: Transaction) -> bool:
    """Say whether there are leases that nobody closed although they are over."""
    return bool(tx.row("SELECT 1 FROM lease WHERE ended = '' AND ends < ?", tx.seconds - SLACK))


def end_expired_leases(tx: Transaction) -> list[Ended]:
    """End the leases that nobody closed although they are over."""
    return end_leases(tx, "ends < ?", tx.seconds - SLACK, reason="expired")


def end_lease(tx: Transaction, lease_id: str, reason: str, returned: int) -> None:
    tx.write("UPDATE lease SET ended = ? WHERE id = ?", reason, lease_id)
    tx.append(LeaseEnded.model_validate({"lease": lease_id, "reason": reason, "returned": returned}))
