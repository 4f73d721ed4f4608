"""`scripts/bench viewers`: from an owner's DELETE until every viewer of the live view has read of it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any, Self
from urllib.parse import urlsplit

from demo import ADMIN

from benchmarks import processes
from benchmarks.ours import BORROWERS, KEY, SIGNER, Caller, Ours
from benchmarks.report import Table, percentile

WATCH = Path(__file__).with_name("watch.py")
PER_PERSON = 16  # streams with one session; not all by one, nor each by its own
CROWDS = 2  # processes with viewers
WARM_UP = 5  # revocations that are not counted
AIM = 100  # ms, the median
AIM_MEMORY = 150  # MB, the custodian's processes
REST = 2.0  # seconds; what a burst left behind is given back by then


class Crowd:
    """Viewers in a process of their own."""

    def __init__(self, ours: Ours, tokens: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WATCH)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        address = urlsplit(ours.custodian_url)
        job = {"host": address.hostname, "port": address.port, "tokens": tokens}
        self._say(json.dumps(job | {"ca": str(ours.custodian_dir / "tls.pem")}))

    def ready(self) -> Self:
        self._hear()
        return self

    def expect(self, above: int) -> None:
        self._say(str(above))

    def times(self) -> list[float]:
        found: list[float] = json.loads(self._hear())
        return found

    def leave(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        if self._process.stdin:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def _hear(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise SystemExit("the viewers gave up")
        return line


def measure(directory: Path, viewers: int, count: int, say: Callable[[str], None]) -> Iterable[Table]:
    """Revoke `count` times while `viewers` watch."""
    with Ours(directory / "viewers") as ours:
        say("enrolling who watches")
        tokens = sign_in(ours, viewers)
        owner = as_session(ours, BORROWERS[0])
        time.sleep(REST)
        memory = {"nobody watches": custodian_memory(ours)}
        say("connecting")
        start = time.perf_counter()
        crowds = [Crowd(ours, tokens[number::CROWDS]) for number in range(CROWDS)]
        try:
            for each in crowds:
                each.ready()
            connected = time.perf_counter() - start
            time.sleep(REST)
            memory[f"{viewers} watch"] = custodian_memory(ours)
            taken = [_revoke(ours, owner, crowds, say, f"{n + 1} of {count}") for n in range(-WARM_UP, count)]
            time.sleep(REST)
            memory[f"{viewers} watch, after the revocations"] = custodian_memory(ours)
        finally:
            for each in crowds:
                each.leave()
        time.sleep(REST)
        memory["all have gone"] = custodian_memory(ours)
    yield _latency_table(taken[WARM_UP:], viewers, connected)
    yield _memory_table(memory)


def sign_in(ours: Ours, viewers: int) -> list[str]:
    """Enrol as many auditors as it takes and return a session for each viewer."""
    admin, anybody = ours.as_owner(ADMIN), Caller(ours, "")
    tokens: list[str] = []
    for number in range(-(-viewers // PER_PERSON)):
        name, password = f"watcher-{number}", f"a password of watcher {number}"
        code = admin("POST", "/invitations", {"role": "auditor", "name": name})["code"]
        anybody("POST", "/enrolments", {"invitation": code, "password": password})
        token = anybody("POST", "/sessions", {"name": name, "password": password})["token"]
        tokens += [token] * PER_PERSON
    return tokens[:viewers]


def as_session(ours: Ours, name: str) -> Caller:
    """Return a caller with a session, so that a revocation costs no password check."""
    session = Caller(ours, "")("POST", "/sessions", {"name": name, "password": ours.passwords[name]})
    return Caller(ours, f"Bearer {session['token']}")


def _revoke(
    ours: Ours, owner: Caller, crowds: list[Crowd], say: Callable[[str], None], which: str
) -> tuple[list[float], float]:
    """Lend, let all see it, revoke; return the ms until each viewer had read of it, and until the answer."""
    say(f"revocation {which}")
    before = _size(owner)
    for each in crowds:
        each.expect(before)
    wish = {"key": KEY, "signer": SIGNER, "uses": 10, "duration": "1h"}
    delegation = ours.as_owner(BORROWERS[0])("POST", "/delegations", wish)["id"]
    for each in crowds:
        each.times()
    time.sleep(0.5)  # no snapshot of the lending is on its way
    before = _size(owner)
    for each in crowds:
        each.expect(before)
    start = time.perf_counter()
    owner("DELETE", f"/delegations/{delegation}")
    answered = time.perf_counter()
    times = [at for each in crowds for at in each.times()]
    return [1000 * (at - start) for at in times], 1000 * (answered - start)


def _size(caller: Caller) -> int:
    return int(caller("GET", "/history?limit=0")["size"])


def custodian_memory(ours: Ours) -> tuple[float, float | None]:
    """Return RSS and PSS of all the custodian's processes, in MB."""
    found = [processes.memory(pid) for pid in processes.tree(ours.processes[0].pid)]
    known = [each.pss for each in found if each.pss is not None]
    return sum(each.rss for each in found), sum(known) if len(known) == len(found) else None


def _latency_table(taken: list[tuple[list[float], float]], viewers: int, connected: float) -> Table:
    every = [each for latencies, _ in taken for each in latencies]
    table = Table(
        f"A revocation, seen by {viewers} viewers ({len(taken)} times)", ("ms", "median", "p95", "max")
    )
    rows: dict[str, Any] = {
        "DELETE sent to a viewer having read of it, all viewers": every,
        "DELETE sent to the last viewer having read of it": [max(latencies) for latencies, _ in taken],
        "DELETE sent to its answer": [answered for _, answered in taken],
    }
    for what, values in rows.items():
        table.add(what, *(f"{each:.1f}" for each in (median(values), percentile(values, 0.95), max(values))))
    verdict = "met" if median(every) <= AIM else "missed"
    table.notes.append(f"aim: median of the first row at most {AIM} ms: {verdict}")
    table.notes.append(f"{viewers} TLS connections from one address, connected in {connected:.1f} s")
    return table


def _memory_table(memory: dict[str, tuple[float, float | None]]) -> Table:
    table = Table("Memory of the custodian's processes, MB (10^6 bytes)", ("state", "RSS", "PSS"))
    for state, (rss, pss) in memory.items():
        table.add(state, f"{rss:.1f}", "-" if pss is None else f"{pss:.1f}")
    known = [pss for _, pss in memory.values() if pss is not None]
    if len(known) == len(memory):
        verdict = "met" if max(known) <= AIM_MEMORY else "missed"
        table.notes.append(f"aim: at most {AIM_MEMORY} MB of PSS: {verdict}")
    else:
        table.notes.append("PSS is shown to root only, since these processes are not dumpable; run as root")
    return table
