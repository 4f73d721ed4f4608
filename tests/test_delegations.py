"""Lending: exact terms, limits on both ends, taking back, and a clock that cannot revive what is over."""

from datetime import timedelta
from typing import Any

import pytest
from bench import ADMIN, KDF, Bench, open_store
from examples import HOUR, NOW, SECOND, identity, private_key

from custodian import accounts, delegations, granting, signers
from custodian.errors import BadInput, Conflict, Forbidden, NotFound, TooMany
from custodian.outlook import outlook
from custodian.quorum import Missing
from custodian.service import Caller, Custody
from custodian.terms import MAX_LIFE, Constraints


def grant(bench: Bench, terms: Any, owner: str = "alice") -> int:
    return bench.do(granting.grant, owner, terms, {str(each): "sealed" for each in terms.recipients})


def state(bench: Bench, delegation: str) -> str:
    return bench.look(lambda tx: delegations.find_delegation(tx, delegation).state(tx.now))


# -- drafting


def test_terms_say_exactly_what_was_wished_for(bench: Bench) -> None:
    limits = Constraints(("server",), ("*.example.com",), 86_400, ca=True)
    terms = bench.draft("alice", uses=3, constraints=limits, request="ticket 7")
    assert (terms.key, terms.owner, terms.signer, terms.uses) == ("ca", "alice", "ca-1", 3)
    assert (terms.start, terms.end) == (NOW, NOW + HOUR)
    assert (terms.constraints, terms.request) == (limits, "ticket 7")
    assert terms.recipients == (bench.recipient.public,)


def test_equal_wishes_are_different_terms(bench: Bench) -> None:
    assert bench.draft("alice").id != bench.draft("alice").id


def test_nothing_is_stored_by_drafting(bench: Bench) -> None:
    size = bench.size
    bench.draft("alice")
    assert bench.size == size
    assert bench.look(delegations.list_delegations) == []


@pytest.mark.parametrize(
    ("field", "wish"),
    [
        ("uses", {"uses": 0}),
        ("uses", {"uses": -1}),
        ("uses", {"uses": 1_000_001}),
        ("duration", {"duration": timedelta(days=3652)}),
        ("duration", {"duration": MAX_LIFE + SECOND}),
        ("start", {"start": NOW + MAX_LIFE + SECOND}),
        ("start", {"start": NOW - timedelta(days=1)}),
        ("start", {"start": NOW - HOUR}),
    ],
)
def test_a_wish_outside_the_limits_is_refused(bench: Bench, field: str, wish: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as refused:
        bench.draft("alice", **wish)
    assert refused.value.field.removeprefix("terms.") == field


def test_the_limits_themselves_are_allowed(bench: Bench) -> None:
    terms = bench.draft("alice", uses=1_000_000, duration=MAX_LIFE, start=NOW + MAX_LIFE)
    assert terms.end == NOW + 2 * MAX_LIFE


def test_only_owners_of_the_key_lend_it(bench: Bench) -> None:
    bench.enrol("dora")
    with pytest.raises(Forbidden, match="dora holds no share of ca"):
        bench.draft("dora")


def test_a_key_is_lent_only_to_the_signers_its_envelope_names(bench: Bench) -> None:
    code = bench.do(accounts.invite, "signer", "ca-2", ADMIN)
    bench.do(signers.enrol_signer, code, str(identity("ca-2")))
    with pytest.raises(Forbidden, match="not sealed for the signer ca-2"):
        bench.draft("alice", signer="ca-2")


# -- granting


def test_a_grant_is_in_the_history_with_all_it_says(bench: Bench) -> None:
    terms = bench.draft("alice", uses=7)
    entry = grant(bench, terms)
    told = bench.entries(entry)[0]
    assert (told["type"], told["actor"]) == ("delegation.granted", {"role": "owner", "name": "alice"})
    assert (told["id"], told["uses"], told["terms_sha256"]) == (terms.id, 7, terms.digest.hex())
    assert (told["start"], told["end"]) == ("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z")


def test_terms_are_granted_once(bench: Bench) -> None:
    terms = bench.draft("alice")
    grant(bench, terms)
    size = bench.size
    with pytest.raises(Conflict, match="granted already"):
        grant(bench, terms)
    assert bench.size == size


def test_nobody_grants_anothers_terms(bench: Bench) -> None:
    with pytest.raises(Forbidden):
        grant(bench, bench.draft("alice"), owner="bob")


def test_terms_for_a_recipient_that_is_gone_are_refused(bench: Bench) -> None:
    terms = bench.draft("alice")
    bench.announce("second")
    with pytest.raises(Conflict, match="ask for new terms"):
        grant(bench, terms)


def test_terms_that_are_over_are_refused(bench: Bench) -> None:
    terms = bench.draft("alice")
    bench.clock.advance(hours=1)
    with pytest.raises(BadInput, match="ended already"):
        grant(bench, terms)


def test_a_share_must_be_sealed_to_every_recipient_and_no_other(bench: Bench) -> None:
    terms = bench.draft("alice")
    for sealed in ({}, {str(private_key("other").public): "sealed"}):
        with pytest.raises(BadInput, match="sealed"):
            bench.do(granting.grant, "alice", terms, sealed)


def test_an_owner_alone_does_not_make_leases_slow(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grants cost next to nothing to make, and every lease of the key looked at all that had not ended."""
    monkeypatch.setattr(granting, "MOST", 3)
    for _ in range(3):
        bench.revoke("alice", bench.lend("alice"))
    with pytest.raises(TooMany) as refused:
        bench.lend("alice")
    bench.lend("bob")
    bench.clock.advance(seconds=refused.value.members["retry_after"])
    bench.lend("alice")


def test_an_owner_who_is_shut_out_while_they_lend_lends_nothing(bench: Bench) -> None:
    terms = bench.draft("bob")  # had logged in before
    bench.do(accounts.disable, "bob", ADMIN)
    size = bench.size
    with pytest.raises(Forbidden, match="bob is disabled"):
        bench.do(granting.grant, "bob", terms, {str(each): "sealed" for each in terms.recipients})
    assert bench.size == size


async def test_a_recipient_that_the_pinned_identity_did_not_announce_gets_no_share(bench: Bench) -> None:
    """Whoever can write to the database puts a recipient of their own there."""
    with bench.store.transaction() as tx:
        tx.write("UPDATE signer SET recipient = ?", str(private_key("planted").public))
    openers: Any = None  # none is asked
    custody = Custody(bench.store, openers, KDF, "vkey")
    with pytest.raises(Forbidden, match="not announced by the identity pinned for ca-1"):
        await custody.delegate(Caller("owner", "alice", password="not used"), "ca", bench.wish())
    assert bench.look(delegations.list_delegations) == []


# -- how it stands


def test_a_delegation_tells_how_it_stands(bench: Bench) -> None:
    later = bench.lend("alice", start=NOW + HOUR)
    now, taken = bench.lend("alice"), bench.lend("alice")
    bench.revoke("alice", taken)
    assert [state(bench, each) for each in (later, now, taken)] == ["pending", "live", "revoked"]
    bench.clock.advance(hours=1)
    assert [state(bench, each) for each in (later, now)] == ["live", "ended"]


def test_a_delegation_without_uses_is_used_up(bench: Bench) -> None:
    once = bench.lend("alice", uses=1)
    bench.lend("bob")
    bench.lease()
    assert state(bench, once) == "used up"


def test_the_list_is_filtered_by_owner_and_key(bench: Bench) -> None:
    hers, his = bench.lend("alice"), bench.lend("bob")
    listed = bench.look(delegations.list_delegations, owner="bob")
    assert [each.delegation.terms.id for each in listed] == [his]
    assert len(bench.look(delegations.list_delegations)) == 2
    assert bench.look(delegations.list_delegations, key_id="00" * 16) == []
    assert hers != his


# -- taking back


def test_only_the_owner_who_lent_can_revoke(bench: Bench) -> None:
    delegation = bench.lend("alice")
    with pytest.raises(Forbidden, match="only the owner who delegated"):
        bench.revoke("bob", delegation)
    assert state(bench, delegation) == "live"


def test_revoking_ends_the_leases_it_opened_and_no_other(bench: Bench) -> None:
    hers, his = bench.lend("alice"), bench.lend("bob")
    lease = bench.lease()
    other = bench.lend("carol")
    assert bench.revoke("carol", other) == []
    assert bench.revoke("alice", hers) == [("ca-1", lease)]
    assert state(bench, his) == "live"


def test_revoking_twice_is_no_error_and_told_once(bench: Bench) -> None:
    delegation = bench.lend("alice")
    bench.revoke("alice", delegation)
    size = bench.size
    assert bench.revoke("alice", delegation) == []
    assert bench.size == size


def test_what_does_not_exist_cannot_be_revoked(bench: Bench) -> None:
    with pytest.raises(NotFound):
        bench.revoke("alice", "d-000000000000000000000000")


def test_a_clock_stepping_back_revives_nothing(bench: Bench) -> None:
    bench.lend("alice")
    bench.lend("bob")
    bench.clock.advance(hours=1)
    assert isinstance(bench.ask("late"), Missing)
    bench.clock.advance(minutes=-30)
    assert isinstance(bench.ask("again"), Missing)
    assert "clock.stepped" in bench.events()


def test_a_clock_stepping_back_is_remembered_over_a_restart(bench: Bench) -> None:
    bench.lend("alice")
    bench.lend("bob")
    bench.clock.advance(hours=1)
    bench.ask("late")
    bench.store.close()
    bench.clock.advance(minutes=-30)
    bench.store = open_store(bench.path, bench.clock)
    assert isinstance(bench.ask("again"), Missing)


# -- the outlook


def test_the_outlook_says_who_is_missing_and_for_how_long_it_is_open(bench: Bench) -> None:
    bench.lend("alice", duration=timedelta(minutes=30))
    closed = bench.look(outlook)[0]
    assert (closed.open, closed.needed, closed.any_of, closed.until) == (False, 1, ["bob", "carol"], None)
    bench.lend("bob")
    opened = bench.look(outlook)[0]
    assert (opened.open, opened.needed, opened.until) == (True, 0, "2026-11-23T12:30:00Z")
    assert [(each.owner, each.left) for each in opened.live] == [("alice", 10), ("bob", 10)]


def test_the_outlook_counts_nothing_that_was_lent_to_a_recipient_that_is_gone(bench: Bench) -> None:
    bench.lend("alice")
    bench.lend("bob")
    bench.announce("second")
    assert bench.look(outlook)[0].needed == 2


def test_the_outlook_forgets_no_live_delegation_however_many_came_after(bench: Bench) -> None:
    bench.lend("alice", duration=timedelta(days=2))
    bench.lend("bob", duration=timedelta(days=2))
    with bench.store.transaction() as tx:
        for n in range(1100):
            tx.write(
                "INSERT INTO delegation SELECT 'x' || ?, key_id, owner, signer, '', ends, terms, sealed, 0, 1"
                " FROM delegation WHERE owner = 'alice' LIMIT 1",
                n,
            )
    assert bench.look(outlook)[0].open
