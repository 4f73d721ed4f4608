"""`scripts/bench lease`: from the request that finds no key open to its signature.

Nothing is open and nothing is owed when the request comes: the signer gives a lease back when it was idle
for a moment, and the next request waits for that.
"""

import http.client
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from demo import make_csr

from benchmarks.ours import KEY, Caller, Ours
from benchmarks.report import Table, spread

IDLE = 0.2  # seconds; longer than a request, so that no lease ends under it
SPARE = 0.3  # seconds; the broker has its next spare keyholder ready by then
AIM = 25  # ms
PURPOSE = {"profile": "server", "names": ["www.example.com"], "validity": 2_592_000, "ca": False}


def measure(directory: Path, count: int, say: Callable[[str], None]) -> Table:
    """Measure `count` openings of the key."""
    say("setting up")
    cold, warm, answered = [], [], []
    with Ours(directory / "lease", idle=IDLE) as ours:
        ours.lend()
        custodian, sign = ours.as_signer(), Signer(ours)
        sign()  # connections, caches
        for number in range(count):
            say(f"opening {number + 1} of {count}")
            ours.settle(closed=True)
            time.sleep(SPARE)
            answered.append(_ask_and_give_back(ours, custodian))
            cold.append(sign())
            warm.append(sign())
    return _table(cold, warm, answered)


class Signer:
    """A kept connection to the signer that times one request for a certificate, in ms."""

    def __init__(self, ours: Ours) -> None:
        address = urlsplit(ours.signer_url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
        self._body = json.dumps({"certificate_request": make_csr(), "profile": "server"})

    def __call__(self) -> float:
        start = time.perf_counter()
        self._connection.request("POST", "/api/v1/cfssl/sign", self._body)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"no certificate: {content.decode()}")
        return 1000 * (time.perf_counter() - start)


def _ask_and_give_back(ours: Ours, custodian: Caller) -> float:
    """Ask the custodian for a lease as the signer would; return the ms until it answered."""
    question = {
        "request": secrets.token_hex(16),
        "key": KEY,
        "recipient": ours.status()["recipient"],
        "purpose": PURPOSE,
        "uses": 10,
        "seconds": 300,
    }
    start = time.perf_counter()
    lease = custodian("POST", "/leases", question)["id"]
    took = 1000 * (time.perf_counter() - start)
    custodian("POST", f"/leases/{lease}/close", {"used": 0})
    return took


def _table(cold: list[float], warm: list[float], answered: list[float]) -> Table:
    table = Table(
        f"From the request to the first signature, nothing open before ({len(cold)} times)",
        ("ms", "median", "p99", "max"),
    )
    table.add("request to first signature, in all", *spread(cold))
    table.add("custodian: judge, spend, write, commit, answer", *spread(answered))
    table.add("signature with the key open, over HTTP, record synced", *spread(warm))
    rest = [total - ask - sign for total, ask, sign in zip(cold, answered, warm, strict=True)]
    table.add("the rest: check the receipt, keep it, open in a keyholder", *spread(rest))
    verdict = "met" if median(cold) <= AIM else "missed"
    table.notes.append(f"aim: median of the first row at most {AIM} ms: {verdict}")
    table.notes.append(
        "the second row is asked for by this program, with the signer's token; the rest is computed"
    )
    return table
