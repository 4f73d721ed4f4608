"""`scripts/bench sign`: signatures per second over HTTP, of our signer and of a real `cfssl serve`.

Both get the same request, from the same clients, in short runs that alternate, so that the other work of
the machine hurts both alike.
"""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from demo import make_csr

from benchmarks import processes
from benchmarks.ours import Ours
from benchmarks.report import Table, percentile
from benchmarks.theirs import Cfssl, UnsupportedError

GENERATOR = Path(__file__).with_name("load.py")
WARM_UP = 1.0  # seconds before the first round: leases grow, caches fill
COLUMNS = (
    "CA key",
    "endpoint",
    "clients",
    "server",
    "sig/s",
    "p50 ms",
    "p99 ms",
    "CPU ms",
    "of which",
    "drain s",
    "sig/s ratio",
    "CPU ratio",
    "errors",
)
NOTES = (
    "sig/s, p50, p99, CPU: medians of the rounds; CPU of all processes of a server, per signature",
    "drain: seconds after a round until the custodian has every record of it; their CPU is counted",
    "ratios: ours to cfssl in sig/s, cfssl to ours in CPU; above 1 we are ahead",
    "cfssl keeps its key in a plain file and records nothing; `no sync` is ours with sync_records = false",
)


@dataclass(frozen=True, slots=True)
class Round:
    rate: float  # signatures per second
    p50: float  # ms
    p99: float  # ms
    cpu: Mapping[str, float]  # ms per signature, by part
    drain: float  # seconds
    errors: int


@dataclass(frozen=True, slots=True)
class Server:
    """One server under load: where it is, what it consists of, how long it works on afterwards."""

    name: str
    url: str
    parts: Callable[[], Mapping[str, set[int]]]
    settle: Callable[[], float]
    auth_key: str  # hex
    is_ours: bool
    rounds: list[Round] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Call:
    endpoint: str
    csr: str  # PEM
    clients: int


@dataclass(frozen=True, slots=True)
class Plan:
    algorithms: Sequence[str]
    clients: Sequence[int]
    endpoints: Sequence[str]
    seconds: float
    rounds: int
    cfssl: str | None  # a path; None: measure ours alone
    directory: Path


def measure(plan: Plan, say: Callable[[str], None]) -> Iterator[Table]:
    """Yield a table for each kind of CA key."""
    for algorithm in plan.algorithms:
        with ExitStack() as stack:
            table = Table(f"Signatures over HTTP, {algorithm} CA", COLUMNS)
            say(f"{algorithm}: setting up")
            servers = _start(stack, plan, algorithm, table)
            csr = make_csr()
            for endpoint, clients in product(plan.endpoints, plan.clients):
                say(f"{algorithm}: {endpoint}, {clients} client{'s' * (clients > 1)}")
                _run_rounds(servers, plan, Call(endpoint, csr, clients))
                for row in summarise(servers):
                    table.add(algorithm, endpoint, clients, *row)
            table.notes.extend(NOTES)
        yield table


def _start(stack: ExitStack, plan: Plan, algorithm: str, table: Table) -> list[Server]:
    """Start ours, ours without syncing and, if there is one for this kind of key, cfssl."""
    directory, servers = plan.directory / algorithm, []
    for name, sync in (("ours", True), ("ours, no sync", False)):
        ours = stack.enter_context(Ours(directory / f"sync-{sync}", algorithm, sync_records=sync))
        ours.lend()
        servers.append(
            Server(name, ours.signer_url, ours.parts, ours.settle, auth_key=ours.auth_key, is_ours=True)
        )
    if plan.cfssl is None:
        table.notes.append("no cfssl on the PATH: nothing to compare with; --cfssl names one")
        return servers
    theirs = Cfssl(plan.cfssl, directory / "cfssl", algorithm, ours.cfssl_policy())
    try:
        stack.enter_context(theirs)
    except UnsupportedError as error:
        table.notes.append(f"{error}: ours alone")
        return servers
    parts = {"cfssl": processes.tree(theirs.pid)}
    return [
        *servers,
        Server(theirs.name, theirs.url, lambda: parts, lambda: 0.0, auth_key=ours.auth_key, is_ours=False),
    ]


def _run_rounds(servers: Sequence[Server], plan: Plan, call: Call) -> None:
    for server in servers:
        server.rounds.clear()
        _run(server, call, min(WARM_UP, plan.seconds))
    for number in range(plan.rounds):
        turn = number % len(servers)
        for server in (*servers[turn:], *servers[:turn]):
            server.rounds.append(_run(server, call, plan.seconds))


def _run(server: Server, call: Call, seconds: float) -> Round:
    """Load one server once; what it still does afterwards is waited for and counted."""
    before = _cpu(server)
    told = _load(server, call, seconds)
    drain = server.settle()
    after = _cpu(server)
    times = [1000 * each for each in told["latencies"]]
    errors = sum(told["errors"].values())
    if not times:
        raise SystemExit(f"{server.name} signed nothing in {seconds:g} s: {told['errors']}")
    return Round(
        rate=len(times) / told["seconds"],
        p50=median(times),
        p99=percentile(times, 0.99),
        cpu={part: (after[part] - before[part]) / (len(times) + errors) for part in after},
        drain=drain,
        errors=errors,
    )


def _load(server: Server, call: Call, seconds: float) -> dict[str, Any]:
    address = urlsplit(server.url)
    request = http_request(call.endpoint, request_body(call.endpoint, call.csr, server.auth_key))
    job = {
        "host": address.hostname,
        "port": address.port,
        "request": base64.b64encode(request).decode(),
        "clients": call.clients,
        "seconds": seconds,
    }
    generator = [sys.executable, "-I", "-S", str(GENERATOR)]
    done = subprocess.run(generator, input=json.dumps(job), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{server.name} cannot be loaded: {done.stderr.strip().splitlines()[-1]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _cpu(server: Server) -> dict[str, float]:
    return {part: processes.cpu_ms(pids) for part, pids in server.parts().items()}


def http_request(endpoint: str, body: bytes) -> bytes:
    head = f"POST /api/v1/cfssl/{endpoint} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def request_body(endpoint: str, csr: str, auth_key: str) -> bytes:
    """Return a request for a certificate in CFSSL's form; `authsign` carries an HMAC of it."""
    if endpoint == "sign":
        return json.dumps({"certificate_request": csr, "profile": "server"}).encode()
    request = json.dumps({"certificate_request": csr, "profile": "authed"}).encode()
    token = hmac.digest(bytes.fromhex(auth_key), request, hashlib.sha256)
    encoded = {"token": base64.b64encode(token).decode(), "request": base64.b64encode(request).decode()}
    return json.dumps(encoded).encode()


def summarise(servers: Sequence[Server]) -> Iterator[list[str]]:
    """Yield a row for each server, from the medians of its rounds."""
    theirs = next((each for each in servers if not each.is_ours), None)
    for server in servers:
        rounds = server.rounds
        cpu = {part: median(each.cpu[part] for each in rounds) for part in rounds[0].cpu}
        rate, ratios = _rate(server), ["", ""]
        if theirs and server.is_ours:
            ratios = [f"{rate / _rate(theirs):.2f}", f"{_cpu_sum(theirs) / _cpu_sum(server):.2f}"]
        yield [
            server.name,
            f"{rate:.0f}",
            f"{median(each.p50 for each in rounds):.2f}",
            f"{median(each.p99 for each in rounds):.2f}",
            f"{_cpu_sum(server):.2f}",
            " + ".join(f"{part} {value:.2f}" for part, value in cpu.items()) if server.is_ours else "",
            f"{median(each.drain for each in rounds):.1f}" if server.is_ours else "",
            *ratios,
            str(sum(each.errors for each in rounds)),
        ]


def _rate(server: Server) -> float:
    return median(each.rate for each in server.rounds)


def _cpu_sum(server: Server) -> float:
    return median(sum(each.cpu.values()) for each in server.rounds)
