"""Grants that are carried: made where nobody reaches the custodian, looked at, sent by whoever can."""

from pathlib import Path

import click

from custodian.client import Client
from custodian.commands.asking import Commands, caller, echo_json, file_option, json_option, server

FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group(cls=Commands)
def grant() -> None:
    """Delegations in a file: `custodian delegate -o grant.json` makes one.

    A grant holds no secret: the share in it opens for its signer alone, under its terms alone, and the
    custodian takes it once. So it may travel by mail or on a stick, and anybody may send it.

    \b
    Where the owner's machine reaches nothing:
      custodian grant material ca --signer ca-1 -o material.json -u alice      at one that does
      custodian delegate ca --signer ca-1 --uses 10 --for 1h --device-key alice.key \\
          --material material.json -o grant.json                               at the owner's
      custodian grant post grant.json                                          at any that does
    """


@grant.command("material")
@click.argument("key")
@click.option("--signer", default="", help="The signer it is to be lent to.")
@click.option("--request", default="", metavar="ID", help="The request that is to be answered.")
@file_option("-o", "--output", required=True, help="Where to write it; it holds no secret.")
@caller
def material(client: Client, key: str, *, signer: str, request: str, output: Path) -> None:
    """Write what you need to lend KEY on a machine without a network.

    \b
    Example: custodian grant material ca --signer ca-1 -o material.json -u alice
    """
    from custodian.commands.grantfiles import write_public
    from custodian.commands.material import fetch_material

    write_public(output, fetch_material(client, key, signer, request))
    click.echo(
        f"{output} holds what {client.user} needs to lend {key}. It is of use until the signer restarts."
    )
    click.echo(f"There:  custodian delegate {key} … --device-key FILE --material {output} -o grant.json")


@grant.command("show")
@FILE
@file_option("--material", help="Check it against what `grant material` wrote for its owner.")
def show(file: Path, material: Path | None) -> None:
    """Say what a grant lends, and whether it is right as far as this machine can tell.

    \b
    Example: custodian grant show grant.json --material material.json
    """
    from custodian.commands.grantfiles import described, read_bytes, read_grant
    from custodian.commands.material import parse_material

    wired, terms = read_grant(file)
    known = parse_material(read_bytes(material)) if material else None
    click.echo("\n".join(described(wired, terms, known)))


@grant.command("post")
@FILE
@json_option
@server
def post(url: str, ca: Path | None, file: Path, *, as_json: bool) -> None:
    """Send a grant to the custodian; you need not be its owner, nor sign in.

    \b
    Example: custodian grant post grant.json
    """
    from custodian.commands.grantfiles import read_grant

    wired, terms = read_grant(file)
    granted = Client(url, ca).call("POST", "/grants", wired.model_dump())
    if as_json:
        echo_json(granted)
        return
    click.echo(f"Lent: {granted['id']}, {granted['start']} to {granted['end']}.")
    click.echo(
        f"{terms.owner} takes it back with:  custodian revoke {granted['id']}"
        f" -u {terms.owner}  (or --device-key FILE)"
    )
