"""What people open and prove with, and what they prove by it."""

from custodian import accounts, evidence, ownerslots, views, wire
from custodian.callers import session_cookie
from custodian.calls import NOBODY, OWNER, PEOPLE, Call, Request
from custodian.encoding import decode_base64
from custodian.errors import BadInput, Forbidden
from custodian.events import Evidence
from custodian.evidence import Credential
from custodian.ownerslots import Newcomer
from custodian.sealing import parse_public_key
from custodian.slots import Slot, check_parameters, parse_slot
from custodian.store import Transaction
from custodian.terms import parse_terms
from custodian.wire_slots import AddSlot, EnrolDevices, Grant, Me, RemoveSlot, WireCredential, WireEvidence


async def show_me(call: Request) -> Me:
    """Show who you are, your slots and your credentials."""
    return await call.custody.look(_me, call.caller.name)


async def add_slot(call: Request) -> Me:
    """Add a slot, a credential or both; proven by an old credential or by the password."""
    body: AddSlot = call.body
    custody, owner, site = call.custody, call.caller.name, call.custody.site
    credential = _credential(body.credential) if body.credential else None
    said = f"{body.credential.kind} {body.credential.public}" if body.credential else ""
    message = evidence.slot_added(owner, body.slot, said)
    if credential:
        if body.possession is None:
            raise BadInput("possession", "must be there: the new credential's signature over the same")
        evidence.check(_evidence(body.possession), credential, message, site)
    proof = _proof(call, body.evidence)
    slot = await _slot(call, body, credential)

    def add(tx: Transaction) -> None:
        if proof:
            ownerslots.prove(tx, owner, proof, message, site)
        ownerslots.add(tx, owner, slot, credential)

    await custody.change_as(call.caller, add)
    return await show_me(call)


async def remove_slot(call: Request) -> Me:
    """Remove a slot and the credential of its id."""
    body: RemoveSlot = call.body
    owner, gone, proof = call.caller.name, call.path["id"], _proof(call, body.evidence)
    keeps = call.caller.session or accounts.hash_secret(session_cookie(call.http))

    def remove(tx: Transaction) -> None:
        if proof:
            message = evidence.slot_removed(owner, gone)
            ownerslots.prove(tx, owner, proof, message, call.custody.site)
        ownerslots.remove(tx, owner, gone, keeps)

    await call.custody.change_as(call.caller, remove)
    return await show_me(call)


async def enrol(call: Request) -> wire.Enrolled:
    """Become an owner without a password, by an invitation, slots and credentials."""
    body: EnrolDevices = call.body
    newcomer = Newcomer(
        public=parse_public_key(body.public, "public"),
        slots=[parse_slot(decode_base64(each, "slots")) for each in body.slots],
        credentials=[_credential(each) for each in body.credentials],
        possession=[_evidence(each) for each in body.possession],
    )
    code, custody = body.invitation.get_secret_value(), call.custody
    account = await custody.change(ownerslots.enrol, code, custody.new_kdf(), newcomer, custody.site)
    return wire.Enrolled(role=account.role, name=account.name, public=account.public, vkey=custody.vkey)


async def carry(call: Request) -> wire.Granted:
    """Take a delegation that was made on its owner's side, whoever brings it."""
    body: Grant = call.body
    terms = parse_terms(decode_base64(body.terms, "terms"))
    lent, receipt = await call.custody.carry(terms, body.sealed, _evidence(body.evidence))
    view = await call.custody.look(lambda tx: views.delegation(lent, tx.now))
    return wire.Granted(**view.model_dump() | {"constraints": view.constraints}, receipt=receipt.decode())


def _proof(call: Request, given: WireEvidence | None) -> Evidence | None:
    """Return the evidence that this change needs; None: the password of this call is enough."""
    if call.caller.password:
        return None
    if given is None:
        raise Forbidden(
            "a session only reads; sign this with a credential, or send your password (HTTP Basic)"
        )
    return _evidence(given)


async def _slot(call: Request, body: AddSlot, credential: Credential | None) -> Slot | None:
    """Return the new slot, if there is one: as it was sent, or made with the password of this call."""
    if not body.public:
        return parse_slot(decode_base64(body.slot, "slot")) if body.slot else None
    if not call.caller.password or body.slot or credential is None:
        raise BadInput("public", "is for a call with a password and a credential, and without a slot")
    parameters = check_parameters(credential.kind, body.parameters)
    public, place = parse_public_key(body.public, "public"), (credential.id, credential.kind)
    old = await call.custody.look(accounts.password_slot, call.caller.name)
    return await call.custody.openers.extend(call.caller.password, old, place, public, parameters)


def _me(tx: Transaction, name: str) -> Me:
    account = accounts.find_account(tx, name)
    if account is None:
        raise Forbidden(f"there is no account {name} (any more)")
    slots, held = accounts.owner_slots(tx, name), ownerslots.list_credentials(tx, name)
    return views.me(account, slots, held)


def _evidence(wired: WireEvidence) -> Evidence:
    return Evidence(**wired.model_dump())


def _credential(wired: WireCredential) -> Credential:
    made = Credential(wired.id, wired.kind, wired.label, wired.public, wired.handle)
    return evidence.parse_credential(made)


CALLS = (
    Call("GET /me", PEOPLE, show_me, gives=Me),
    Call("POST /me/slots", OWNER, add_slot, AddSlot, Me, session=True),
    Call("POST /me/slots/{id}/remove", OWNER, remove_slot, RemoveSlot, Me, session=True),
    Call("POST /enrolments/devices", NOBODY, enrol, EnrolDevices, wire.Enrolled, 201),
    Call("POST /grants", NOBODY, carry, Grant, wire.Granted, 201),
)
