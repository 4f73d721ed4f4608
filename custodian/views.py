"""Domain values as the models of the wire."""

from collections.abc import Sequence
from datetime import UTC, datetime

from custodian.accounts import Account
from custodian.delegations import Lent
from custodian.encoding import encode_base64, format_instant
from custodian.keys import Key
from custodian.leases import LeaseSummary
from custodian.ownerslots import Held
from custodian.service import LeaseAnswer
from custodian.signers import Signer
from custodian.slots import Slot
from custodian.terms import Constraints
from custodian.wire import (
    DelegationView,
    KeyDetail,
    KeyView,
    LeaseView,
    LentShare,
    Person,
    SignerView,
    WireConstraints,
)
from custodian.wire import LeaseSummary as WireLeaseSummary
from custodian.wire_slots import Me, WireCredential


def person(account: Account) -> Person:
    return Person(name=account.name, role=account.role, public=account.public, disabled=account.disabled)


def me(account: Account, slots: Sequence[Slot], held: Sequence[Held]) -> Me:
    return Me(
        name=account.name,
        role=account.role,
        public=account.public,
        slots=[encode_base64(bytes(each)) for each in slots],
        credentials=[credential(each) for each in held],
    )


def credential(each: Held) -> WireCredential:
    shown = {name: getattr(each.credential, name) for name in ("id", "kind", "label", "public", "handle")}
    return WireCredential(**shown, added=format_instant(datetime.fromtimestamp(each.added, UTC)))


def signer(each: Signer) -> SignerView:
    return SignerView(
        name=each.name,
        identity=str(each.identity),
        recipient=str(each.recipient) if each.recipient else "",
        announced=format_instant(each.announced) if each.announced else "",
        announcement=encode_base64(each.announcement),
        disabled=each.disabled,
    )


def key(each: Key) -> KeyView:
    facts = each.envelope.facts
    return KeyView(
        name=facts.name,
        id=facts.id,
        algorithm=facts.algorithm,
        public=facts.public.hex(),
        policy=str(facts.policy),
        owners=list(each.envelope.holdings),
        veto=list(facts.veto),
        no_self_approval=facts.no_self_approval,
        signers=list(facts.signers),
        created=format_instant(facts.created),
        certificate=each.certificate,
    )


def key_detail(each: Key) -> KeyDetail:
    return KeyDetail(**key(each).model_dump(), envelope=encode_base64(bytes(each.envelope)))


def constraints(each: Constraints) -> WireConstraints:
    return WireConstraints(
        profiles=list(each.profiles), names=list(each.names), max_validity=each.max_validity, ca=each.ca
    )


def delegation(lent: Lent, now: datetime) -> DelegationView:
    terms = lent.delegation.terms
    return DelegationView(
        id=terms.id,
        owner=terms.owner,
        key=terms.key,
        signer=terms.signer,
        uses=terms.uses,
        left=lent.delegation.left,
        start=format_instant(terms.start),
        end=format_instant(terms.end),
        state=lent.state(now),
        constraints=constraints(terms.constraints),
        request=terms.request,
        terms=encode_base64(bytes(terms)),
    )


def lease(answer: LeaseAnswer) -> LeaseView:
    granted = answer.lease
    return LeaseView(
        id=granted.id,
        key=granted.key.name,
        uses=granted.uses,
        end=format_instant(granted.end),
        envelope=encode_base64(bytes(granted.key.envelope)),
        shares=[
            LentShare(
                terms=encode_base64(bytes(each.delegation.terms)), sealed=each.sealed[granted.recipient]
            )
            for each in granted.lent
        ],
        entry=answer.entry.decode(),
        receipt=answer.receipt.decode(),
        consistency=[encode_base64(each) for each in answer.consistency],
    )


def lease_summary(each: LeaseSummary, now: datetime) -> WireLeaseSummary:
    return WireLeaseSummary(
        id=each.id,
        key=each.key,
        signer=each.signer,
        uses=each.uses,
        end=format_instant(each.end),
        state=each.state(now),
        delegations=list(each.delegations),
    )
