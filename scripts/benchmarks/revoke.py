"""`scripts/bench revoke`: from the answer to an owner's DELETE until the process with the key is gone."""

import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from threading import Thread

from benchmarks.lease import Signer
from benchmarks.ours import BORROWERS, KEY, SIGNER, Caller, Ours
from benchmarks.report import Table, spread

AIM = 25  # ms
PATIENCE = 10.0  # seconds


class Death(Thread):
    """Learns from the kernel, by a pidfd, the moment a process ends; asleep until then."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pidfd = os.pidfd_open(pid)
        self.at: float | None = None  # on the clock of time.perf_counter
        self.start()

    def run(self) -> None:
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        if poller.poll(1000 * PATIENCE):
            self.at = time.perf_counter()
        os.close(self._pidfd)

    def awaited(self) -> float:
        self.join()
        if self.at is None:
            raise SystemExit(f"the key's process is still there {PATIENCE:g} s after the revocation")
        return self.at


def measure(directory: Path, count: int, say: Callable[[str], None]) -> Table:
    """Revoke `count` times while the key is open."""
    say("setting up")
    after_answer, after_request = [], []
    with Ours(directory / "revoke") as ours:
        ours.lend()
        owner, sign = ours.as_owner(BORROWERS[-1]), Signer(ours)
        delegation = owner("GET", f"/delegations?owner={BORROWERS[-1]}")[0]["id"]
        for number in range(count):
            say(f"revocation {number + 1} of {count}")
            sign()
            asked, answered, gone = _revoke(ours, owner, delegation)
            after_answer.append(1000 * (gone - answered))
            after_request.append(1000 * (gone - asked))
            delegation = owner("POST", "/delegations", _wish())["id"]
    return _table(after_answer, after_request)


def _revoke(ours: Ours, owner: Caller, delegation: str) -> tuple[float, float, float]:
    """Return when it was asked for, when it was answered, and when the last keyholder was gone."""
    deaths = [Death(pid) for pid in ours.open_keyholders()]
    asked = time.perf_counter()
    owner("DELETE", f"/delegations/{delegation}")
    answered = time.perf_counter()
    return asked, answered, max(death.awaited() for death in deaths)


def _wish() -> dict[str, object]:
    return {"key": KEY, "signer": SIGNER, "uses": 1000, "duration": "1h"}


def _table(after_answer: list[float], after_request: list[float]) -> Table:
    table = Table(
        f"Revocation, the key open ({len(after_answer)} times)",
        ("ms until the key is gone", "median", "p99", "max"),
    )
    table.add("after the owner's DELETE was answered", *spread(after_answer))
    table.add("after it was sent, password check included", *spread(after_request))
    verdict = "met" if median(after_answer) <= AIM else "missed"
    early = sum(each <= 0 for each in after_answer)
    table.notes.append(f"aim: median of the first row at most {AIM} ms: {verdict}")
    table.notes.append(f"in {early} of {len(after_answer)} the key was gone before the owner had the answer")
    return table
