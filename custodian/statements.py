"""What is signed to sign in: a text that only we could have written, good for two minutes and once.

    custodian/session/v1 <origin> <instant> <nonce> <hmac>

We keep none of those we hand out, so asking for them costs us nothing. Those that somebody signed well are
remembered until they are too old anyway. The key of the HMAC lives as long as the process.
"""

import hmac
from datetime import UTC, datetime, timedelta

from custodian.encoding import format_instant, parse_instant
from custodian.errors import Unauthenticated

VERSION = "custodian/session/v1"
LIFE = timedelta(minutes=2)


class Statements:
    """Use it from one thread."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._used: dict[str, datetime] = {}  # the nonce -> when the statement is too old

    def make(self, origin: str, now: datetime, nonce: bytes) -> str:
        said = f"{VERSION} {origin} {format_instant(now)} {nonce.hex()}"
        return f"{said} {self._seal(said)}"

    def check(self, statement: str, origin: str, now: datetime) -> None:
        """Raise Unauthenticated unless we wrote it for `origin`, lately, and nobody has used it."""
        said, _, seal = statement.rpartition(" ")
        if not hmac.compare_digest(seal.encode(), self._seal(said).encode()):
            raise Unauthenticated("this statement is not of this custodian; ask for another to sign in")
        _, of, instant, nonce = said.split(" ")  # ours, so it has these parts
        made = parse_instant(instant, "statement")
        if of != origin or not made <= now < made + LIFE or nonce in self._used:
            raise Unauthenticated("this statement is too old or was used; ask for another to sign in")

    def use(self, statement: str, now: datetime) -> None:
        """Remember a statement that was checked and signed well: it is good once."""
        self._used = {nonce: until for nonce, until in self._used.items() if until > now}
        _, _, instant, nonce, _ = statement.split(" ")
        self._used[nonce] = parse_instant(instant, "statement").astimezone(UTC) + LIFE

    def _seal(self, said: str) -> str:
        return hmac.digest(self._key, said.encode(), "sha256").hex()
