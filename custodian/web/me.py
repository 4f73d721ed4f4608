"""The page about oneself: what opens one's share, what proves who one is, and how to add to it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from custodian import accounts, ownerslots
from custodian.encoding import fingerprint, format_instant
from custodian.store import Transaction
from custodian.web.page import Page, Visit

NAMES = {"password": "Password", "passkey": "Passkey", "device": "Device key", "ssh": "SSH key"}


@dataclass(frozen=True, slots=True)
class Way:
    """A slot, a credential, or both of one id."""

    id: str
    kind: str
    label: str
    opens: bool
    proves: bool
    added: str  # '' where it is not known

    @property
    def title(self) -> str:
        name = NAMES.get(self.kind, self.kind)
        return f"{name}: {self.label}" if self.label else name

    @property
    def does(self) -> str:
        if self.opens and self.proves:
            return "Opens and signs"
        return "Opens" if self.opens else "Signs only"


async def show_me(visit: Visit) -> dict[str, Any]:
    def look(tx: Transaction) -> dict[str, Any]:
        account = accounts.find_account(tx, visit.me.name)
        public = account.public if account else ""
        found = ways(tx, visit.me.name)
        kinds = {each.kind for each in found if each.opens and each.proves}
        return {
            "ways": found,
            "proofs": [kind for kind in ("password", "passkey", "device") if kind in kinds],
            "fingerprint": fingerprint(public) if public else "",
            "origin": visit.custody.site.origin,
            "rp_id": visit.custody.site.rp_id,
        }

    return await visit.custody.look(look)


def ways(tx: Transaction, owner: str) -> list[Way]:
    """Return what opens an owner's share and what proves who they are, by id."""
    slots = {each.id: each for each in accounts.owner_slots(tx, owner)}
    held = {each.credential.id: each for each in ownerslots.list_credentials(tx, owner)}
    found = []
    for id_ in sorted(slots.keys() | held.keys()):
        slot, credential = slots.get(id_), held.get(id_)
        kind = credential.credential.kind if credential else slot.kind if slot else ""
        label = credential.credential.label if credential else ""
        added = format_instant(datetime.fromtimestamp(credential.added, UTC)) if credential else ""
        found.append(
            Way(id_, kind, label, slot is not None, credential is not None or kind == "password", added)
        )
    return found


ME = Page("/me", "me.html", show_me)
