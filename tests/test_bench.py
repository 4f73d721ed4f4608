"""scripts/bench runs and counts rightly. Nothing here looks at a time: a slow machine fails no test."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
sys.path.append(str(SCRIPTS))
load, processes, report = (import_module(f"benchmarks.{name}") for name in ("load", "processes", "report"))

needs_commands = pytest.mark.skipif(
    not Path(sys.executable).with_name("signer").exists(), reason="the commands are not installed"
)


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "bench.py"), *arguments], capture_output=True, text=True, check=False
    )


@contextmanager
def server_that_answers(*answers: bytes) -> Iterator[tuple[str, int]]:
    """Serve one connection after another; each request gets the next answer, the last one for ever."""

    def serve(listener: socket.socket) -> None:
        left = [*answers]
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while connection.recv(65_536):
                    connection.sendall(left[0])
                    if len(left) > 1:
                        left.pop(0)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def run_load(address: tuple[str, int]) -> Any:
    run = load.Load(address, b"GET / HTTP/1.1\r\n\r\n")
    run.run(1, 0.05)
    return run


FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


def test_the_load_generator_counts_each_answer_once() -> None:
    with server_that_answers(FINE) as address:
        run = run_load(address)
    assert run.latencies
    assert not run.errors


def test_an_answer_that_is_no_success_is_an_error_and_no_signature() -> None:
    with server_that_answers(BUSY, BUSY, BUSY, FINE) as address:
        run = run_load(address)
    assert run.errors == {"503": 3}
    assert run.latencies


def test_a_refusing_server_gives_no_figure() -> None:
    with server_that_answers(BUSY) as address:
        run = run_load(address)
    assert not run.latencies
    assert run.errors["503"] > 0


@pytest.mark.parametrize(
    "answer",
    [FINE, BUSY, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"],
)
def test_an_answer_is_complete_at_its_last_byte_and_not_before(answer: bytes) -> None:
    assert load.is_complete(answer)
    assert not any(load.is_complete(answer[:size]) for size in range(len(answer)))


def test_a_tree_has_children_and_what_they_cost_after_they_ended() -> None:
    work = "import time\nwhile time.process_time() < 0.2: pass\n"
    line = f"{sys.executable} -c '{work}'; sleep 30; true"
    shell = subprocess.Popen(["/bin/sh", "-c", line])
    try:
        while processes.cpu_ms([shell.pid]) < 150:  # until the child has ended, and a little after
            assert len(processes.tree(shell.pid)) <= 2
            assert shell.poll() is None
            time.sleep(0.02)
        while len(processes.tree(shell.pid)) < 2:
            assert shell.poll() is None
            time.sleep(0.02)
        assert processes.tree(shell.pid) < processes.tree(os.getpid())
    finally:
        for pid in sorted(processes.tree(shell.pid), reverse=True):
            os.kill(pid, signal.SIGKILL)
        shell.wait()


def test_a_process_that_is_gone_costs_nothing_and_has_no_tree() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert processes.tree(done.pid) == set()
    assert processes.cpu_ms([done.pid]) == 0


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(each) for each in range(1, 101)]
    assert report.percentile(values, 0.99) == 100
    assert report.percentile(values, 0) == 1
    assert report.percentile([7.0], 0.99) == 7


def test_a_table_has_the_same_cells_in_columns_and_in_markdown() -> None:
    table = report.Table("Times", ("what", "ms"), notes=["on a quiet day"])
    table.add("first", 1.5)
    assert str(table) == "\nTimes\nwhat   ms\nfirst  1.5\non a quiet day"
    assert table.markdown() == (
        "\n**Times**\n\n| what | ms |\n| --- | --- |\n| first | 1.5 |\n\n- on a quiet day"
    )


def test_help_shows_what_to_measure_and_how() -> None:
    told = run_bench("--help").stdout
    for what in (
        "sign",
        "lease",
        "revoke",
        "memory",
        "viewers",
        "scripts/bench sign --algorithms ecdsa-p256",
    ):
        assert what in told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("sign", "--algorithms", "dsa"), "there is no 'dsa'"),
        (("sign", "--clients", "1,0"), "'0' is not a number from 1"),
        (("sign", "--seconds", "nan"), "'nan' is not a time"),
        (("sign", "--endpoint", "info"), "there is no 'info'"),
        (("sign", "--cfssl", "/nowhere/cfssl"), "cannot be run"),
        (("revoke", "--count", "-1"), "-1"),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[str, ...], why: str) -> None:
    done = run_bench(*arguments)
    assert done.returncode == 2
    assert why in done.stderr


@needs_commands
def test_signing_is_measured_with_and_without_synced_records(tmp_path: Path) -> None:
    short = ("--seconds", "0.1", "--rounds", "1", "--clients", "1", "--endpoint", "authsign")
    done = run_bench("sign", "--algorithms", "ecdsa-p256", *short, "--markdown", "--dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ecdsa-p256")]
    assert [row[3] for row in rows[:2]] == ["ours", "ours, no sync"]
    assert all(row[-1] == "0 |" and float(row[4]) > 0 for row in rows)
    assert "load average" in done.stdout
    assert not [*tmp_path.iterdir()], "the servers' state was left behind"


@needs_commands
@pytest.mark.parametrize(
    ("what", "rows"),
    [
        (("lease", "--count", "1"), 4),
        (("revoke", "--count", "1"), 2),
        (("memory",), 10),
        (("viewers", "--viewers", "20", "--count", "1"), 3 + 4),
    ],
)
def test_the_other_measurements_give_a_table(what: tuple[str, ...], rows: int, tmp_path: Path) -> None:
    done = run_bench(*what, "--markdown", "--dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    cells = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(cells) >= 2 + rows
    assert "aim: " in done.stdout or "run as root" in done.stdout
