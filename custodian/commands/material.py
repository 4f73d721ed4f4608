"""What an owner's side needs to make a grant: read from the custodian, or from a file carried to a machine
that cannot reach it. Both are parsed here, and neither is believed: custodian/lending.py checks them.
"""

from dataclasses import dataclass

from custodian.client import Client, place
from custodian.encoding import canonical_json, decode_base64, encode_base64, parse_instant
from custodian.envelope import Envelope, parse_envelope
from custodian.errors import BadInput, NotFound
from custodian.evidence import Credential
from custodian.lending import Announcement
from custodian.petition import Petition, parse_petition, parse_shown
from custodian.sealing import parse_public_key
from custodian.slots import Slot, parse_slot
from custodian.wire import parse_request
from custodian.wire_slots import Material as WireMaterial

VERSION = "custodian/material/v1"


@dataclass(frozen=True, slots=True)
class Material:
    envelope: Envelope
    signer: str
    announcement: Announcement | None
    owner: str
    slots: tuple[Slot, ...]
    credentials: tuple[Credential, ...]
    petition: Petition | None


def fetch_material(client: Client, key: str, signer: str, request: str = "") -> bytes:
    """Return what lending `key` to `signer` needs, as it is kept; with a request, for answering that.

    The signer may be left out where a request names it.
    """
    me = client.call("GET", "/me")
    petition = fetch_petition(client, request) if request else None
    signer = signer or (petition.signer if petition else "")
    if not signer:
        raise BadInput("--signer", "is missing; or say --request with the id of a request")
    signers = {each["name"]: each for each in client.call("GET", "/signers")}
    if signer not in signers:
        raise NotFound(f"there is no signer {signer}; `custodian signer list` shows them")
    said = {name: signers[signer][name] for name in ("recipient", "announced", "announcement")}
    record = said | {
        "type": VERSION,
        "envelope": client.call("GET", place("keys", key))["envelope"],
        "signer": signer,
        "owner": me["name"],
        "slots": me["slots"],
        "credentials": me["credentials"],
        "request": encode_base64(bytes(petition)) if petition else "",
    }
    return canonical_json(record)


def fetch_petition(client: Client, request: str) -> Petition:
    """Return what a request says. Raises Forbidden if the custodian gives another one: its id is a digest."""
    return parse_shown(client.call("GET", place("requests", request))["body"], request)


def parse_material(data: bytes) -> Material:
    """Raises BadInput naming what is not in its format."""
    wired = parse_request(WireMaterial, data)
    petition = decode_base64(wired.request, "request")
    return Material(
        envelope=parse_envelope(decode_base64(wired.envelope, "envelope")),
        signer=wired.signer,
        announcement=_announcement(wired) if wired.recipient else None,
        owner=wired.owner,
        slots=tuple(parse_slot(decode_base64(each, "slots")) for each in wired.slots),
        credentials=tuple(
            Credential(each.id, each.kind, each.label, each.public, each.handle) for each in wired.credentials
        ),
        petition=parse_petition(petition) if petition else None,
    )


def _announcement(wired: WireMaterial) -> Announcement:
    return Announcement(
        parse_public_key(wired.recipient, "recipient"),
        parse_instant(wired.announced, "announced"),
        decode_base64(wired.announcement, "announcement"),
    )
