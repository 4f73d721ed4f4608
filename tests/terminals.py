"""A terminal at which people prove who they are by keys, and what they sign with there."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from middleman import secret_forms
from running import Daemon, World, password_of, wait_until

from custodian.__main__ import main
from custodian.devicekey import DeviceKey, parse_device_key
from custodian.encoding import decode_base64
from custodian.envelope import parse_envelope
from custodian.lending import open_share
from custodian.slots import parse_slot

LEND = ("delegate", "ca", "--signer", "ca-1", "--uses", "5", "--for", "1h")
needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="there is no ssh-keygen here")


class KeyTerminal:
    """Runs commands in one directory, as nobody in particular, with nothing to read a password from."""

    def __init__(self, daemon: Daemon, directory: Path) -> None:
        self.directory = directory
        self.environment: dict[str, str | None] = {
            "CUSTODIAN_URL": daemon.url,
            "CUSTODIAN_CA": str(daemon.directory / "tls.pem"),
            "CUSTODIAN_USER": None,
            "CUSTODIAN_PASSWORD_FILE": None,
        }

    def run(self, *arguments: object, stdin: str | None = None, **environment: str) -> Result:
        here = Path.cwd()
        os.chdir(self.directory)
        try:
            runner = CliRunner(env=self.environment | environment)
            return runner.invoke(main, [str(each) for each in arguments], input=stdin)
        finally:
            os.chdir(here)

    def say(self, *arguments: object, **more: Any) -> str:
        """Run a command that must succeed; return what it prints."""
        result = self.run(*arguments, **more)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refusal(self, *arguments: object, **more: Any) -> str:
        """Run a command that must be refused; return the sentence that says why."""
        result = self.run(*arguments, **more)
        assert result.exit_code == 1, result.output
        return result.stderr.rpartition("Error: ")[2].removesuffix("\n")

    def with_password(self, name: str) -> tuple[str, ...]:
        """Return the options that say who calls, by a password in a file."""
        file = self.directory / f"password-{name}"
        file.write_text(f"{password_of(name)}\n")
        return ("-u", name, "--password-file", file.name)

    def key(self, file: str = "alice.key") -> DeviceKey:
        return parse_device_key((self.directory / file).read_text())


def make_ssh_key(file: Path, kind: str = "ed25519") -> None:
    """Make an SSH key without a passphrase at `file`, with its .pub beside it."""
    command = ("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "alice at work", "-f", str(file))
    subprocess.run(command, check=True, timeout=60)


@contextmanager
def ssh_agent(directory: Path, key: Path) -> Iterator[str]:
    """Run an agent that holds `key`; yield where it listens."""
    socket = str(directory / "agent")
    command = ("ssh-agent", "-D", "-a", socket)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as agent:
        try:
            wait_until(lambda: Path(socket).exists())
            environment = os.environ | {"SSH_AUTH_SOCK": socket}
            add = ("ssh-add", "-q", str(key))
            subprocess.run(add, env=environment, check=True, timeout=10)
            yield socket
        finally:
            agent.terminate()


def delegations(world: World) -> list[Any]:
    found: list[Any] = world.person("auditor", "GET", "/delegations").ok()
    return [each for each in found if each["state"] == "live"]


def secrets_of(world: World, key: DeviceKey) -> dict[str, bytes]:
    """Return whatever must not leave alice's machine."""
    slots = world.person("alice", "GET", "/me").ok()["slots"]
    slot = next(
        each
        for each in (parse_slot(decode_base64(text, "slot")) for text in slots)
        if each.public == key.unlock.public
    )
    owner_key = slot.open(key.unlock)
    envelope = parse_envelope(decode_base64(world.person("alice", "GET", "/keys/ca").ok()["envelope"], "e"))
    return {
        "password": password_of("alice").encode(),
        "seed": key.seed,
        "unlocking key": key.unlock.raw,
        "owner's key": owner_key.raw,
        "share": open_share(envelope, "alice", owner_key),
    }


def found(secrets: dict[str, bytes], spoken: bytes) -> list[str]:
    return [name for name, secret in secrets.items() if any(form in spoken for form in secret_forms(secret))]
