"""The owner's side of lending: what is checked before a share leaves its owner, and how it is sealed.

Nothing that a custodian says is believed here. What decides where a share goes, and for what:

    facts       which key, for which signers     the share opens only under those it was dealt with
    recipient   what the share is sealed to      announced by the identity that the facts pin
    terms       what the signer may do with it   made here; the share opens only under them

The commands use this where nobody but the owner sees the share; the opener uses it on behalf of owners
who gave their password.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from custodian.encoding import encode_base64
from custodian.envelope import Envelope, KeyFacts
from custodian.errors import BadInput, CannotOpen, Conflict, Forbidden
from custodian.sealing import PrivateKey, PublicKey
from custodian.shares import is_dealt
from custodian.terms import MAX_LIFE, Constraints, Terms, parse_terms


@dataclass(frozen=True, slots=True)
class Wish:
    """What an owner wants to lend, before it is made into exact terms."""

    signer: str
    uses: int
    start: datetime | None  # None: now
    duration: timedelta
    constraints: Constraints
    request: str


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is said to be a signer's recipient, and the signature that has to prove it."""

    recipient: PublicKey
    announced: datetime
    signature: bytes


def announced_recipient(facts: KeyFacts, signer: str, announcement: Announcement | None) -> PublicKey:
    """Return what a share may be sealed to: the recipient that the identity pinned for `signer` announced.

    Raises:
        Forbidden: the key is not sealed for `signer`, or another identity made the announcement.
        Conflict: there is no announcement.
    """
    pinned = facts.signers.get(signer)
    if pinned is None:
        raise Forbidden(f"{facts.name} is not sealed for the signer {signer}")
    if announcement is None:
        raise Conflict(f"{signer} has announced no recipient yet; start it, then delegate")
    recipient = announcement.recipient
    pinned.check_announcement(signer, recipient, announcement.announced, announcement.signature)
    return recipient


def draft(
    envelope: Envelope, owner: str, wish: Wish, recipient: PublicKey, *, now: datetime, nonce: bytes
) -> Terms:
    """Return the exact terms for what `owner` wants to lend. `nonce`: 16 random bytes.

    Raises:
        BadInput: the wish is outside the limits. Forbidden: owner or signer has no part in the key.
    """
    facts = envelope.facts
    if owner not in envelope.holdings:
        raise Forbidden(f"{owner} holds no share of {facts.name}")
    if wish.signer not in facts.signers:
        raise Forbidden(f"{facts.name} is not sealed for the signer {wish.signer}")
    start = (wish.start or now).replace(microsecond=0)
    if start > now + MAX_LIFE:
        raise BadInput("start", f"must be within {MAX_LIFE.days} days from now")
    if wish.duration > MAX_LIFE:
        raise BadInput("duration", f"must be at most {MAX_LIFE.days} days")
    end = start + wish.duration
    if end <= now:
        raise BadInput("start", "the delegation would have ended already")
    terms = Terms(
        key=facts.name,
        key_id=facts.id,
        owner=owner,
        signer=wish.signer,
        recipients=(recipient,),
        uses=wish.uses,
        start=start,
        end=end,
        constraints=wish.constraints,
        request=wish.request,
        nonce=nonce.hex(),
    )
    return parse_terms(bytes(terms))  # what the signer would refuse is refused here


def seal_share(envelope: Envelope, terms: Terms, owner_key: PrivateKey) -> dict[str, str]:
    """Open the owner's share and seal it to each recipient under `terms`: recipient -> base64.

    Raises:
        CannotOpen: the share is not as it was dealt, or what is said of the key was changed.
    """
    share = open_share(envelope, terms.owner, owner_key)
    return {str(each): encode_base64(each.seal(share, terms.share_info)) for each in terms.recipients}


def open_share(envelope: Envelope, owner: str, owner_key: PrivateKey) -> bytes:
    """Return `owner`'s share. Raises CannotOpen if it, or what is said of the key, was changed."""
    holding = envelope.holdings[owner]
    try:
        share = owner_key.open(holding.sealed, envelope.facts.share_info(owner))
    except CannotOpen:
        why = "the envelope is not as it was sealed; lend nothing and tell an auditor"
        raise CannotOpen(f"the share of {owner} does not open: {why}", (owner,)) from None
    if not is_dealt(envelope.facts.id, owner, share, holding.commitment):
        raise CannotOpen(f"the share of {owner} is not the one that was dealt", (owner,))
    return share
