"""The command that reads the history."""

import json
import time
from collections.abc import Iterator
from typing import Any

import click

from custodian.client import Client
from custodian.commands.asking import caller, echo_now
from custodian.telling import sentence

PAGE = 1_000  # entries; what the custodian gives at once
WAIT = 2  # seconds between looks while following


@click.command()
@click.option("--start", type=click.IntRange(0), help="First entry to show; else the last 50.")
@click.option("--follow", is_flag=True, help="Go on as entries are added, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the entries themselves, one a line.")
@caller
def history(client: Client, start: int | None, *, follow: bool, as_json: bool) -> None:
    """Show what happened, one sentence an entry.

    \b
    Example: custodian history --start 0 -u auditor
    """
    at = max(0, _size(client) - 50) if start is None else start
    while True:
        for entry in _entries(client, at):
            echo_now(json.dumps(entry, sort_keys=True) if as_json else sentence(entry))
            at = entry["seq"] + 1
        if not follow:
            return
        time.sleep(WAIT)


def _size(client: Client) -> int:
    return int(client.call("GET", "/history?limit=0")["size"])


def _entries(client: Client, start: int) -> Iterator[dict[str, Any]]:
    while page := client.call("GET", f"/history?start={start}&limit={PAGE}")["entries"]:
        yield from page
        start = page[-1]["seq"] + 1
        if len(page) < PAGE:
            return
