"""Records of signatures: what a signer made under its leases, each once in the history."""

from dataclasses import dataclass
from datetime import datetime

from custodian.encoding import format_instant
from custodian.errors import BadInput
from custodian.events import Actor, SignatureRecorded
from custodian.store import Transaction


@dataclass(frozen=True, slots=True)
class Signature:
    """A signer's record of one signature, made before the signature left it."""

    lease: str
    number: int
    tbs_sha256: str
    serial: str
    profile: str
    names: tuple[str, ...]
    not_after: datetime


def record(tx: Transaction, signer: str, signatures: list[Signature]) -> int:
    """Write signatures into the history, each once; return how many were new."""
    new = 0
    for signature in signatures:
        row = tx.row(
            "SELECT coalesce(used, uses) AS most FROM lease WHERE id = ? AND signer = ?",
            signature.lease,
            signer,
        )
        if not row or not 1 <= signature.number <= row["most"]:
            raise BadInput("records", f"{signature.lease} has no signature {signature.number}")
        if tx.write("INSERT OR IGNORE INTO signature VALUES (?, ?)", signature.lease, signature.number):
            new += 1
            tx.write("UPDATE lease SET owed = owed - 1 WHERE id = ? AND owed > 0", signature.lease)
            tx.append(_signature_event(signature), Actor(role="signer", name=signer))
    return new


def _signature_event(signature: Signature) -> SignatureRecorded:
    return SignatureRecorded(
        lease=signature.lease,
        number=signature.number,
        tbs_sha256=signature.tbs_sha256,
        serial=signature.serial,
        profile=signature.profile,
        names=list(signature.names),
        not_after=format_instant(signature.not_after),
    )


def records_owed(tx: Transaction, signer: str) -> int:
    """Return how many signatures of ended leases the signer said it made and has not recorded."""
    row = tx.rows("SELECT coalesce(sum(owed), 0) AS n FROM lease WHERE signer = ? AND owed > 0", signer)[0]
    return int(row["n"])
