"""What all commands share: who calls, how a password is asked for, how errors and answers are told."""

import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from custodian.client import Client, read_secret
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

    @click.option("-u", "--user", envvar="CUSTODIAN_USER", required=True, help="Your name here.")
    @click.option(
        "--password-file",
        envvar="CUSTODIAN_PASSWORD_FILE",
        metavar="FILE",
        help="Read the password from FILE, or from - (stdin); else you are asked.",
    )
    @server
    @functools.wraps(command)
    def run(*args: Any, url: str, ca: Path | None, user: str, password_file: str | None, **rest: Any) -> Any:
        def password() -> str:
            if password_file:
                return read_secret(password_file)
            return str(click.prompt(f"Password of {user} (hidden)", hide_input=True, err=True))

        return command(*args, client=Client(url, ca, user, password), **rest)

    return run


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
