"""What the page of the setup works out: what is missing until the first certificate, and what ends next."""

import shlex
from datetime import timedelta
from typing import Any

import click
import pytest
from examples import NOW

import custodian.__main__
import signer.__main__
from custodian.tls import make_certificate
from custodian.web.ceremony import Progress, steps
from custodian.web.endings import SHOWN, Ending, next_to_end, state
from custodian.web.setup import certificate_of
from custodian.wire import LiveOwner, Outlook

COMMANDS = {"custodian": custodian.__main__.main, "signer": signer.__main__.main}


# -- what is missing, and what to type


def outlook(*live: str, needed: int = 2, open_: bool = False) -> Outlook:
    return Outlook(
        key="ca",
        signer="ca-2",
        policy="2 of (alice, bob)",
        open=open_,
        needed=needed,
        any_of=[each for each in ("alice", "bob") if each not in live],
        live=[LiveOwner(owner=each, left=1, end="2026-11-23T12:00:00Z") for each in live],
        until=None,
        leases=0,
    )


def progress(**changes: Any) -> Progress:
    nothing: dict[str, Any] = {
        "owners": [],
        "invited": [],
        "signers": [],
        "connected": False,
        "outlooks": [],
        "signed": False,
        "url": "https://custodian.example",
    }
    return Progress(**nothing | changes)


ENROLLED = {"owners": ["alice", "bob"], "signers": ["ca-2"]}
STAGES = {
    "nothing": (progress(), [False] * 6),
    "one invited": (progress(invited=["alice"]), [False] * 6),
    "one owner is not enough": (progress(owners=["alice"]), [False] * 6),
    "one of two has enrolled": (progress(owners=["alice"], invited=["bob"]), [False] * 6),
    "everybody has enrolled": (progress(**ENROLLED), [True, True, False, False, False, False]),
    "a key is sealed": (progress(**ENROLLED, outlooks=[outlook()]), [True, True, True, False, False, False]),
    "the signer runs": (
        progress(**ENROLLED, outlooks=[outlook("alice", needed=1)], connected=True),
        [True, True, True, True, False, False],
    ),
    "a quorum is live": (
        progress(**ENROLLED, outlooks=[outlook("alice", "bob", needed=0, open_=True)], connected=True),
        [True] * 5 + [False],
    ),
    "a certificate is signed": (progress(**ENROLLED, outlooks=[outlook()], signed=True), [True] * 6),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_step_is_done_when_what_it_is_for_is_there(stage: str) -> None:
    at, done = STAGES[stage]
    assert [step.done for step in steps(at)] == done


def test_a_step_says_how_it_stands_and_names_who_is_meant() -> None:
    at = progress(
        owners=["alice"], invited=["dave", "bob"], signers=["ca-2"], outlooks=[outlook("alice", needed=1)]
    )
    told = {step.title: step for step in steps(at)}
    assert told["Owners enrol"].now == "1 of 3 enrolled; bob and dave not yet"
    assert told["Enough owners lend"].now == "1 have lent, 1 more needed"
    assert told["Enough owners lend"].command.endswith("--signer ca-2 --uses 50 --for 8h -u bob")
    assert '"2 of (alice, bob, dave)"' in told["A key is made and sealed"].command


@pytest.mark.parametrize("stage", STAGES)
def test_every_command_can_be_typed(stage: str) -> None:
    for step in steps(STAGES[stage][0]):
        for line in step.command.splitlines():
            words = shlex.split(line)
            if words[0] == "cfssl":
                continue
            command, rest = COMMANDS[words[0]], words[1:]
            while isinstance(command, click.Group):
                command, rest = command.commands[rest[0]], rest[1:]
            options = {option for each in command.params for option in each.opts}
            assert {word for word in rest if word.startswith("-")} <= options, line


# -- what ends next


def ending(minutes: float, *, certificate: bool = False) -> Ending:
    return Ending(NOW + timedelta(minutes=minutes), "it", "then", certificate=certificate)


def test_what_ends_first_is_first_and_what_has_ended_is_gone_but_for_certificates() -> None:
    given = [ending(5), ending(-1), ending(1), ending(-9, certificate=True), ending(0)]
    assert [(each.at - NOW).total_seconds() / 60 for each in next_to_end(given, NOW)] == [-9, 1, 5]


def test_no_more_is_listed_than_somebody_reads() -> None:
    assert len(next_to_end([ending(each) for each in range(1, 99)], NOW)) == SHOWN


@pytest.mark.parametrize(("days", "shown"), [(31, ""), (29, "wait"), (6, "wax"), (-1, "wax")])
def test_a_certificate_that_ends_soon_stands_out(days: int, shown: str) -> None:
    assert state(ending(days * 1440, certificate=True), NOW) == shown
    assert state(ending(days * 1440), NOW) == ""


def test_a_certificate_is_read_and_junk_is_nothing() -> None:
    pem, _ = make_certificate([], NOW)
    found = certificate_of(pem)
    assert found is not None
    assert (found.subject, found.ends) == ("CN=custodian", NOW.replace(microsecond=0) + timedelta(days=825))
    assert certificate_of(b"junk") is certificate_of(b"") is None
