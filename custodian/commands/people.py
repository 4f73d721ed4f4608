"""Commands about people and signers: who is invited, who enrols, who is shut out."""

from pathlib import Path

import click

from custodian.client import Client, place, read_secret
from custodian.commands.asking import (
    Commands,
    ask_new_password,
    caller,
    echo_json,
    echo_table,
    file_option,
    json_option,
    server,
)
from custodian.encoding import fingerprint


@click.group(cls=Commands)
def owner() -> None:
    """People: owners, auditors and administrators."""


@owner.command("invite")
@click.argument("name")
@click.option("--role", type=click.Choice(["owner", "auditor", "admin"]), default="owner", show_default=True)
@json_option
@caller
def invite(client: Client, name: str, role: str, *, as_json: bool) -> None:
    """Invite a person; prints the one-time code with which they enrol.

    \b
    Example: custodian owner invite alice -u admin
    """
    invitation = client.call("POST", "/invitations", {"role": role, "name": name})
    if as_json:
        echo_json(invitation)
        return
    click.echo(f"{name} is invited as {role}. Give them this code, which works once, until")
    click.echo(f"{invitation['expires']}; it is not shown again:\n\n    {invitation['code']}\n")
    click.echo(f"They run:  custodian enrol --url {client.url} --ca tls.pem")


@owner.command("list")
@click.option("--all", "everybody", is_flag=True, help="Auditors and administrators too (admins, auditors).")
@json_option
@caller
def list_owners(client: Client, *, everybody: bool, as_json: bool) -> None:
    """List the owners.

    \b
    Example: custodian owner list --all -u admin
    """
    people = client.call("GET", "/accounts" if everybody else "/owners")
    if as_json:
        echo_json(people)
        return
    rows = [
        (
            each["name"],
            each["role"],
            fingerprint(each["public"]) if each["public"] else "",
            "disabled" if each["disabled"] else "",
        )
        for each in people
    ]
    echo_table(
        ("NAME", "ROLE", "KEY", ""), rows, "There are no owners yet; `custodian owner invite` invites one."
    )


@owner.command("disable")
@click.argument("name")
@json_option
@caller
def disable(client: Client, name: str, *, as_json: bool) -> None:
    """Shut a person out, and revoke what they lent.

    \b
    Example: custodian owner disable bob -u admin
    """
    answer = client.call("DELETE", place("accounts", name))
    if as_json:
        echo_json(answer)
        return
    click.echo(f"{name} is disabled; what {name} lent is revoked ({_leases(answer['leases_ended'])}).")


@click.command()
@click.option("--invitation-file", metavar="FILE", help="Read the code from FILE, or from - (stdin).")
@click.option("--password-file", envvar="CUSTODIAN_PASSWORD_FILE", metavar="FILE", help="Your new password.")
@file_option("--device-key", help="Owners: have no password; this file is made, and opens your shares.")
@click.option("--device", metavar="NAME", default="first", help="What to call that device key.")
@json_option
@server
def enrol(
    url: str,
    ca: Path | None,
    *,
    invitation_file: str | None,
    password_file: str | None,
    device_key: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Become an owner, auditor or administrator with the code you were given.

    \b
    Examples:
      custodian enrol --url https://ca.example.com:8443 --ca tls.pem
      custodian enrol --device-key alice.key --device laptop
    """
    client = Client(url, ca)
    code = (read_secret(invitation_file) if invitation_file else _ask_code()).strip()
    if device_key:
        from custodian.commands.devices import enrol_device

        enrolled = enrol_device(client, code, device, device_key)
    else:
        password = ask_new_password("Your new password", password_file)
        enrolled = client.call("POST", "/enrolments", {"invitation": code, "password": password})
    if as_json:
        echo_json(enrolled)
        return
    click.echo(f"You are enrolled as {enrolled['name']}, {enrolled['role']}.")
    if enrolled["public"]:
        click.echo(
            f"Your key is {fingerprint(enrolled['public'])}; whoever makes a key for you should see the same."
        )
        way = f"--device-key {device_key}" if device_key else f"-u {enrolled['name']}"
        click.echo(
            "Have a second way to unlock your share: who loses the last one has lost it. For instance\n"
            f"  custodian slot add --device spare -o spare.key {way}\n"
            "and keep spare.key where this machine is not."
        )
    click.echo(f"The history is verified with this key; keep it:\n{enrolled['vkey']}")


def _ask_code() -> str:
    return str(click.prompt("Invitation (hidden)", hide_input=True, err=True))


@click.group(cls=Commands)
def signer() -> None:
    """Signers, which may be lent keys."""


@signer.command("enrol")
@click.argument("name")
@json_option
@caller
def enrol_signer(client: Client, name: str, *, as_json: bool) -> None:
    """Invite a signer; prints the one-time code and what its operator runs.

    \b
    Example: custodian signer enrol ca-1 -u admin
    """
    invitation = client.call("POST", "/invitations", {"role": "signer", "name": name})
    if as_json:
        echo_json(invitation)
        return
    click.echo(f"The signer {name} is invited. This code works once, until {invitation['expires']}, and is")
    click.echo(f"not shown again:\n\n    {invitation['code']}\n")
    click.echo(f"Its operator runs:  signer enrol --name {name} --url {client.url} --ca tls.pem")


@signer.command("list")
@json_option
@caller
def list_signers(client: Client, *, as_json: bool) -> None:
    """List the signers.

    \b
    Example: custodian signer list -u alice
    """
    signers = client.call("GET", "/signers")
    if as_json:
        echo_json(signers)
        return
    rows = [(each["name"], each["identity"], _state(each)) for each in signers]
    echo_table(
        ("NAME", "IDENTITY", ""), rows, "There are no signers yet; `custodian signer enrol` invites one."
    )


@signer.command("disable")
@click.argument("name")
@json_option
@caller
def disable_signer(client: Client, name: str, *, as_json: bool) -> None:
    """Shut a signer out, for instance when its token was stolen; its leases end.

    \b
    Example: custodian signer disable ca-1 -u admin
    """
    answer = client.call("DELETE", place("signers", name))
    if as_json:
        echo_json(answer)
        return
    click.echo(f"{name} is disabled; what was lent to it is void ({_leases(answer['leases_ended'])}).")


def _state(signer_view: dict[str, str | bool]) -> str:
    if signer_view["disabled"]:
        return "disabled"
    return "" if signer_view["recipient"] else "never started"


def _leases(ended: list[str]) -> str:
    return f"{len(ended)} leases ended" if len(ended) != 1 else "1 lease ended"
