"""Who may do what: every route of the api, and every kind of caller."""

from collections.abc import Iterator

import pytest
from running import (
    ADMIN,
    World,
    basic,
    free_addresses,
    routes,
)

from custodian.api import CALLS

ADDRESSES = iter(free_addresses())
HIDDEN = "hunter2-is-the-password"


CALLERS = ("nobody", "admin", "owner", "other", "auditor", "signer", "other-signer", "disabled")
ALL, PEOPLE = "401 ok  ok  ok  ok  ok  ok  401", "401 ok  ok  ok  ok  403 403 401"
MATRIX = {
    #                                     nobody admin owner other auditor signer other-signer disabled
    "POST /invitations": "                401 ok  403 403 403 403 403 401",
    "GET /invitations": "                 401 ok  403 403 403 403 403 401",
    "POST /enrolments/look": "            ok  ok  ok  ok  ok  ok  ok  ok",
    "POST /enrolments": "                 ok  ok  ok  ok  ok  ok  ok  ok",
    "GET /accounts": "                    401 ok  403 403 ok  403 403 401",
    "DELETE /accounts/{name}": "          401 ok  403 403 403 403 403 401",
    "GET /owners": ALL,
    "GET /signers": ALL,
    "DELETE /signers/{name}": "           401 ok  403 403 403 403 403 401",
    "PUT /signers/{name}/recipient": "    401 403 403 403 403 ok  403 401",
    "GET /signers/{name}/news": "         401 403 403 403 403 ok  403 401",
    "GET /keys": ALL,
    "POST /keys": "                       401 403 403 403 403 ok  ok  401",
    "GET /keys/{name}": ALL,
    "GET /delegations": PEOPLE,
    "POST /delegations": "                401 403 ok  ok  403 403 403 401",
    "GET /delegations/{id}": PEOPLE,
    "DELETE /delegations/{id}": "         401 403 ok  403 403 403 403 401",
    "GET /requests": ALL,
    "POST /requests": "                   401 ok  ok  ok  403 ok  ok  401",
    "GET /requests/{id}": ALL,
    "POST /requests/{id}/decline": "      401 403 ok  ok  403 403 403 401",
    "POST /requests/{id}/veto": "         401 403 ok  ok  403 403 403 401",
    "POST /requests/{id}/withdraw": "     401 ok  ok  ok  403 ok  ok  401",
    "POST /requests/{id}/remind": ALL,
    "GET /leases": ALL,
    "POST /leases": "                     401 403 403 403 403 ok  ok  401",
    "POST /leases/{id}/close": "          401 403 403 403 403 ok  404 401",
    "POST /records": "                    401 403 403 403 403 ok  ok  401",
    "GET /status": ALL,
    "GET /live": PEOPLE,
    "GET /history": PEOPLE,
    "GET /history/lines": PEOPLE,
    "GET /history/export": PEOPLE,
    "GET /history/checkpoint": ALL,
    "GET /history/consistency": ALL,
    "GET /history/{index}/receipt": PEOPLE,
    "GET /sessions/statement": "          ok  ok  ok  ok  ok  ok  ok  ok",
    "POST /sessions": "                   ok  ok  ok  ok  ok  ok  ok  ok",
    "DELETE /sessions": PEOPLE,
    "GET /me": PEOPLE,
    "POST /me/slots": "                   401 403 ok  ok  403 403 403 401",
    "POST /me/slots/{id}/remove": "       401 403 ok  ok  403 403 403 401",
    "POST /enrolments/devices": "         ok  ok  ok  ok  ok  ok  ok  ok",
    "POST /grants": "                     ok  ok  ok  ok  ok  ok  ok  ok",
    "GET /openapi.json": "                ok  ok  ok  ok  ok  ok  ok  ok",
}


WOULD = {"DELETE /delegations/{id}", "DELETE /sessions"}  # do it even with an empty body; other tests do
OPEN_TO_SESSIONS = {
    "POST /requests",
    "POST /requests/{id}/decline",
    "POST /requests/{id}/veto",
    "POST /requests/{id}/withdraw",
    "POST /requests/{id}/remind",
}
EVIDENT = {"POST /me/slots", "POST /me/slots/{id}/remove"}


@pytest.fixture(scope="module")
def lent(running_world: World) -> Iterator[tuple[World, str, str]]:
    """The world with an owner shut out, a delegation of alice and bob, and a lease."""
    world = running_world
    world.enrol("owner", "mallory")
    world.person(ADMIN, "DELETE", "/accounts/mallory").ok()
    delegation, _ = world.lend("alice", "bob")
    lease = world.signer.ask().ok()["id"]
    yield world, delegation, lease
    world.revoke_all()


def authorization(world: World, caller: str) -> str:
    if caller == "nobody":
        return ""
    if caller.endswith("signer"):
        return world.signers["ca-2" if caller.startswith("other") else "ca-1"].authorization
    names = {"admin": ADMIN, "owner": "alice", "other": "bob", "disabled": "mallory"}
    return basic(names.get(caller, caller))


def attempt(lent: tuple[World, str, str], route: str, credentials: str) -> int:
    """Make a call that changes nothing even where it is allowed, and return its status."""
    world, delegation, lease = lent
    verb, _, path = route.partition(" ")
    names = {"{name}": "ca-1", "{id}": lease if "leases" in path else delegation, "{index}": "0"}
    if "keys" in path:
        names["{name}"] = "ca"
    for pattern, value in names.items():
        path = path.replace(pattern, value)
    if route in ("DELETE /accounts/{name}", "DELETE /signers/{name}"):
        path = path.replace("ca-1", "not-there")
    body = {"PUT": world.signer.announcement(), "POST": {}}.get(verb)
    if "close" in path:
        body = {"used": 99}
    if path.endswith(("news", "live")):
        return stream_status(world, path, credentials)
    return world.daemon.call(verb, path, body, authorization=credentials, source=next(ADDRESSES)).status


def stream_status(world: World, path: str, credentials: str) -> int:
    """The stream never ends, so look at its head only."""
    connection = world.daemon.connect()
    connection.request("GET", f"/api/v1{path}", headers={"Authorization": credentials} if credentials else {})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("caller", CALLERS)
def test_no_role_can_do_the_work_of_another(lent: tuple[World, str, str], caller: str) -> None:
    """`ok`: the call got past the question of who may: it succeeded, or failed by its empty body."""
    column = CALLERS.index(caller)
    wrong = {}
    for route, row in MATRIX.items():
        expected = row.split()[column]
        if route in WOULD and expected == "ok":
            continue
        status = attempt(lent, route, authorization(lent[0], caller))
        allowed = (200, 201, 400, 404) if expected == "ok" else (int(expected),)
        if status not in allowed:
            wrong[route] = (status, expected)
    assert wrong == {}


@pytest.mark.parametrize("caller", ["admin", "owner", "auditor"])
def test_a_session_reads_what_its_role_reads_and_changes_only_what_takes_back(
    lent: tuple[World, str, str], caller: str
) -> None:
    column = CALLERS.index(caller)
    session = f"Bearer {lent[0].sign_in({'admin': ADMIN, 'owner': 'alice'}.get(caller, caller))}"
    wrong = {}
    for route, row in MATRIX.items():
        expected = row.split()[column]
        if route in WOULD and expected == "ok":
            continue
        reads, anyone = route.startswith("GET "), row.split()[0] == "ok"
        if expected == "ok" and not (reads or anyone or route in OPEN_TO_SESSIONS):
            expected = "403"
        status = attempt(lent, route, session)
        allowed = (200, 201, 400, 404) if expected == "ok" else (int(expected),)
        if status not in allowed:
            wrong[route] = (status, expected)
    assert wrong == {}


def test_a_session_is_enough_for_what_takes_back_and_for_asking_only() -> None:
    """What a session may make of slots carries evidence in its body, or is refused."""
    assert {call.route for call in CALLS if call.session} <= OPEN_TO_SESSIONS | WOULD | EVIDENT


def test_no_signer_announces_for_another_not_even_what_it_signed_itself(running_world: World) -> None:
    other = running_world.signers["ca-2"]
    answer = other.call("PUT", "/signers/ca-1/recipient", other.announcement())
    assert (answer.status, answer.json["detail"]) == (403, "a signer announces its own recipient")


def test_every_route_is_in_the_matrix() -> None:
    plain = {"GET /healthz", "GET /readyz", "GET /metrics"}
    matrix = {"{} /api/v1{}".format(*route.split(" ")) for route in MATRIX}
    assert routes() == matrix | plain
