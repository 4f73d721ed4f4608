"""What all commands share: who calls, how a password is asked for, how errors and answers are told."""

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from custodian.client import ByPassword, Caller, Client, read_secret
from custodian.errors import CustodianError


class Commands(click.Group):
    """A group whose errors are one sentence on standard error and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CustodianError as error:
            raise click.ClickException(error.detail) from None


def caller(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say who calls, and a `Client` made of them."""
    return _with_options(command, _by_password_or_key)


def signatory(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command what `caller` gives it, and the `Person` who calls, who can sign and open."""

    @functools.wraps(command)
    def run(*args: Any, client: Client, **rest: Any) -> Any:
        return command(*args, client=client, person=client.caller, **rest)

    return _with_options(run, _person)


def _with_options(command: Callable[..., Any], make: Callable[["Given"], Caller]) -> Callable[..., Any]:
    @click.option(
        "-u", "--user", envvar="CUSTODIAN_USER", help="Your name here; a device key knows whose it is."
    )
    @click.option(
        "--password-file",
        envvar="CUSTODIAN_PASSWORD_FILE",
        metavar="FILE",
        help="Read the password from FILE, or from - (stdin); else you are asked.",
    )
    @file_option(
        "--device-key",
        envvar="CUSTODIAN_DEVICE_KEY",
        help="Prove who you are with what `custodian slot add --device` made, not with a password.",
    )
    @file_option(
        "--ssh-key", help="Prove it with an SSH key, or with its .pub where an agent or token holds it."
    )
    @server
    @functools.wraps(command)
    def run(*args: Any, url: str, ca: Path | None, **rest: Any) -> Any:
        given = Given(*(rest.pop(option) for option in ("user", "password_file", "device_key", "ssh_key")))
        client = Client(url, ca, make(given))
        try:
            return command(*args, client=client, **rest)
        finally:
            client.leave()

    return run


@dataclass(frozen=True, slots=True)
class Given:
    """What was said of who calls."""

    user: str | None
    password_file: str | None
    device_key: Path | None
    ssh_key: Path | None


def _by_password_or_key(given: Given) -> Caller:
    if given.device_key or given.ssh_key:
        return _person(given)
    return ByPassword(_name(given.user), _password(given, _name(given.user)))


def _person(given: Given) -> Caller:
    from custodian.commands.signing import Person, read_device_key

    device = read_device_key(given.device_key) if given.device_key else None
    if device and given.user not in (None, device.owner):
        raise click.UsageError(f"the device key is {device.owner}'s, not {given.user}'s")
    name = device.owner if device else _name(given.user)
    options = [f"--device-key {given.device_key}" if device else f"-u {name}"]
    options += [f"--ssh-key {given.ssh_key}"] if given.ssh_key else []
    return Person(name, _password(given, name), device, given.ssh_key, " ".join(options))


def _name(user: str | None) -> str:
    if not user:
        raise click.UsageError("say who you are: -u NAME, or --device-key FILE")
    return user


def _password(given: Given, name: str) -> Callable[[], str]:
    """Return what reads or asks for the password, once, when it is called."""

    @functools.cache
    def password() -> str:
        if given.password_file:
            return read_secret(given.password_file)
        return str(click.prompt(f"Password of {name} (hidden)", hide_input=True, err=True))

    return password


def server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say where the custodian is."""
    for option in (
        click.option(
            "--ca",
            type=click.Path(path_type=Path, dir_okay=False),
            envvar="CUSTODIAN_CA",
            help="Its certificate, tls.pem, where it is not from a public CA.",
        ),
        click.option(
            "--url",
            envvar="CUSTODIAN_URL",
            default="https://127.0.0.1:8443",
            show_default=True,
            help="Where the custodian is.",
        ),
    ):
        command = option(command)
    return command


def file_option(*names: str, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return an option whose value is the path of a file."""
    return click.option(*names, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", **more)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the custodian's answer as JSON.")


def ask_new_password(prompt: str, file: object) -> str:
    """Ask for a new password twice, or read it from a file."""
    if file:
        return read_secret(str(file))
    return str(click.prompt(f"{prompt} (hidden)", hide_input=True, confirmation_prompt=True, err=True))


def echo_now(text: str) -> None:
    """Print a line and flush it: somebody may wait for it in a pipe."""
    click.echo(text)
    sys.stdout.flush()


def echo_json(answer: Any) -> None:
    click.echo(json.dumps(answer, indent=2))


def echo_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], nothing: str) -> None:
    """Print columns with a head, or say that there is `nothing`."""
    if not rows:
        click.echo(nothing)
        return
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
