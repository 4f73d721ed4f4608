"""Making what opens an owner's key and proves who they are, on the owner's side: device keys, SSH keys."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from custodian.client import Client, place
from custodian.commands.signing import Person, device_credential
from custodian.commands.sshkeys import read_ssh_key, sign_with_ssh, ssh_credential
from custodian.devicekey import DeviceKey, format_device_key, make_device_key
from custodian.encoding import decode_base64, encode_base64
from custodian.errors import BadInput, CannotOpen, Forbidden
from custodian.evidence import enrolled, slot_added, slot_removed
from custodian.sealing import PrivateKey
from custodian.slots import Slot, make_slot, parse_slot


def own_slots(me: dict[str, Any]) -> list[Slot]:
    return [parse_slot(decode_base64(each, "slots")) for each in me["slots"]]


def add_device(client: Client, person: Person, name: str, file: Path) -> str:
    """Make a device key in a new file, and its slot and credential; return their id.

    Whoever signs opens the owner's key here. Otherwise the custodian does, with the password of the call.
    """
    key = make_device_key(person.name, secrets.token_bytes(32), name)
    with new_secret_file(file, format_device_key(key)):
        if person.signs:
            owner_key = person.owner_key(own_slots(client.call("GET", "/me")))
            _add(client, person, slot=_slot(key, owner_key), **_credential(key))
        else:
            made = {"public": str(key.unlock.public), "parameters": {"label": name}}
            me = _add(client, person, **made, **_credential(key))
            _check_made(key, own_slots(me))
    return device_credential(key)


def add_ssh_key(client: Client, person: Person, file: Path) -> str:
    """Make an SSH key a credential; it has to sign once, to show that it is at hand. Return its id."""
    key = read_ssh_key(file)
    identity = ssh_credential(key)
    said = {"id": identity, "kind": "ssh", "label": file.stem[:64], "public": str(key), "handle": ""}
    _add(client, person, credential=said, possession=lambda message: sign_with_ssh(file, message))
    return identity


def remove(client: Client, person: Person, slot: str) -> None:
    evidence = person.sign(slot_removed(person.name, slot)) if person.signs else None
    body = {"evidence": evidence.model_dump()} if evidence else {}
    client.call("POST", place("me", "slots", slot, "remove"), body)


def enrol_device(client: Client, code: str, name: str, file: Path) -> Any:
    """Become an owner whose key was made here, and whom no password can be guessed of."""
    invited = client.call("POST", "/enrolments/look", {"invitation": code})
    if invited["role"] != "owner":
        raise BadInput("--device-key", f"is for owners; {invited['name']} enrols with a password")
    key = make_device_key(invited["name"], secrets.token_bytes(32), name)
    owner_key = PrivateKey(PrivateKey.DEFAULT_SUITE, secrets.token_bytes(32))
    public = str(owner_key.public)
    agreed = key.agree(enrolled(key.owner, public), device_credential(key))
    body = {
        "invitation": code,
        "public": public,
        "slots": [_slot(key, owner_key)],
        "credentials": [_credential(key)["credential"]],
        "possession": [agreed.model_dump()],
    }
    with new_secret_file(file, format_device_key(key)):
        answer = client.call("POST", "/enrolments/devices", body)
    if answer["public"] != public:
        raise Forbidden("the custodian enrolled another key than yours; tell an administrator")
    return answer


@contextmanager
def new_secret_file(file: Path, text: str) -> Iterator[None]:
    """Write a file that nobody else reads, before it is needed; take it away if that fails.

    Raises:
        BadInput: it is there already, or cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInput(str(file), "is there already; no key is written over another") from None
    except OSError as error:
        raise BadInput(str(file), f"cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            file.unlink()
        raise


def _slot(key: DeviceKey, owner_key: PrivateKey) -> str:
    """Return a device's slot, with the owner's key in it, in base64."""
    place_of = (key.owner, device_credential(key), "device")
    return encode_base64(bytes(make_slot(owner_key, place_of, key.unlock.public, label=key.label)))


def _credential(key: DeviceKey) -> dict[str, Any]:
    """Return a device's credential, and what signs for it."""
    identity = device_credential(key)
    said = {"id": identity, "kind": "device", "label": key.label, "public": key.public, "handle": ""}
    return {"credential": said, "possession": lambda message: key.agree(message, identity)}


def _add(client: Client, person: Person, *, credential: Any, possession: Any, **more: Any) -> Any:
    """Add a credential, perhaps with a slot: the new one and an old one sign the same."""
    kind_and_key = f"{credential['kind']} {credential['public']}"
    message = slot_added(person.name, more.get("slot", ""), kind_and_key)
    proof = {"evidence": person.sign(message).model_dump()} if person.signs else {}
    signed = {"credential": credential, "possession": possession(message).model_dump()}
    return client.call("POST", "/me/slots", more | signed | proof)


def _check_made(key: DeviceKey, slots: list[Slot]) -> None:
    """See that the slot that the custodian made opens for the device."""
    identity = device_credential(key)
    slot = next((each for each in slots if each.id == identity and each.owner == key.owner), None)
    if slot is None:
        raise CannotOpen(f"the custodian made no slot {identity}; tell an administrator")
    slot.open(key.unlock)
