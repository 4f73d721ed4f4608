"""The one thing the CA asks of whoever holds its key."""

from typing import Protocol

from signer.issue import Prepared


class KeySource(Protocol):
    async def sign(self, prepared: Prepared) -> bytes:
        """Return the signature over `prepared.tbs` by the CA key, with `prepared.algorithm`.

        ECDSA signatures are in DER, the others raw. Raises QuorumMissing when too few owners lend
        the key, Forbidden when they do not lend it for this certificate, Unavailable when the key
        cannot be reached. Whatever must be on record before a signature exists is recorded here.
        """
        ...
