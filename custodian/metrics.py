"""Figures for Prometheus: few, and only those somebody would be woken for.

What is counted is counted as it happens; how far keys are from opening is asked when they are read.
"""

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from custodian.wire import Outlook

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

REQUESTS = Counter(
    "custodian_requests", "HTTP requests answered", ["method", "route", "status"], registry=REGISTRY
)
LEASES = Counter("custodian_leases", "Leases asked for", ["key", "result"], registry=REGISTRY)
DELEGATIONS = Counter("custodian_delegations", "Delegations by what was done", ["done"], registry=REGISTRY)
LOGINS_FAILED = Counter("custodian_logins_failed", "Logins with a wrong name or password", registry=REGISTRY)
NOTICES = Counter(
    "custodian_notices", "Tries at telling a receiver", ["receiver", "result"], registry=REGISTRY
)
_PLACE = ["key", "signer"]
QUORUM = Gauge("custodian_quorum_live", "1 while a quorum is live", _PLACE, registry=REGISTRY)
NEEDED = Gauge("custodian_owners_needed", "Owners who must still delegate", _PLACE, registry=REGISTRY)
VIEWERS = Gauge("custodian_viewers", "People's streams of the live view", registry=REGISTRY)
LIVE = Gauge("custodian_leases_live", "Leases that have not ended", _PLACE, registry=REGISTRY)


def count_request(method: str, route: str, status: int) -> None:
    """Count an answer. `route` is the pattern, not the path: callers must not make new series."""
    REQUESTS.labels(method if route else "other", route or "unknown", str(status)).inc()


def render(outlooks: Iterable[Outlook]) -> bytes:
    """Return the figures as text, with how far each key is from opening now."""
    for gauge in (QUORUM, NEEDED, LIVE):
        gauge.clear()
    for each in outlooks:
        QUORUM.labels(each.key, each.signer).set(each.open)
        NEEDED.labels(each.key, each.signer).set(each.needed)
        LIVE.labels(each.key, each.signer).set(each.leases)
    return generate_latest(REGISTRY)
