"""Commands about requests: see what is asked for, say no, ask."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import click

from custodian.client import Client, place
from custodian.commands.asking import caller, echo_json, echo_table, json_option
from custodian.encoding import canonical_json, parse_duration
from custodian.telling import duration, plain, time_left

STATES = ("waiting", "answered", "declined", "vetoed", "expired", "withdrawn")
reason_option = click.option("--reason", required=True, help="Why; the asker and the history are told.")


@click.group()
def request() -> None:
    """See who needs a key and what for; decline, stop, withdraw; ask yourself.

    A request is answered by lending: custodian delegate KEY --request ID.
    """


@request.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only these; else all.")
@click.option("--key", default="", help="Only for this key.")
@json_option
@caller
def list_(client: Client, *, state: str | None, key: str, as_json: bool) -> None:
    """List requests, newest first.

    \b
    Example: custodian request list --state waiting -u alice
    """
    query = urlencode({name: value for name, value in (("state", state), ("key", key)) if value})
    views = client.call("GET", f"/requests?{query}")
    if as_json:
        echo_json(views)
        return
    now = datetime.now(UTC)
    rows = [
        (
            each["id"],
            plain(f"{each['asker']} for {each['on_behalf']}" if each["on_behalf"] else each["asker"]),
            f"{each['key']} through {each['signer']}",
            str(each["uses"]),
            duration(each["seconds"]),
            f"{each['state']}, {time_left(each['expires'], now)} left"
            if each["state"] == "waiting"
            else each["state"],
            plain(each["reason"]),
        )
        for each in views
    ]
    echo_table(("ID", "ASKED BY", "NEEDS", "USES", "FOR", "STATE", "BECAUSE"), rows, "Nothing is asked for.")


@request.command()
@click.argument("request")
@json_option
@caller
def show(client: Client, request: str, *, as_json: bool) -> None:
    """Show who asks for what and why, what the history knows of them, and how to answer.

    What was asked, and its check words, are read from the request itself on this machine. Hear the words
    from who asks: whoever forged a request cannot know them.

    \b
    Example: custodian request show r-0123456789ab -u alice
    """
    from custodian.commands.shown import asked, stands
    from custodian.petition import parse_shown

    view = client.call("GET", place("requests", request))
    petition = parse_shown(view["body"], request)
    if as_json:
        echo_json(view)
        return
    for line in (*asked(petition), *stands(view, datetime.now(UTC))):
        click.echo(plain(line))
    if view["state"] in ("waiting", "answered"):
        who = getattr(client.caller, "options", f"-u {client.user}")
        click.echo(f"To answer:   custodian delegate {petition.key} --request {request} {who}")
        click.echo(f"To decline:  custodian request decline {request} --reason '…' {who}")


@request.command()
@click.argument("request")
@reason_option
@json_option
@caller
def decline(client: Client, request: str, *, reason: str, as_json: bool) -> None:
    """Say that you will not lend for it.

    \b
    Example: custodian request decline r-0123456789ab --reason "not during the freeze" -u alice
    """
    _change(client, request, "decline", {"reason": reason}, as_json=as_json)


@request.command()
@click.argument("request")
@reason_option
@json_option
@caller
def veto(client: Client, request: str, *, reason: str, as_json: bool) -> None:
    """Stop it for good, and take back what was lent for it; for owners whom the key names.

    \b
    Example: custodian request veto r-0123456789ab --reason "nobody here asked for it" -u carol
    """
    _change(client, request, "veto", {"reason": reason}, as_json=as_json)


@request.command()
@click.argument("request")
@json_option
@caller
def withdraw(client: Client, request: str, *, as_json: bool) -> None:
    """Take back what you asked for.

    \b
    Example: custodian request withdraw r-0123456789ab -u eve
    """
    _change(client, request, "withdraw", None, as_json=as_json)


@request.command()
@click.argument("request")
@json_option
@caller
def remind(client: Client, request: str, *, as_json: bool) -> None:
    """Tell the owners of it once more.

    \b
    Example: custodian request remind r-0123456789ab -u eve
    """
    _change(client, request, "remind", None, as_json=as_json)


def _change(client: Client, request: str, verb: str, body: Any, *, as_json: bool) -> None:
    view = client.call("POST", place("requests", request, verb), body)
    if as_json:
        echo_json(view)
        return
    said = {"decline": "You declined", "veto": "You stopped", "withdraw": "You withdrew"}
    click.echo(f"{said.get(verb, 'The owners were reminded of')} {request}; it is {view['state']}.")


@request.command()
@click.argument("key")
@click.option("--signer", required=True, help="Through which signer.")
@click.option("--uses", type=click.IntRange(1), required=True, help="How many signatures.")
@click.option(
    "--for", "life", required=True, metavar="TIME", help="How long each owner should lend: 15m, 2d."
)
@click.option("--reason", required=True, help="Why; owners decide by it.")
@click.option("--profile", "profiles", multiple=True, help="Only this signing profile; may be repeated.")
@click.option("--name", "names", multiple=True, help="Only for this name, or *.example.com; may be repeated.")
@click.option("--max-validity", metavar="TIME", help="Only certificates valid for at most this long.")
@click.option("--allow-ca", is_flag=True, help="Also certificates of CAs.")
@click.option("--expires-in", default="1d", show_default=True, metavar="TIME", help="How long it waits.")
@json_option
@caller
def ask(client: Client, key: str, *, as_json: bool, **asked: Any) -> None:
    """Ask the owners of KEY to lend it.

    \b
    Example: custodian request ask ca --signer ca-1 --uses 10 --for 1h --name '*.example.com' \\
                 --reason "renew the front ends" -u eve
    """
    from custodian.wire import parse_request
    from custodian.wire_requests import AskRequest, parse_made

    validity = asked["max_validity"]
    body = {
        "key": key,
        "signer": asked["signer"],
        "uses": asked["uses"],
        "duration": asked["life"],
        "constraints": {
            "profiles": list(asked["profiles"]),
            "names": list(asked["names"]),
            "max_validity": int(parse_duration(validity, "--max-validity").total_seconds())
            if validity
            else 0,
            "ca": asked["allow_ca"],
        },
        "reason": asked["reason"],
        "expires_in": asked["expires_in"],
    }
    view = client.call("POST", "/requests", body)
    petition = parse_made(parse_request(AskRequest, canonical_json(body)), view)
    if as_json:
        echo_json(view)
        return
    click.echo(f"Asked: {petition.id}, until {view['expires']}; {view['policy']} decide.")
    click.echo(f"Check words, for owners who ask you: {' '.join(petition.words)}")
