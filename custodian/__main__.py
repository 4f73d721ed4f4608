"""`custodian`: the daemon and the commands of those who use it.

The daemon's parts are loaded by the commands that run it, so that all others start at once.
"""

import asyncio
import logging
import sys
from pathlib import Path

import click

from custodian.commands.asking import Commands, ask_new_password, echo_now
from custodian.commands.grants import grant
from custodian.commands.history import history
from custodian.commands.keys import key, status
from custodian.commands.lending import delegate, delegations, revoke
from custodian.commands.people import enrol, owner, signer
from custodian.commands.requests import request
from custodian.commands.slots import slot


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="custodian")
def main() -> None:
    """Threshold custody of CA keys: a key opens only while a quorum of its owners has lent it.

    \b
    A new custodian:     custodian init --dir ca-custody
                         custodian serve --dir ca-custody
    Then, as an owner:   export CUSTODIAN_URL=https://127.0.0.1:8443
                         export CUSTODIAN_CA=ca-custody/tls.pem CUSTODIAN_USER=alice
                         custodian slot add --device laptop -o alice.key
                         custodian delegate ca --signer ca-1 --uses 10 --for 1h --device-key alice.key
    """


@main.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="Made by this.")
@click.option("--admin", default="admin", show_default=True, help="Name of the first administrator.")
@click.option("--host", "hosts", multiple=True, help="A name or address clients will use; may be repeated.")
@click.option("--listen", default="127.0.0.1:8443", show_default=True, metavar="ADDRESS:PORT")
@click.option("--origin", default="custodian.local/history", show_default=True, help="Name of the history.")
@click.option("--password-file", metavar="FILE", help="Read the password from FILE, or from - (stdin).")
def init(**asked: object) -> None:
    """Make a new custodian: its database, history key, TLS certificate and first administrator.

    \b
    Example: custodian init --dir ca-custody --admin root --host ca.example.com
    """
    from custodian.init import Plan, check_directory, create_custodian

    directory = Path(str(asked["directory"]))
    check_directory(directory)
    hosts = tuple(asked["hosts"]) if isinstance(asked["hosts"], tuple) else ()
    plan = Plan(str(asked["admin"]), hosts, str(asked["listen"]), str(asked["origin"]))
    password = ask_new_password(f"Password of {plan.admin}", asked["password_file"])
    vkey = create_custodian(directory, plan, password)
    click.echo(f"{directory} holds a new custodian; {plan.admin} is its administrator.")
    click.echo(
        f"Its history is verified with this key; keep it where the custodian cannot change it:\n{vkey}"
    )
    click.echo(f"Start it:  custodian serve --dir {directory}")


@main.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="What `custodian init` made.")
@click.option(
    "--config", type=click.Path(path_type=Path), help="Its configuration file, where it is elsewhere."
)
def serve(directory: Path | None, config: Path | None) -> None:
    """Run the custodian until it is told to stop (SIGTERM, Ctrl-C).

    \b
    Example: custodian serve --dir ca-custody
    """
    from custodian import app
    from custodian.config import FILE, read_settings

    if (directory is None) == (config is None):
        raise click.UsageError("give either --dir or --config")
    settings = read_settings(config or Path(str(directory)) / FILE)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(app.serve(settings, lambda address: echo_now(f"custodian listens on {address}")))


@main.group()
def notify() -> None:
    """Tell people outside of requests, by webhook, chat and mail."""


@notify.command("test")
@click.argument("receivers", nargs=-1)
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="What `custodian init` made.")
@click.option(
    "--config", type=click.Path(path_type=Path), help="Its configuration file, where it is elsewhere."
)
def notify_test(receivers: tuple[str, ...], directory: Path | None, config: Path | None) -> None:
    """Send a message to RECEIVERS, or to all that are configured, and say what came back.

    \b
    Example: custodian notify test --dir ca-custody webhook:ops mail:alice
    """
    from custodian.config import FILE, read_settings
    from custodian.notify.trial import try_receivers

    if (directory is None) == (config is None):
        raise click.UsageError("give either --dir or --config")
    settings = read_settings(config or Path(str(directory)) / FILE)
    results = asyncio.run(try_receivers(settings, receivers))
    for name, result in results.items():
        click.echo(f"{name}: {result.what}: {result.said}")
    if not results:
        raise click.ClickException("nobody is told; docs/notifications.md says how to configure receivers")
    if any(result.what != "delivered" for result in results.values()):
        sys.exit(1)


for command in (
    owner,
    enrol,
    signer,
    key,
    slot,
    request,
    delegate,
    grant,
    delegations,
    revoke,
    status,
    history,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
