"""How people prove at a terminal who they are and what they agree to: a device key, an SSH key, a password.

What a key proves is signed here: no password, seed, owner's key or share is sent. A password is sent only
where a person calls with a password and nothing else.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from custodian.client import ByPassword, Client
from custodian.commands.sshkeys import sign_with_ssh
from custodian.devicekey import DeviceKey, parse_device_key
from custodian.encoding import parse_name
from custodian.errors import BadInput, CannotOpen, Forbidden
from custodian.events import Evidence
from custodian.sealing import PrivateKey
from custodian.slots import Slot, derive, parse_kdf
from custodian.statements import VERSION as STATEMENT


@dataclass(frozen=True, slots=True)
class Person:
    """Who calls, and what they gave to prove it; the password is asked for when it is needed."""

    name: str
    password: Callable[[], str]
    device: DeviceKey | None = None
    ssh: Path | None = None
    options: str = ""  # how this was said on the command line

    @property
    def signs(self) -> bool:
        return bool(self.device or self.ssh)

    def sign(self, message: bytes) -> Evidence:
        """Agree to `message`: with the SSH key if one was given, else with the device key."""
        if self.ssh:
            return sign_with_ssh(self.ssh, message)
        if self.device:
            return self.device.agree(message, device_credential(self.device))
        raise BadInput("--device-key", "or --ssh-key is needed to sign with")

    def owner_key(self, slots: Iterable[Slot]) -> PrivateKey:
        """Open the owner's key here: with the device key if there is one, else with the password.

        Raises:
            CannotOpen: no slot is for what was given, or it does not open.
        """
        if self.device:
            unlock = self.device.unlock
            return _first(slots, lambda slot: slot.public == unlock.public, "this device key").open(unlock)
        slot = _first(slots, lambda slot: slot.kind == "password", "a password")
        return slot.open(derive(self.password(), parse_kdf(slot.parameters)).unlock)

    def authorization(self, client: Client) -> str:
        """Return the header that says who calls: of a session, or with the password."""
        if not self.signs:
            return ByPassword(self.name, self.password).authorization(client)
        statement = client.call("GET", "/sessions/statement", as_nobody=True)["statement"]
        if not str(statement).startswith(f"{STATEMENT} "):  # or it could be terms that somebody else made
            raise Forbidden("what the custodian wants signed is no statement to sign in; tell an auditor")
        evidence = self.sign(statement.encode()).model_dump()
        proof = {"name": self.name, "statement": statement, "evidence": evidence}
        return f"Bearer {client.call('POST', '/sessions', proof, as_nobody=True)['token']}"


def _first(slots: Iterable[Slot], fits: Callable[[Slot], bool], what: str) -> Slot:
    for slot in slots:
        if fits(slot):
            return slot
    raise CannotOpen(f"there is no slot of yours for {what}; `custodian slot list` shows what there is")


def device_credential(key: DeviceKey) -> str:
    """Return the id under which the custodian knows a device: it follows from the device's name."""
    return parse_name(f"device-{key.label}" if key.label else "device", "device key.label")


def read_device_key(file: Path) -> DeviceKey:
    """Raises BadInput if it cannot be read, is no device key, or others than its owner can read it."""
    try:
        if file.stat().st_mode & 0o077:
            raise BadInput(str(file), f"can be read by others; run: chmod 600 {file}")
        return parse_device_key(file.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(file), f"cannot be read: {getattr(error, 'strerror', 'not text')}") from None
