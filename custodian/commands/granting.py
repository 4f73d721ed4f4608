"""Making a grant on the owner's side: what was wished for, said exactly, agreed to, signed and sealed."""

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from custodian import lending
from custodian.commands.material import Material
from custodian.commands.signing import Person
from custodian.commands.wishes import answered, limit
from custodian.encoding import canonical_json, encode_base64, fingerprint, format_instant
from custodian.errors import Forbidden
from custodian.lending import Wish
from custodian.telling import count
from custodian.terms import Terms
from custodian.wire import parse_request
from custodian.wire_slots import Grant

VERSION = "custodian/grant/v1"


def make_grant(
    material: Material, key: str, wish: Wish, person: Person, agree: Callable[[Sequence[str]], None]
) -> tuple[Grant, Terms]:
    """Make a grant of `key` as `person`, who is shown the exact terms and has to `agree`.

    Raises:
        CustodianError: something is not as it should be; nothing was signed or sealed.
    """
    envelope, facts = material.envelope, material.envelope.facts
    if (facts.name, material.signer) != (key, wish.signer):
        raise Forbidden(f"this is for lending {facts.name} to {material.signer}, not {key} to {wish.signer}")
    _check_request(material, wish)
    recipient = lending.announced_recipient(facts, wish.signer, material.announcement)
    now, nonce = datetime.now(UTC), secrets.token_bytes(16)
    terms = lending.draft(envelope, person.name, wish, recipient, now=now, nonce=nonce)
    agree(_statement(terms, material))
    record = {
        "type": VERSION,
        "terms": encode_base64(bytes(terms)),
        "sealed": lending.seal_share(envelope, terms, person.owner_key(material.slots)),
        "evidence": person.sign(bytes(terms)).model_dump(),  # last: what does not open is not agreed to
    }
    return parse_request(Grant, canonical_json(record)), terms


def _check_request(material: Material, wish: Wish) -> None:
    petition, facts = material.petition, material.envelope.facts
    if petition and petition.id != wish.request:
        raise Forbidden(f"this is for answering {petition.id}: say --request {petition.id}")
    if petition and (petition.key_id, petition.signer) != (facts.id, wish.signer):
        raise Forbidden(f"{petition.id} asks for {petition.key} through {petition.signer}, not for this")


def _statement(terms: Terms, material: Material) -> list[str]:
    """Say what is about to be agreed to, to the second.

    Also since when the signer runs: an announcement of before stays right, and could be shown again.
    """
    recipients = ", ".join(fingerprint(str(each)) for each in terms.recipients)
    since = format_instant(material.announcement.announced) if material.announcement else ""
    return [
        f"You lend your share of {terms.key} to {terms.signer}: {count(terms.uses, 'signature')},",
        f"from {format_instant(terms.start)} until {format_instant(terms.end)}; {limit(terms)}.",
        f"Only {terms.signer} as it runs since {since} can open it: recipient {recipients}.",
        *answered(material.petition, terms.request),
    ]
