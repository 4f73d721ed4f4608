"""The signer as a witness of the history: no key opens but for a lease that the history has.

The broker holds each lease against its `lease.granted` entry, the entry against a receipt, and the
receipt's checkpoint against the last one seen. Each lease needs an entry of its own, later than the one
before: shares that were sent once open nothing again. A custodian that dropped, changed or reordered an
entry, or showed this signer another history than it showed before, cannot lend to it.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from custodian.checkpoint import Checkpoint, follows, open_checkpoint, open_receipt
from custodian.encoding import decode_base64, format_instant, parse_json_object
from custodian.errors import FormatError, Untrusted
from custodian.keyholder import Lease
from custodian.merkle import EMPTY_ROOT, Head
from custodian.note import VerifyKey
from custodian.sealing import PublicKey


class Witness:
    """What was seen of the history so far."""

    def __init__(self, log: VerifyKey, seen: Checkpoint | None) -> None:
        self._log, self._seen = log, seen
        self._last = -1  # index of the last lease's entry

    @property
    def size(self) -> int:
        """Return the size of the history in the last checkpoint seen; 0 for none."""
        return self._seen.head.size if self._seen else 0

    def accept(self, entry: bytes, receipt: bytes, consistency: Sequence[str]) -> None:
        """Take the entry of a new lease.

        Raises:
            Untrusted: it is not in the history, is not new, or the history is not the one seen before.
        """
        opened = open_receipt(receipt, entry=entry, log=self._log)
        proof = [decode_base64(each, "consistency") for each in consistency]
        nothing = Checkpoint(opened.checkpoint.origin, Head(0, EMPTY_ROOT))
        follows(self._seen or nothing, opened.checkpoint, proof)
        if opened.index <= self._last:
            raise Untrusted("the lease is not a new one; each opening needs an entry of its own")
        self._last, self._seen = opened.index, opened.checkpoint


def check_entry(entry: bytes, lease: Lease, recipient: PublicKey) -> None:
    """Raise Untrusted unless `entry` is the `lease.granted` of this very lease."""
    terms = [each for each, _ in lease.shares]
    expected = {
        "type": "lease.granted",
        "lease": lease.id,
        "key_id": lease.envelope.facts.id,
        "recipient": str(recipient),
        "uses": lease.uses,
        "end": format_instant(datetime.fromtimestamp(lease.end, UTC)),
    }
    try:
        told = parse_json_object(entry, "entry")
        spent = sorted(each["delegation"] for each in told["spent"])
        right = all(told[name] == value for name, value in expected.items())
        right = right and {told["signer"]} == {each.signer for each in terms}
        right = right and spent == sorted(each.id for each in terms)
    except (KeyError, TypeError, FormatError):
        right = False
    if not right:
        raise Untrusted("the history does not tell of this lease")


class CheckpointFile:
    """Where the last checkpoint seen outlives this process."""

    def __init__(self, path: Path, log: VerifyKey) -> None:
        self._path = path
        self.note = path.read_bytes() if path.exists() else b""
        self.size = open_checkpoint(self.note, log).head.size if self.note else 0

    def keep(self, receipt: bytes, size: int) -> None:
        """Keep the checkpoint of a receipt that the broker has accepted."""
        if size <= self.size:
            return
        fresh = self._path.with_suffix(".new")
        self.note = receipt.partition(b"\n\n")[2]
        with fresh.open("wb") as file:
            file.write(self.note)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self.size = size
