"""Commands that look at keys."""

from datetime import UTC, datetime

import click

from custodian.client import Client, place
from custodian.commands.asking import Commands, caller, echo_json, echo_table, json_option
from custodian.telling import outlook

CLOSED = 2  # exit status, as other vaults say "sealed"


@click.group(cls=Commands)
def key() -> None:
    """The keys in custody."""


@key.command("list")
@json_option
@caller
def list_keys(client: Client, *, as_json: bool) -> None:
    """List the keys.

    \b
    Example: custodian key list -u alice
    """
    keys = client.call("GET", "/keys")
    if as_json:
        echo_json(keys)
        return
    rows = [(each["name"], each["algorithm"], each["policy"], ", ".join(each["signers"])) for each in keys]
    nothing = "There are no keys yet; `signer init-ca` makes one and seals it."
    echo_table(("NAME", "ALGORITHM", "POLICY", "SIGNERS"), rows, nothing)


@key.command("show")
@click.argument("name")
@json_option
@caller
def show_key(client: Client, name: str, *, as_json: bool) -> None:
    """Show a key and its certificate.

    \b
    Example: custodian key show ca -u alice
    """
    found = client.call("GET", place("keys", name))
    if as_json:
        echo_json(found)
        return
    for field in ("name", "id", "algorithm", "policy", "created"):
        click.echo(f"{field + ':':<11}{found[field]}")
    for field in ("veto", "signers"):
        click.echo(f"{field + ':':<11}{', '.join(found[field]) or '-'}")
    if found["no_self_approval"]:
        click.echo(f"{'rule:':<11}no self-approval; owners lend only for a request that somebody else made")
    click.echo(f"{'public:':<11}SHA-256 {found['public']}\n{found['certificate']}", nl=False)


@click.command()
@click.argument("key", required=False)
@json_option
@caller
def status(client: Client, key: str | None, *, as_json: bool) -> None:
    """Say how far each key, or one, is from opening. Exit status: 0 all open, 2 one is closed.

    \b
    Example: custodian status ca -u alice
    """
    outlooks = client.call("GET", "/status")
    if key:
        client.call("GET", place("keys", key))  # says so if there is none
        outlooks = [each for each in outlooks if each["key"] == key]
    if as_json:
        echo_json(outlooks)
    else:
        now = datetime.now(UTC)
        lines = [line for each in outlooks for line in outlook(each, now)]
        click.echo("\n".join(lines) or "There are no keys yet; `signer init-ca` makes one and seals it.")
    if not all(each["open"] for each in outlooks):
        raise SystemExit(CLOSED)
