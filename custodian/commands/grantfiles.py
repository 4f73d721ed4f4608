"""A grant in a file: written, read again, and checked as far as that can be done away from the custodian."""

from pathlib import Path

from custodian import lending
from custodian.commands.material import Material
from custodian.commands.wishes import limit
from custodian.encoding import canonical_json, decode_base64, fingerprint, format_instant
from custodian.errors import BadInput, Forbidden
from custodian.events import Evidence
from custodian.evidence import check
from custodian.site import Site
from custodian.telling import count
from custodian.terms import Terms, parse_terms
from custodian.wire import parse_request
from custodian.wire_slots import Grant

NOWHERE = Site("", "")  # what passkeys are for; only the custodian knows its own


def grant_bytes(grant: Grant) -> bytes:
    return canonical_json(grant.model_dump())


def read_grant(file: Path) -> tuple[Grant, Terms]:
    """Parse a grant's file. Raises BadInput naming what is not in its format."""
    return parse_grant(read_bytes(file))


def parse_grant(data: bytes) -> tuple[Grant, Terms]:
    wired = parse_request(Grant, data)
    terms = parse_terms(decode_base64(wired.terms, "terms"))
    if set(wired.sealed) != {str(each) for each in terms.recipients}:
        raise BadInput("sealed", "must hold the share sealed to each recipient")
    return wired, terms


def read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(str(file), f"cannot be read: {error.strerror}") from None


def write_public(file: Path, data: bytes) -> None:
    """Write what is no secret: ciphertext that only its recipient opens, signatures, public keys."""
    try:
        file.write_bytes(data + b"\n")
    except OSError as error:
        raise BadInput(str(file), f"cannot be written: {error.strerror}") from None


def described(wired: Grant, terms: Terms, known: Material | None) -> list[str]:
    """Say what a grant lends and what of it was checked here, against what is `known` if anything is.

    Raises:
        Forbidden: its recipient or its evidence is not right. FormatError: it is not in its format.
    """
    by, start, end = wired.evidence, format_instant(terms.start), format_instant(terms.end)
    return [
        f"{terms.owner} lends their share of {terms.key} to {terms.signer}:",
        f"{count(terms.uses, 'signature')}, from {start} until {end}; {limit(terms)}.",
        *([f"It answers: {terms.request}"] if terms.request else []),
        f"Delegation: {terms.id}, key {terms.key_id}",
        *(f"Sealed to:  {fingerprint(str(each))}" for each in terms.recipients),
        f"Agreed by:  {by.kind} {by.credential}",
        *(_checked(wired, terms, known) if known else ["Not checked: by whom, and to whom; say --material"]),
        "Not checked: the share, which opens for the signer only.",
    ]


def _checked(wired: Grant, terms: Terms, known: Material) -> list[str]:
    facts = known.envelope.facts
    if (facts.name, facts.id, known.signer) != (terms.key, terms.key_id, terms.signer):
        raise Forbidden(f"the material is for lending {facts.name} ({facts.id}) to {known.signer}")
    if terms.recipients != (lending.announced_recipient(facts, terms.signer, known.announcement),):
        raise Forbidden(f"the grant is sealed to something else than what {terms.signer} announced last")
    announced = f"Checked:    {terms.signer} announced this recipient, by the identity that the key names"
    return [announced, _checked_evidence(wired, terms, known)]


def _checked_evidence(wired: Grant, terms: Terms, known: Material) -> str:
    by = wired.evidence
    credential = next((each for each in known.credentials if each.id == by.credential), None)
    if known.owner != terms.owner or credential is None:
        return f"Not checked: by whom; the material does not know {by.credential} of {terms.owner}"
    if by.kind == "passkey":
        return "Not checked: by whom; the custodian checks what passkeys assert"
    check(Evidence(**by.model_dump()), credential, bytes(terms), NOWHERE)
    return f"Checked:    {terms.owner} agreed to exactly this, with {by.kind} {by.credential}"
