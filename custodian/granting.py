"""Granting: how what an owner agreed to becomes a delegation, and what it answers."""

import json
from collections.abc import Mapping

from custodian.answering import end_answered
from custodian.encoding import format_instant
from custodian.errors import BadInput, Conflict, Forbidden, TooMany
from custodian.events import Actor, DelegationGranted, Evidence, Limits
from custodian.keys import Key, find_key
from custodian.requests import ID, find_request, may_answer
from custodian.store import Transaction
from custodian.terms import MAX_LIFE, Terms

BY_PASSWORD = Evidence(kind="password")
MOST = 1_000  # delegations of one owner and key that have not ended: every lease looks at all of them


def grant(
    tx: Transaction, owner: str, terms: Terms, sealed: Mapping[str, str], evidence: Evidence = BY_PASSWORD
) -> int:
    """Store a delegation: `owner`'s share, sealed to each recipient under `terms`. Return its entry.

    `evidence`, verified already, is how the owner agreed to the terms.
    """
    key = find_key(tx, terms.key_id)
    if terms.owner != owner or owner not in key.envelope.holdings:
        raise Forbidden(f"{owner} can lend only a share of their own")
    if not tx.row("SELECT 1 FROM account WHERE name = ? AND role = 'owner' AND NOT disabled", owner):
        raise Forbidden(f"{owner} is disabled")  # while the share was being sealed
    if terms.key != key.name or terms.signer not in key.envelope.facts.signers:
        raise Forbidden(f"{key.name} is not sealed for the signer {terms.signer}")
    if terms.end <= tx.now:
        raise BadInput("end", "the delegation would have ended already")
    if terms.start > tx.now + MAX_LIFE:
        raise BadInput("start", f"must be within {MAX_LIFE.days} days from now")
    row = tx.row("SELECT recipient FROM signer WHERE name = ? AND NOT disabled", terms.signer)
    if not row or [row["recipient"]] != [str(each) for each in terms.recipients]:
        raise Conflict(
            f"{terms.signer} has restarted since or is disabled; ask for new terms and delegate again"
        )
    if set(sealed) != {str(each) for each in terms.recipients}:
        raise BadInput("sealed", "must hold the share sealed to each recipient")
    _check_request(tx, key, terms)
    if tx.row("SELECT 1 FROM delegation WHERE id = ?", terms.id):
        raise Conflict("these terms were granted already")
    _check_count(tx, terms)
    tx.write(
        "INSERT INTO delegation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        terms.id,
        terms.key_id,
        owner,
        terms.signer,
        terms.request,
        int(terms.end.timestamp()),
        bytes(terms),
        json.dumps(dict(sealed)),
        terms.uses,
    )
    by = Actor(role="owner", name=owner)
    entry = tx.append(_granted_event(terms, evidence), by)
    end_answered(tx, key, terms.signer, by)
    return entry


def _check_count(tx: Transaction, terms: Terms) -> None:
    """See that one owner alone does not make every lease of a key slow; what they revoked counts as well."""
    out = tx.rows(
        "SELECT ends FROM delegation WHERE key_id = ? AND ends > ? AND owner = ? ORDER BY ends",
        terms.key_id,
        tx.seconds,
        terms.owner,
    )
    if len(out) >= MOST:
        wait = out[-MOST]["ends"] - tx.seconds
        said = f"{len(out)} delegations of {terms.owner} for {terms.key} have not ended"
        raise TooMany(f"{said}; lend more uses with one, in {wait} s", retry_after=wait)


def _check_request(tx: Transaction, key: Key, terms: Terms) -> None:
    """See that what `terms` say they answer can be answered, and by this owner."""
    if not ID.fullmatch(terms.request):
        if key.envelope.facts.no_self_approval:
            raise Forbidden(
                f"{key.name} is lent only for what somebody else asked for: name their request, "
                "`custodian request list` shows them"
            )
        return  # a ticket of somewhere else
    request = find_request(tx, terms.request)
    asked, state = request.petition, request.state(tx.now)
    if (asked.key_id, asked.signer) != (terms.key_id, terms.signer):
        raise BadInput(
            "request", f"{request.id} is for {asked.key} through {asked.signer}; lend it to that signer"
        )
    if not may_answer(request, key, terms.owner):
        raise Forbidden(f"{terms.owner} asked for {request.id}; another owner of {key.name} has to answer it")
    if state not in ("waiting", "answered") or tx.now >= asked.expires:
        over = "expired" if state == "answered" else state
        raise Conflict(
            f"request {request.id} has ended: {over}; lend for one that waits, or have it asked anew"
        )


def _granted_event(terms: Terms, evidence: Evidence) -> DelegationGranted:
    return DelegationGranted(
        id=terms.id,
        owner=terms.owner,
        key=terms.key,
        key_id=terms.key_id,
        signer=terms.signer,
        uses=terms.uses,
        start=format_instant(terms.start),
        end=format_instant(terms.end),
        constraints=Limits(**terms.constraints.record()),
        request=terms.request,
        terms_sha256=terms.digest.hex(),
        evidence=evidence,
    )
