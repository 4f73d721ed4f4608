"""Commands of owners: lend, and take back."""

import click

from custodian.client import Client, place
from custodian.commands.asking import caller, echo_json, echo_table, json_option
from custodian.encoding import parse_duration
from custodian.telling import count, limits


@click.command()
@click.argument("key")
@click.option("--signer", required=True, help="The signer it is lent to.")
@click.option("--uses", type=click.IntRange(1), required=True, help="How many signatures.")
@click.option("--for", "duration", required=True, metavar="TIME", help="How long: 90s, 15m, 1h30m, 2d.")
@click.option("--start", metavar="INSTANT", help="From when, as 2026-11-23T12:00:00Z; else from now.")
@click.option("--profile", "profiles", multiple=True, help="Only this signing profile; may be repeated.")
@click.option("--name", "names", multiple=True, help="Only for this name, or *.example.com; may be repeated.")
@click.option("--max-validity", metavar="TIME", help="Only certificates valid for at most this long.")
@click.option("--allow-ca", is_flag=True, help="Also certificates of CAs.")
@click.option("--request", default="", help="What this answers, e.g. a ticket; it is in the history.")
@json_option
@caller
def delegate(client: Client, key: str, *, as_json: bool, **asked: object) -> None:
    """Lend your share of KEY to a signer, within limits.

    \b
    Example: custodian delegate ca --signer ca-1 --uses 10 --for 1h --name '*.example.com' -u alice
    """
    wish = _wish(key, asked)
    click.echo(_statement(wish), err=True)
    granted = client.call("POST", "/delegations", wish)
    if as_json:
        echo_json(granted)
        return
    click.echo(f"Lent: {granted['id']}, {granted['start']} to {granted['end']}.")
    click.echo(f"To take it back:  custodian revoke {granted['id']} -u {client.user}")


def _wish(key: str, asked: dict[str, object]) -> dict[str, object]:
    validity = asked["max_validity"]
    most = int(parse_duration(str(validity), "--max-validity").total_seconds()) if validity else 0
    parse_duration(str(asked["duration"]), "--for")
    wish = {
        "key": key,
        "signer": asked["signer"],
        "uses": asked["uses"],
        "duration": asked["duration"],
        "constraints": {
            "profiles": _list(asked["profiles"]),
            "names": _list(asked["names"]),
            "max_validity": most,
            "ca": asked["allow_ca"],
        },
        "request": asked["request"],
    }
    return wish | ({"start": asked["start"]} if asked["start"] else {})


def _list(values: object) -> list[str]:
    return [str(each) for each in values] if isinstance(values, tuple) else []


def _statement(wish: dict[str, object]) -> str:
    """Say what is about to be lent, to whom, until when."""
    constraints = wish["constraints"]
    limit = limits(constraints) if isinstance(constraints, dict) else ""
    uses = count(int(str(wish["uses"])), "signature")
    return (
        f"You lend your share of {wish['key']} to {wish['signer']}: {uses}, "
        f"for {wish['duration']} from {wish.get('start', 'now')}; {limit or 'whatever its profiles allow'}."
    )


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
