"""The signer as a witness of the history: it keeps the last checkpoint and lets only its successors in.

A custodian that dropped, changed or reordered an entry cannot lend to a signer that saw it.
"""

import os
from pathlib import Path

from custodian.checkpoint import Checkpoint, follows, open_checkpoint, open_receipt
from custodian.encoding import decode_base64
from custodian.merkle import EMPTY_ROOT, Head
from custodian.note import VerifyKey


class Witness:
    """The last checkpoint seen, kept in a file."""

    def __init__(self, path: Path, log: VerifyKey) -> None:
        self._path, self._log = path, log
        self._seen = open_checkpoint(path.read_bytes(), log) if path.exists() else None

    @property
    def size(self) -> int:
        """Return the size of the history in the last checkpoint seen; 0 for none."""
        return self._seen.head.size if self._seen else 0

    def accept(self, entry: bytes, receipt: bytes, consistency: list[str]) -> None:
        """Take a lease's receipt.

        Raises:
            Untrusted: the entry is not in the history, or the history is not the one seen before.
        """
        checkpoint = open_receipt(receipt, entry=entry, log=self._log).checkpoint
        proof = [decode_base64(each, "consistency") for each in consistency]
        nothing = Checkpoint(checkpoint.origin, Head(0, EMPTY_ROOT))
        follows(self._seen or nothing, checkpoint, proof)
        if checkpoint.head.size > self.size:
            self._keep(receipt.partition(b"\n\n")[2])
        self._seen = checkpoint

    def _keep(self, note: bytes) -> None:
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
