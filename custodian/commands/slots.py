"""Commands of owners about how they unlock their shares and prove who they are."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodian.client import Client
from custodian.commands.asking import (
    Commands,
    caller,
    echo_json,
    echo_table,
    file_option,
    json_option,
    signatory,
)

if TYPE_CHECKING:
    from custodian.commands.signing import Person


@click.group(cls=Commands)
def slot() -> None:
    """What opens your shares (slots) and what proves that you agree (credentials).

    One is enough, and one is too few: who loses the last one has lost their shares.
    """


@slot.command("list")
@json_option
@caller
def list_slots(client: Client, *, as_json: bool) -> None:
    """List your slots and credentials.

    \b
    Example: custodian slot list -u alice
    """
    from custodian.commands.devices import own_slots

    me = client.call("GET", "/me")
    if as_json:
        echo_json(me)
        return
    slots = {each.id: each.kind for each in own_slots(me)}
    credentials = {each["id"]: each for each in me["credentials"]}
    rows = []
    for name in sorted({*slots, *credentials}):
        known = credentials.get(name, {"kind": slots.get(name), "label": "", "added": ""})
        proves = name in credentials or known["kind"] == "password"
        does = filter(None, ("opens" if name in slots else "", "proves" if proves else ""))
        rows.append((name, known["kind"], known["label"], " and ".join(does), known["added"]))
    echo_table(("ID", "KIND", "CALLED", "WHAT IT DOES", "SINCE"), rows, "You hold no shares.")


@slot.command("add")
@click.option("--device", metavar="NAME", help="Make a device key of this name, such as laptop.")
@file_option("-o", "--output", help="With --device: the file to make. Whoever has it is you: guard it.")
@file_option("--ssh", help="Let this SSH key (its .pub) agree to what you lend. It opens nothing.")
@json_option
@signatory
def add(
    client: Client,
    person: "Person",
    *,
    device: str | None,
    output: Path | None,
    ssh: Path | None,
    as_json: bool,
) -> None:
    """Add a device key, or let an SSH key sign for you.

    Prove that you are you by an old device key (--device-key), by an SSH key and your password, which stays
    here (--ssh-key), or by your password alone: then the custodian sees it, and your key, for this moment.

    \b
    Examples:
      custodian slot add --device laptop -o alice.key -u alice
      custodian slot add --device spare -o spare.key --device-key alice.key
      custodian slot add --ssh ~/.ssh/id_ed25519.pub --device-key alice.key
    """
    from custodian.commands.devices import add_device, add_ssh_key

    if device and output and not ssh:
        if not person.signs:
            click.echo("The custodian sees your password, and what it opens, for this moment.", err=True)
        made = add_device(client, person, device, output)
        said = f"{made} is added. {output} opens your shares and signs for you: keep it as you keep a key."
    elif ssh and not device and not output:
        made = add_ssh_key(client, person, ssh)
        said = f"{made} is added. It agrees to what you lend; your password or a device key opens the share."
    else:
        raise click.UsageError("say either --device NAME -o FILE, or --ssh FILE.pub")
    if as_json:
        echo_json(client.call("GET", "/me"))
        return
    click.echo(said)


@slot.command("remove")
@click.argument("id")
@signatory
def remove(client: Client, person: "Person", id: str) -> None:  # noqa: A002 - what people call it
    """Remove what you lost, or no longer use; it opens and proves nothing any more.

    Whoever has had both the key and what the custodian keeps may have your owner's key: then have an
    administrator disable you, and join anew.

    \b
    Example: custodian slot remove device-laptop --device-key spare.key
    """
    from custodian.commands.devices import remove as remove_slot

    remove_slot(client, person, id)
    click.echo(f"{id} is removed.")
