"""What was answered is on disk: kills at any moment, a full disk, and counts that replay."""

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bench import KEY, Bench, FakeClock, entry, make_bench, open_store, size
from running import World, make_world

from custodian.checkpoint import open_receipt
from custodian.store import create_database

LOG = KEY.verify_key
DAEMON_KILLS = int(os.environ.get("DAEMON_KILLS", "3"))  # each takes a second, for the new start


# -- what is answered is on disk

FAILING_COMMIT = """
import os, resource, sys
from pathlib import Path
from bench import open_store, FakeClock
from custodian.events import AccountDisabled
store = open_store(Path(sys.argv[1]), FakeClock())
with store.transaction() as tx:
    tx.append(AccountDisabled(account="kept"))
print("kept", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
with store.transaction() as tx:
    for _ in range(20):
        tx.append(AccountDisabled(account="x" * 1000))
print("answered", flush=True)
"""


def test_a_commit_that_fails_ends_the_process_before_any_answer(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "custodian.db"
    create_database(path)
    child = subprocess.run(
        [sys.executable, "-c", FAILING_COMMIT, path, str(40_000)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(["tests", "."])},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.returncode, child.stdout) == (70, "kept\n"), child.stderr
    store = open_store(path, clock)
    assert size(store) == 1
    assert open_receipt(store.receipt(0), entry=entry(store, 0), log=LOG).index == 0
    store.close()


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("crashing") / "state")


def test_every_lease_that_was_acknowledged_survives_a_kill(crashing: World) -> None:
    """SIGKILL of the daemon in the middle of a load of leases, as often as DAEMON_KILLS says."""
    world, acknowledged = crashing, dict[str, str]()
    delegations = world.lend("alice", "bob", uses=100_000, duration="2h")
    for kill in range(DAEMON_KILLS):
        _load(world, acknowledged, kill_after=random.Random(kill).uniform(0.05, 0.3))  # noqa: S311
        world.daemon.start()
    assert acknowledged
    history = world.history()
    granted = check_spending(history, delegations, 100_000, world.left(*delegations))
    assert set(acknowledged.values()) <= granted
    for request, lease in list(acknowledged.items())[-5:]:
        assert world.signer.ask(request).ok()["id"] == lease
    assert world.daemon.stop() == 0


def check_spending(
    history: list[dict[str, Any]], delegations: list[str], uses: int, left: list[int]
) -> set[str]:
    """Replay the history: every count follows from the one before, and the last is what is left."""
    granted = [each for each in history if each["type"] == "lease.granted"]
    for delegation, at_the_end in zip(delegations, left, strict=True):
        count = uses
        for each in granted:
            spent = next(one for one in each["spent"] if one["delegation"] == delegation)
            assert (spent["before"], spent["after"]) == (count, count - each["uses"])
            count = spent["after"]
        assert count == at_the_end
    return {each["lease"] for each in granted}


def test_every_lease_that_was_committed_survives_a_kill_at_any_moment(
    tmp_path: Path, clock: FakeClock
) -> None:
    """Twenty rounds in which only the store and the lease run, so that most kills hit a commit."""
    path, acknowledged = tmp_path / "custodian.db", set[str]()
    bench = make_bench(path, clock)
    delegations = [bench.lend(owner, uses=1_000_000) for owner in ("alice", "bob")]
    for kill in range(20):
        bench.store.close()
        acknowledged |= _leases_until_killed(bench, kill, random.Random(kill).uniform(0.01, 0.1))  # noqa: S311
        bench.store = open_store(path, clock)
    left = [bench.left(each) for each in delegations]
    granted = check_spending(bench.entries(), delegations, 1_000_000, left)
    assert len(acknowledged) > 20
    assert acknowledged <= granted
    for old in range(1, bench.size, 97):
        bench.store.consistency(old)
    last = bench.size - 1
    assert open_receipt(bench.store.receipt(last), entry=entry(bench.store, last), log=LOG).index == last
    bench.store.close()


def _leases_until_killed(bench: Bench, kill: int, seconds: float) -> set[str]:
    """Fork a process that takes leases and says so in a pipe; kill it; return those it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        bench.store = open_store(bench.path, bench.clock)
        for n in range(100_000):
            os.write(writing, f"{bench.lease(f'request-{kill}-{n}')}\n".encode())
        os._exit(0)
    os.close(writing)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return {line.strip() for line in said if line.endswith("\n")}


def _load(world: World, acknowledged: dict[str, str], kill_after: float) -> None:
    def ask() -> None:
        for n in range(10_000):
            request = f"{threading.get_ident()}-{len(acknowledged)}-{n}"
            try:
                answer = world.signer.ask(request)
            except OSError:
                return
            acknowledged[request] = answer.ok()["id"]

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    threads[0].join(kill_after)
    world.daemon.stop(signal.SIGKILL)
    for thread in threads:
        thread.join()


def test_a_daemon_whose_disk_is_full_answers_nothing_it_did_not_keep(crashing: World) -> None:
    world = crashing
    world.daemon.start()
    world.lend("alice", "bob", uses=1000, duration="2h")
    wal = world.daemon.directory / "custodian.db-wal"
    resource.prlimit(world.daemon.pid, resource.RLIMIT_FSIZE, (wal.stat().st_size + 30_000, -1))
    acknowledged: list[str] = []
    with contextlib.suppress(OSError):
        while len(acknowledged) < 1000:
            acknowledged.append(world.signer.ask().ok()["id"])
    assert world.daemon.process is not None
    assert world.daemon.process.wait(10) == 70
    world.daemon.process.stdout.close()  # type: ignore[union-attr]
    assert "a commit failed: the state is unknown, stopping" in world.daemon.log.read_text()
    world.daemon.start()
    assert set(acknowledged) <= {each.get("lease") for each in world.history()}
    world.daemon.stop()
