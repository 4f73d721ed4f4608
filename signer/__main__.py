"""The `signer` command."""

import asyncio
import json
import os
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from custodian.encoding import fingerprint
from custodian.errors import CustodianError

DIRECTORY = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SIGNER_DIR",
    default="signer-state",
    show_default=True,
    help="Where the signer keeps its identity and configuration.",
)


class Sentences(click.Group):
    """Tell errors as one sentence, exit 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CustodianError as error:
            raise click.ClickException(error.detail) from None
        except FileNotFoundError as error:
            raise click.ClickException(f"{error.filename} is missing") from None


@click.group(cls=Sentences, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="custodian")
def main() -> None:
    """A CA that borrows its key: CFSSL's API, signing only while a quorum of owners lends the key.

    \b
    Once:   signer enrol --name ca-1 --url https://custodian:8443 --ca custodian-ca.pem
            signer init-ca --key ca --policy "2 of (alice, bob, carol)" --cn "Example CA"
    Then:   signer serve
            cfssl gencert -config client.json -profile server csr.json    (client.json: see README.md)
    """


@main.command()
@DIRECTORY
@click.option("--name", required=True, help="The name this signer was invited under.")
@click.option("--url", required=True, envvar="CUSTODIAN_URL", help="The custodian, https://host:port.")
@click.option(
    "--ca",
    required=True,
    envvar="CUSTODIAN_CA",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file the custodian's certificate is checked against; it is copied.",
)
@click.option("--invitation-file", type=click.File(), help="File with the invitation ('-': standard input).")
def enrol(directory: Path, name: str, url: str, ca: Path, invitation_file: Any) -> None:
    """Enrol with the one-time code that `custodian signer enrol NAME` printed.

    Makes an identity key, which never leaves DIR, and a signer.toml to edit.
    """
    from signer.enrolment import enrol_signer

    if (directory / "signer.toml").exists():
        raise click.ClickException(f"{directory} is a signer already; choose another --dir")
    code = invitation_file.read() if invitation_file else click.prompt("Invitation", hide_input=True)
    asyncio.run(enrol_signer(directory, name, url, ca, code.strip()))
    click.echo(f"{name} is enrolled at {url}. Next: signer init-ca --dir {directory} --key … --policy …")


@main.command("init-ca")
@DIRECTORY
@click.option("--key", required=True, help="What the key will be called at the custodian.")
@click.option("--policy", required=True, help="Who must agree: '2 of (alice, bob, carol)'.")
@click.option(
    "--veto",
    multiple=True,
    metavar="NAME",
    help="An owner of the policy who alone can stop any request; repeat it for more. Choose few: each of them"
    " can stop all work. Add --no-self-approval, or owners lend in advance and leave no request to stop.",
)
@click.option(
    "--no-self-approval",
    is_flag=True,
    help="Owners lend only to answer a request that somebody else made: nobody asks and answers alone, and"
    " nobody lends in advance.",
)
@click.option("--cn", required=True, help="The CA's common name.")
@click.option("--org", default="", help="The CA's organisation.")
@click.option(
    "--algorithm",
    default="ecdsa-p256",
    show_default=True,
    type=click.Choice(
        ["rsa-2048", "rsa-3072", "rsa-4096", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519"]
    ),
)
@click.option("--days", default=1825, show_default=True, type=click.IntRange(1, 36500), help="Its validity.")
@click.option("--path-length", type=click.IntRange(0, 10), help="CAs allowed below it; default: any.")
@click.option(
    "--profiles",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CFSSL policy file to sign by; it is copied. Default: profiles server and client, asking for a"
    " token by the key in DIR/auth.key.",
)
def init_ca(directory: Path, profiles: Path | None, days: int, **wanted: Any) -> None:
    """Make a CA key, sealed so that only a quorum of its owners can lend it.

    The key is generated, certified and sealed inside one shut-in process. Only the envelope, which goes
    to the custodian, and the certificate leave it; the key is never on disk in clear. Policy, vetoes and
    rules are sealed with the key: nobody can change them afterwards, not even the custodian's administrator.

    \b
    Example: signer init-ca --key ca --policy "2 of (alice, bob, carol)" --cn "Example CA"
    Stricter: signer init-ca … --veto carol --no-self-approval
    """
    from signer.enrolment import Wanted
    from signer.enrolment import init_ca as run

    now = datetime.now(UTC).replace(microsecond=0)
    made = run(directory, profiles, Wanted(**wanted, not_before=now, not_after=now + timedelta(days=days)))
    click.echo(f"{wanted['key']} is sealed for {made.policy} and in custody.")
    for name in made.veto:
        click.echo(f"{name} alone can stop a request.")
    if wanted["no_self_approval"]:
        click.echo("Owners lend it only to answer a request that somebody else made.")
    click.echo("Each owner saw the fingerprint of their key when they enrolled; ask them for it, it must be:")
    for name, public in made.owners.items():
        click.echo(f"  {name}  {fingerprint(public)}")
    click.echo(f"The CA's certificate: {made.certificate}")


@main.command()
@DIRECTORY
def serve(directory: Path) -> None:
    """Serve /api/v1/cfssl/ until SIGTERM; sign while a quorum lends the key."""
    import logging

    from signer.app import start
    from signer.config import load_config

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    start(directory, load_config(directory), lambda url: click.echo(f"signer listens on {url}"))


@main.command()
@DIRECTORY
@click.option("--key", default="", help="The key; default: the one this signer signs with.")
@click.option("--uses", type=click.IntRange(1), required=True, help="How many signatures.")
@click.option(
    "--for", "life", required=True, metavar="TIME", help="How long each owner should lend: 15m, 2d."
)
@click.option("--reason", required=True, help="Why; owners decide by it.")
@click.option("--by", "on_behalf", default="", metavar="NAME", help="Who needs it, as owners know them.")
@click.option("--profile", "profiles", multiple=True, help="Only this signing profile; may be repeated.")
@click.option("--name", "names", multiple=True, help="Only for this name, or *.example.com; may be repeated.")
@click.option("--max-validity", metavar="TIME", help="Only certificates valid for at most this long.")
@click.option("--allow-ca", is_flag=True, help="Also certificates of CAs.")
@click.option("--expires-in", default="1d", show_default=True, metavar="TIME", help="How long it waits.")
@click.option("--wait", "waits", is_flag=True, help="Wait for the answer: exit status 0 if a quorum lends.")
def request(directory: Path, *, life: str, waits: bool, **asked: Any) -> None:
    """Ask the owners to lend the key to this signer.

    Read the check words aloud to an owner who asks: they are made on this machine, of what was asked.

    \b
    Example: signer request --uses 10 --for 1h --name '*.example.com' \\
                 --reason "renew the front ends" --by eve --wait
    """
    from custodian.encoding import format_instant, parse_duration
    from signer.asking import ask, wait

    most = asked.pop("max_validity")
    limits = {
        "profiles": list(asked.pop("profiles")),
        "names": list(asked.pop("names")),
        "max_validity": int(parse_duration(most, "--max-validity").total_seconds()) if most else 0,
        "ca": asked.pop("allow_ca"),
    }
    petition = asyncio.run(ask(directory, {**asked, "duration": life, "constraints": limits}))
    click.echo(f"Asked: {petition.id}, until {format_instant(petition.expires)}.")
    click.echo(f"Check words, for owners who ask you: {' '.join(petition.words)}")
    if waits:
        click.echo(asyncio.run(wait(directory, petition, lambda said: click.echo(said, err=True))))


@main.command()
@DIRECTORY
@click.option("--json", "as_json", is_flag=True, help="Print what the signer answered.")
def status(directory: Path, as_json: bool) -> None:
    """Show what is open, until when, and which hardening took.

    Exit status: 0 a key is open, 2 none is, 1 the signer does not answer.
    """
    report = _ask_status(directory)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        for line in _describe(report):
            click.echo(line)
    sys.exit(0 if report["keyholders"]["open"] else 2)


def _ask_status(directory: Path) -> Any:
    address = directory / "address"
    if not address.exists():
        raise click.ClickException(
            f"{directory} has no running signer; start `signer serve --dir {directory}`"
        )
    url = os.environ.get("SIGNER_URL") or address.read_text().strip()
    try:
        with urllib.request.urlopen(f"{url}/status", timeout=10) as answer:  # noqa: S310 - our own address
            return json.load(answer)
    except urllib.error.HTTPError as error:
        why = json.load(error)["error"] if error.code == 503 else f"it answers {error.code}"
        raise click.ClickException(f"the signer at {url} is not well: {why}") from None
    except (urllib.error.URLError, TimeoutError):
        raise click.ClickException(f"no signer answers at {url}; start `signer serve`") from None


def _describe(report: Any) -> list[str]:
    lines = [f"{report['signer']} signs with {report['key']}; the custodian is {report['custodian']}."]
    lines += [
        f"  open: lease {each['lease']}, {each['left']} of {each['uses']} uses left,"
        f" {each['seconds']:.0f} s, process {each['pid']}"
        for each in report["keyholders"]["open"]
    ]
    if not report["keyholders"]["open"]:
        lines.append("  no key is open")
    if report["records_owed"]:
        lines.append(f"  {report['records_owed']} records are still to be sent to the custodian")
    if report["records_refused"]:
        lines.append(f"  {report['records_refused']} records were refused; see journal.refused")
    parts = {"front end": "front_end", "broker": "broker", "keyholder": "keyholders"}
    for title, part in ((title, report[name]) for title, name in parts.items()):
        lines.append(f"{title}:")
        for measure in part["measures"]:
            mark = "yes" if measure["taken"] else "NO "
            lines.append(f"  {mark} {measure['name']}: {measure['note']}")
    return lines


if __name__ == "__main__":
    main()
