"""Owners at their own end of the wire: a terminal with a device key, a browser with a passkey."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from authenticators import Passkey, device, device_credential
from running import Answer, World, basic

from custodian.encoding import decode_base64, encode_base64
from custodian.envelope import parse_envelope
from custodian.evidence import Credential, slot_added
from custodian.lending import Wish, draft, seal_share
from custodian.site import Site
from custodian.slots import parse_slot
from custodian.terms import Constraints


def wired(credential: Credential) -> dict[str, str]:
    names = ("id", "kind", "label", "public", "handle")
    return {name: getattr(credential, name) for name in names}


class Owner:
    """An owner who has enrolled with a password."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.site = Site(f"https://localhost:{world.daemon.url.rpartition(':')[2]}", "localhost")
        self.device, self.passkey = device(name), Passkey(self.site)

    def call(self, path: str, body: Any, *, session: bool = False) -> Answer:
        authorization = f"Bearer {self.world.sign_in(self.name)}" if session else basic(self.name)
        return self.world.daemon.call("POST", path, body, authorization=authorization)

    def me(self) -> Any:
        return self.world.person(self.name, "GET", "/me").ok()

    def ids(self) -> tuple[list[str], list[str]]:
        me = self.me()
        slots = [parse_slot(decode_base64(each, "slot")).id for each in me["slots"]]
        return slots, [each["id"] for each in me["credentials"]]

    def device_by_password(self, **changes: Any) -> dict[str, Any]:
        """Return what has the custodian make a device slot with the owner's password."""
        credential = device_credential(self.device)
        message = slot_added(self.name, "", f"device {self.device.public}")
        return {
            "public": str(self.device.unlock.public),
            "parameters": {"label": "laptop"},
            "credential": wired(credential),
            "possession": self.device.agree(message, credential.id).model_dump(),
        } | changes

    def grant(self, **wishes: Any) -> dict[str, Any]:
        """Make a grant with the device key: the custodian sees ciphertext only."""
        key = self.world.person(self.name, "GET", "/keys/ca").ok()
        envelope = parse_envelope(decode_base64(key["envelope"], "envelope"))
        slots = [parse_slot(decode_base64(each, "slot")) for each in self.me()["slots"]]
        slot = next(each for each in slots if each.id == "device-laptop")
        usual: dict[str, Any] = {
            "signer": "ca-1",
            "uses": 3,
            "start": None,
            "duration": timedelta(hours=1),
            "constraints": Constraints(),
            "request": "",
        }
        recipient = self.world.signer.recipient.public
        now, nonce = datetime.now(UTC), os.urandom(16)
        terms = draft(envelope, self.name, Wish(**usual | wishes), recipient, now=now, nonce=nonce)
        return {
            "type": "custodian/grant/v1",
            "terms": encode_base64(bytes(terms)),
            "sealed": seal_share(envelope, terms, slot.open(self.device.unlock)),
            "evidence": self.device.agree(bytes(terms), "device-laptop").model_dump(),
        }
