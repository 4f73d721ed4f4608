"""Who is who: invitations are the only way in, failed logins have to wait, roles do not mix."""

import hashlib
from datetime import datetime
from typing import Any

import pytest
from bench import ADMIN, KDF, SIGNER, Bench
from examples import SECOND, identity, private_key

from custodian import accounts, delegations, granting, signers
from custodian.errors import BadInput, Conflict, Forbidden, FormatError, NotFound, TooMany, Unauthenticated
from custodian.events import Actor
from custodian.identity import announce
from custodian.slots import make_slot

HERE = "192.0.2.1"


def enrol(bench: Bench, code: str, slot: Any = None) -> accounts.Account:
    return bench.do(accounts.enrol, code, KDF, bytes(32), slot)


def slot_of(name: str) -> Any:
    parameters = {"memory_kib": 8_192, "passes": 1, "lanes": 1, "salt": "AAAAAAAAAAAAAAAAAAAAAA=="}
    place = (name, "password", "password")
    return make_slot(private_key(name), place, private_key("unlock").public, **parameters)


def invite(bench: Bench, name: str = "dora", role: str = "auditor") -> str:
    return bench.do(accounts.invite, role, name, ADMIN)


def fail(bench: Bench, times: int, name: str = "alice", address: str = HERE) -> None:
    for _ in range(times):
        bench.do(accounts.login_failed, name, address)


def waits(bench: Bench, name: str = "alice", address: str = HERE) -> int:
    """Return for how many seconds a login is refused."""
    try:
        bench.look(accounts.check_patience, name, address)
    except TooMany as error:
        return int(error.members["retry_after"])
    return 0


# -- invitations


def test_an_invitation_enrols_once(bench: Bench) -> None:
    code = invite(bench)
    assert enrol(bench, code).name == "dora"
    with pytest.raises(Forbidden, match="not valid"):
        enrol(bench, code)


def test_an_invitation_ends_after_a_week(bench: Bench) -> None:
    code = invite(bench)
    bench.clock.advance(days=7)
    with pytest.raises(Forbidden, match="ask an administrator for another"):
        enrol(bench, code)


def test_an_invitation_lasts_until_its_last_second(bench: Bench) -> None:
    code = invite(bench)
    bench.clock.advance(days=7, seconds=-1)
    assert enrol(bench, code).role == "auditor"


def test_a_new_invitation_replaces_the_one_before(bench: Bench) -> None:
    old, new = invite(bench), invite(bench)
    with pytest.raises(Forbidden):
        enrol(bench, old)
    assert enrol(bench, new).name == "dora"


def test_the_code_itself_is_not_kept(bench: Bench) -> None:
    code = invite(bench)
    bench.store.close()
    everything = b"".join(each.read_bytes() for each in bench.path.parent.iterdir())
    assert code.encode() not in everything
    assert hashlib.sha256(code.encode()).digest() in everything


def test_nobody_is_enrolled_without_an_invitation(bench: Bench) -> None:
    with pytest.raises(Forbidden):
        enrol(bench, "a-code-nobody-was-given")


def test_whoever_is_enrolled_cannot_be_invited_again(bench: Bench) -> None:
    for role, name in (("owner", "alice"), ("auditor", "alice"), ("admin", "admin"), ("signer", "ca-1")):
        with pytest.raises(Conflict, match="is enrolled already"):
            invite(bench, name, role)


def test_of_two_invitations_for_one_name_only_the_first_is_used(bench: Bench) -> None:
    auditor, admin = invite(bench, "dora", "auditor"), invite(bench, "dora", "admin")
    enrol(bench, auditor)
    size = bench.size
    with pytest.raises(Conflict):
        enrol(bench, admin)
    assert bench.size == size
    assert bench.look(accounts.find_account, "dora").role == "auditor"  # type: ignore[union-attr]


@pytest.mark.parametrize("role", ["custodian", "unknown", "", "Owner", "owner "])
def test_only_roles_that_exist_are_invited(bench: Bench, role: str) -> None:
    with pytest.raises(BadInput, match="role"):
        invite(bench, "dora", role)


@pytest.mark.parametrize("name", ["", "Dora", "1dora", "do ra", "dora\n", "d" * 64, "dora/../alice", "dörä"])
def test_only_names_that_can_be_written_everywhere_are_invited(bench: Bench, name: str) -> None:
    with pytest.raises(FormatError, match="name"):
        invite(bench, name)


def test_an_owner_needs_a_slot_and_nobody_else_has_one(bench: Bench) -> None:
    owner, auditor = invite(bench, "dora", "owner"), invite(bench, "eve", "auditor")
    with pytest.raises(Conflict):
        enrol(bench, owner)
    with pytest.raises(Conflict):
        enrol(bench, auditor, slot_of("eve"))
    with pytest.raises(Conflict):
        enrol(bench, owner, slot_of("eve"))
    assert enrol(bench, owner, slot_of("dora")).public == str(private_key("dora").public)
    assert [each.id for each in bench.look(accounts.owner_slots, "dora")] == ["password"]


def test_a_signers_invitation_makes_no_account_and_an_owners_no_signer(bench: Bench) -> None:
    signer, owner = invite(bench, "ca-2", "signer"), invite(bench, "dora", "owner")
    with pytest.raises(Conflict):
        enrol(bench, signer)
    with pytest.raises(Conflict):
        bench.do(signers.enrol_signer, owner, str(identity("ca-2")))
    assert bench.do(signers.enrol_signer, signer, str(identity("ca-2")))[0] == "ca-2"


def test_enrolment_is_in_the_history(bench: Bench) -> None:
    size = bench.size
    enrol(bench, invite(bench))
    invited, enrolled = bench.entries(size)
    assert (invited["type"], invited["actor"]) == ("account.invited", {"role": "admin", "name": "admin"})
    assert (enrolled["type"], enrolled["actor"]) == ("account.enrolled", {"role": "auditor", "name": "dora"})


# -- signers


def test_a_signer_is_known_by_its_token_alone(bench: Bench) -> None:
    name, token = bench.do(signers.enrol_signer, invite(bench, "ca-2", "signer"), str(identity("ca-2")))
    assert bench.look(signers.signer_by_token, token).name == name
    for wrong in ("", token[:-1], token + " ", token.lower(), "ca-2"):
        with pytest.raises(Unauthenticated):
            bench.look(signers.signer_by_token, wrong)


MINE = private_key("mine").public


def announced(bench: Bench, at: datetime, signature: bytes = b"") -> Any:
    signed = signature or announce(SIGNER, "ca-1", MINE, at)
    return bench.do(signers.announce, "ca-1", MINE, announced=at, signature=signed)


def test_a_recipient_must_be_announced_by_the_identity(bench: Bench) -> None:
    at = bench.clock.now + SECOND
    for signature in (
        bytes(64),
        announce(SIGNER, "ca-2", MINE, at),
        announce(SIGNER, "ca-1", bench.recipient.public, at),
        announce(SIGNER, "ca-1", MINE, at + SECOND),
    ):
        with pytest.raises(Forbidden, match="not announced by the identity"):
            announced(bench, at, signature)
    assert bench.look(signers.find_signer, "ca-1").recipient == bench.recipient.public


def test_an_announcement_of_before_cannot_be_replayed(bench: Bench) -> None:
    first = bench.look(signers.find_signer, "ca-1")
    assert first.recipient is not None
    assert first.announced is not None
    bench.announce("second")
    old = {"announced": first.announced, "signature": first.announcement}
    with pytest.raises(Conflict, match="announce later than that"):
        bench.do(signers.announce, "ca-1", first.recipient, **old)
    assert bench.look(signers.find_signer, "ca-1").recipient == bench.recipient.public


def test_an_announcement_of_the_same_second_is_refused_and_of_the_next_taken(bench: Bench) -> None:
    last = bench.look(signers.find_signer, "ca-1").announced
    assert last is not None
    with pytest.raises(Conflict):
        announced(bench, last)
    announced(bench, last + SECOND)
    assert bench.look(signers.find_signer, "ca-1").recipient == MINE


def test_an_announcement_from_the_future_is_refused(bench: Bench) -> None:
    """One made ahead of time could be used when its recipient is dead, and would keep later ones out."""
    with pytest.raises(BadInput, match="announced: is in the future"):
        announced(bench, bench.clock.now + signers.CLOCKS_APART + SECOND)
    announced(bench, bench.clock.now + signers.CLOCKS_APART)


def test_announcing_the_same_recipient_again_changes_nothing(bench: Bench) -> None:
    size = bench.size
    assert bench.announce("first") == []
    assert bench.size == size


# -- failed logins


def test_five_tries_are_free_and_then_each_waits_twice_as_long(bench: Bench) -> None:
    seen = []
    for _ in range(9):
        fail(bench, 1)
        seen.append(waits(bench))
    assert seen == [0, 0, 0, 0, 1, 2, 4, 8, 16]


def test_a_wait_ends_when_it_is_over(bench: Bench) -> None:
    fail(bench, 7)
    bench.clock.advance(seconds=3)
    assert waits(bench) == 1
    bench.clock.advance(seconds=1)
    assert waits(bench) == 0


def test_no_wait_is_longer_than_a_quarter_of_an_hour(bench: Bench) -> None:
    fail(bench, 30)
    assert waits(bench) == accounts.MAX_WAIT


def test_who_fails_elsewhere_or_as_another_does_not_wait(bench: Bench) -> None:
    fail(bench, 9)
    assert waits(bench, address="192.0.2.2") == 0
    assert waits(bench, name="bob") == 0


def test_an_address_that_fails_as_many_people_waits_as_all_of_them(bench: Bench) -> None:
    for n in range(accounts.FREE_TRIES_OF_ADDRESS - 1):
        fail(bench, 1, name=f"guessed-{n}")
    assert waits(bench) == 0
    fail(bench, 1, name="guessed-last")
    assert waits(bench) == 1
    assert waits(bench, address="192.0.2.2") == 0


def test_strangers_who_make_an_address_wait_do_not_keep_its_owners_from_revoking(bench: Bench) -> None:
    for n in range(40):
        fail(bench, 1, name=f"made-up-{n}")
    assert waits(bench) > 0
    bench.look(accounts.check_patience, "alice", HERE, whole_address=False)
    fail(bench, accounts.FREE_TRIES)
    with pytest.raises(TooMany):
        bench.look(accounts.check_patience, "alice", HERE, whole_address=False)


def test_a_right_password_ends_the_counting(bench: Bench) -> None:
    fail(bench, 6)
    bench.clock.advance(seconds=2)
    bench.do(accounts.login_succeeded, "alice", HERE)
    fail(bench, 1)
    assert waits(bench) == 0


def test_failed_logins_reach_the_history_folded_and_without_the_name(bench: Bench) -> None:
    size = bench.size
    fail(bench, 40)
    bench.clock.advance(seconds=accounts.FOLD)
    assert bench.look(accounts.untold_failures)
    bench.do(accounts.tell_of_failures)
    told = bench.entries(size)
    assert [each["count"] for each in told] == [1, 39]
    assert {each["account_sha256"] for each in told} == {hashlib.sha256(b"alice").hexdigest()}
    assert not bench.look(accounts.untold_failures)


def test_made_up_names_share_one_entry_of_the_history_and_leave_nothing_of_themselves(bench: Bench) -> None:
    size = bench.size
    for n in range(50):
        fail(bench, 1, name=f"not-a-name-but-a-password-{n}")
    fail(bench, 2)
    bench.clock.advance(seconds=accounts.FOLD)
    bench.do(accounts.tell_of_failures)
    alice = hashlib.sha256(b"alice").hexdigest()
    told = [(each["account_sha256"], each["count"]) for each in bench.entries(size)]
    assert told == [("", 1), ("", 49), (alice, 2)]


def test_made_up_names_are_forgotten_beyond_a_number_and_those_of_accounts_are_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_STRANGERS", 10)
    fail(bench, 7)
    for n in range(50):
        bench.clock.advance(seconds=1)
        fail(bench, 1, name=f"made-up-{n}")
    bench.do(accounts.tell_of_failures)
    kept = {row["account"] for row in bench.look(lambda tx: tx.rows("SELECT account FROM failure"))}
    assert kept == {"alice", *(f"made-up-{n}" for n in range(40, 50))}


def test_failures_before_a_right_password_are_told_all_the_same(bench: Bench) -> None:
    size = bench.size
    fail(bench, 4)
    bench.do(accounts.login_succeeded, "alice", HERE)
    assert sum(each["count"] for each in bench.entries(size)) == 4


# -- shutting out


def test_a_disabled_owners_delegations_are_revoked_and_what_they_opened_ends(bench: Bench) -> None:
    delegation, _ = bench.lend("alice"), bench.lend("bob")
    lease = bench.lease()
    size = bench.size
    assert bench.do(accounts.disable, "alice", ADMIN) == [("ca-1", lease)]
    assert bench.events(size) == ["account.disabled", "delegation.revoked", "lease.ended"]
    assert bench.entries(size)[1]["id"] == delegation
    assert {each["actor"]["name"] for each in bench.entries(size)[:2]} == {"admin"}


def test_nobody_shuts_themselves_out(bench: Bench) -> None:
    with pytest.raises(Conflict):
        bench.do(accounts.disable, "admin", Actor(role="admin", name="admin"))


def test_who_is_not_there_cannot_be_shut_out(bench: Bench) -> None:
    with pytest.raises(NotFound):
        bench.do(accounts.disable, "nobody", ADMIN)


def test_a_disabled_signers_leases_end_and_its_token_and_what_was_lent_to_it_are_void(bench: Bench) -> None:
    hers, _ = bench.lend("alice"), bench.lend("bob")
    terms, lease, size = bench.draft("carol"), bench.lease(), bench.size
    bench.do(lambda tx: tx.write("UPDATE signer SET token_hash = ?", hashlib.sha256(b"token").digest()))
    assert bench.look(signers.signer_by_token, "token").name == "ca-1"
    assert bench.do(signers.disable_signer, "ca-1", ADMIN) == [("ca-1", lease)]
    assert bench.events(size) == ["signer.disabled", "lease.ended"]
    with pytest.raises(Unauthenticated):
        bench.look(signers.signer_by_token, "token")
    lent = bench.look(delegations.find_delegation, hers)
    assert lent.state(bench.clock.now) == "void"
    with pytest.raises(Conflict, match="is disabled"):
        bench.do(granting.grant, "carol", terms, {str(each): "sealed" for each in terms.recipients})
    assert bench.do(signers.disable_signer, "ca-1", ADMIN) == []
    with pytest.raises(NotFound, match="signer list"):
        bench.do(signers.disable_signer, "ca-9", ADMIN)


def test_disabling_twice_is_told_once(bench: Bench) -> None:
    bench.do(accounts.disable, "bob", ADMIN)
    size = bench.size
    bench.do(accounts.disable, "bob", ADMIN)
    assert bench.size == size
