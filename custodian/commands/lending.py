"""Commands of owners: lend, and take back."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custodian.client import Client, place
from custodian.commands.asking import caller, echo_json, echo_table, file_option, json_option, signatory
from custodian.telling import count

if TYPE_CHECKING:
    from custodian.commands.signing import Person

REQUEST = re.compile("r-[0-9a-f]{12}")  # other texts are tickets of somewhere else


@click.command()
@click.argument("key")
@click.option("--signer", default="", help="The signer it is lent to.")
@click.option("--uses", type=click.IntRange(1), help="How many signatures.")
@click.option("--for", "duration", metavar="TIME", help="How long: 90s, 15m, 1h30m, 2d.")
@click.option("--start", metavar="INSTANT", help="From when, as 2026-11-23T12:00:00Z; else from now.")
@click.option("--profile", "profiles", multiple=True, help="Only this signing profile; may be repeated.")
@click.option("--name", "names", multiple=True, help="Only for this name, or *.example.com; may be repeated.")
@click.option("--max-validity", metavar="TIME", help="Only certificates valid for at most this long.")
@click.option("--allow-ca", is_flag=True, help="Also certificates of CAs.")
@click.option(
    "--request",
    default="",
    help="What this answers: the id of a request, which says what you leave out here, or a ticket.",
)
@click.option("-y", "--yes", is_flag=True, help="Lend without asking once more.")
@file_option("-o", "--output", help="Write the grant there instead of sending it; `grant post` does that.")
@file_option("--material", help="Work without the network, with what `grant material` wrote.")
@json_option
@signatory
def delegate(
    client: Client,
    person: "Person",
    key: str,
    *,
    output: Path | None,
    material: Path | None,
    yes: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Lend your share of KEY to a signer, within limits.

    With --device-key your share is opened, and sealed to the signer, on this machine: the custodian sees
    neither your password nor your share. With --ssh-key the SSH key agrees, and --device-key, or your
    password, which stays here too, opens the share. With a password alone the custodian does it all, and
    sees both for that moment.

    \b
    Examples:
      custodian delegate ca --signer ca-1 --uses 10 --for 1h --device-key alice.key
      custodian delegate ca --request r-0123456789ab --device-key alice.key
      custodian delegate ca --signer ca-1 --uses 10 --for 1h -u alice --ssh-key ~/.ssh/id_ed25519
      custodian delegate ca --signer ca-1 --uses 10 --for 1h --device-key alice.key \\
          --material material.json -o grant.json
      custodian delegate ca --signer ca-1 --uses 10 --for 1h --name '*.example.com' -u alice
    """
    if person.signs:
        granted = _lend_here(client, person, key, material, output, asked | {"yes": yes})
    elif material or output:
        raise click.UsageError("a grant is signed: --device-key or --ssh-key is needed")
    else:
        granted = _lend_there(client, key, asked, yes=yes)
    if granted is None:
        return
    if as_json:
        echo_json(granted)
        return
    click.echo(f"Lent: {granted['id']}, {granted['start']} to {granted['end']}.")
    click.echo(f"To take it back:  custodian revoke {granted['id']} {person.options}")


def _lend_here(
    client: Client, person: "Person", key: str, file: Path | None, output: Path | None, asked: dict[str, Any]
) -> Any:
    """Make a grant on this machine; send it, or write it and return None."""
    from custodian.commands.grantfiles import grant_bytes, read_bytes, write_public
    from custodian.commands.granting import make_grant
    from custodian.commands.material import fetch_material, parse_material
    from custodian.commands.wishes import make_wish

    request = asked["request"] if REQUEST.fullmatch(asked["request"]) else ""
    data = read_bytes(file) if file else fetch_material(client, key, asked["signer"], request)
    material = parse_material(data)
    wish = make_wish(asked, material.petition)
    grant, terms = make_grant(material, key, wish, person, lambda said: _agree(said, yes=asked["yes"]))
    if not output:
        return client.call("POST", "/grants", grant.model_dump(), as_nobody=True)
    write_public(output, grant_bytes(grant))
    click.echo(f"{output} holds {terms.id}; whoever has it can send it:  custodian grant post {output}")
    return None


def _lend_there(client: Client, key: str, asked: dict[str, Any], *, yes: bool) -> Any:
    """Have the custodian lend, with the password that the call carries."""
    from custodian.commands.material import fetch_petition
    from custodian.commands.wishes import answered, make_wish, wish_body, wish_sentence

    request = asked["request"]
    petition = fetch_petition(client, request) if REQUEST.fullmatch(request) else None
    wish = make_wish(asked, petition)
    said = [wish_sentence(key, wish), *answered(petition, wish.request)]
    _agree(said, yes=yes or petition is None)  # the password that is asked for next is consent enough
    return client.call("POST", "/delegations", wish_body(key, wish))


def _agree(said: Sequence[str], *, yes: bool) -> None:
    """Say what is about to be lent; at a terminal, ask."""
    click.echo("\n".join(said), err=True)
    if not yes and sys.stdin.isatty():
        click.confirm("Lend this?", abort=True, err=True)


@click.command()
@click.argument("delegation")
@json_option
@caller
def revoke(client: Client, delegation: str, *, as_json: bool) -> None:
    """Take back what you lent; what it opened closes at once.

    \b
    Example: custodian revoke d-00112233445566778899aabb -u alice
    """
    answer = client.call("DELETE", place("delegations", delegation))
    if as_json:
        echo_json(answer)
        return
    click.echo(f"{delegation} is revoked; {count(len(answer['leases_ended']), 'lease')} ended.")


@click.command()
@click.option("--all", "everybody", is_flag=True, help="What everybody lent, not you only.")
@json_option
@caller
def delegations(client: Client, *, everybody: bool, as_json: bool) -> None:
    """List what you lent, newest first.

    \b
    Example: custodian delegations -u alice
    """
    query = "" if everybody else f"?owner={client.user}"
    lent = client.call("GET", f"/delegations{query}")
    if as_json:
        echo_json(lent)
        return
    rows = [
        (
            each["id"],
            each["owner"],
            f"{each['key']} to {each['signer']}",
            f"{each['left']} of {each['uses']}",
            each["end"],
            each["state"],
        )
        for each in lent
    ]
    echo_table(("ID", "OWNER", "LENT", "USES LEFT", "UNTIL", "STATE"), rows, "Nothing is lent.")
