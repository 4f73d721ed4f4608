"""What a signer has borrowed: how much it asks for, and a lease while it is open."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from custodian.terms import Constraints, Purpose
from signer.holders import Channel


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How a signer borrows: `uses` at first, doubling to `most_uses` while they go fast."""

    uses: int = 10
    most_uses: int = 10_000
    seconds: int = 300
    idle: float = 60.0  # seconds without a signature after which a lease is given back
    grace: float = 5.0  # seconds the custodian may be silent before every key is wiped


@dataclass(slots=True)
class OpenLease:
    id: str
    uses: int
    end: float  # Unix time
    constraints: Sequence[Constraints]
    channel: Channel
    pid: int
    measures: list[dict[str, Any]]
    opened: float = field(default_factory=time.monotonic)
    last_used: float = field(default_factory=time.monotonic)
    taken: int = 0
    retired: bool = False

    def admits(self, purpose: Purpose) -> bool:
        return (
            not self.retired
            and self.taken < self.uses
            and self.end > time.time()
            and all(each.refusal(purpose) is None for each in self.constraints)
        )

    def take(self) -> int:
        """Take a use; return its number in the lease, from 1."""
        self.taken += 1
        self.last_used = time.monotonic()
        return self.taken
