"""`scripts/bench memory`: what the signer and the custodian take while nothing happens."""

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import processes
from benchmarks.lease import Signer
from benchmarks.ours import Ours
from benchmarks.report import Table

AIM = 120  # MB, the whole signer
REST = 2.0  # seconds; what the start left behind is given back by then


def measure(directory: Path, say: Callable[[str], None]) -> Table:
    """Measure both daemons without and with one open key."""
    say("setting up")
    table = Table("Memory at rest, MB (10^6 bytes)", ("state", "process", "RSS", "PSS"))
    with Ours(directory / "memory") as ours:
        time.sleep(REST)
        total = _add(table, "no key open", ours)
        ours.lend()
        Signer(ours)()
        time.sleep(REST)
        total_open = _add(table, "one key open", ours)
    if total is None or total_open is None:
        table.notes.append("PSS is shown to root only, since these processes are not dumpable; run as root")
    else:
        verdict = "met" if max(total, total_open) <= AIM else "missed"
        table.notes.append(f"aim: the whole signer at most {AIM} MB of PSS: {verdict}")
    table.notes.append(
        "PSS counts a page shared by n processes 1/n to each, so that a sum is right; RSS does not"
    )
    return table


def _add(table: Table, state: str, ours: Ours) -> float | None:
    """Add a row for each process and for each daemon; return the signer's PSS."""
    custodian, signer = ours.processes
    broker = ours.status()["broker"]["pid"]
    holders, opened = processes.tree(broker) - {broker}, set(ours.open_keyholders())
    names = {broker: "signer: broker", signer.pid: "signer: API", custodian.pid: "custodian"}
    names |= dict.fromkeys(holders - opened, "signer: spare keyholder")
    names |= dict.fromkeys(opened, "signer: keyholder with the key")
    pss: float | None = None
    for root, whole in ((signer.pid, "signer, whole"), (custodian.pid, "custodian, whole")):
        measured = {pid: processes.memory(pid) for pid in sorted(processes.tree(root))}
        for pid, each in measured.items():
            kind = "signer: front end" if root == signer.pid else "custodian: opener"
            table.add(state, names.get(pid, kind), f"{each.rss:.1f}", _cell(each.pss))
        total = _sum([each.pss for each in measured.values()])
        table.add(state, whole, f"{sum(each.rss for each in measured.values()):.1f}", _cell(total))
        pss = total if root == signer.pid else pss
    return pss


def _sum(values: list[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) if len(known) == len(values) else None


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
