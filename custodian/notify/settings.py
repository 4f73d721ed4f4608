"""`[notify]` of the configuration: who is told. Secrets are in files of their own, read once at the start."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from custodian.encoding import parse_name
from custodian.errors import BadInput, FormatError
from custodian.notify.receivers import Mail, Receivers, Security, Slack, Webhook

SECRET_SIZE = (24, 64)  # bytes, of Standard Webhooks
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}")  # as HTML's input has it
Read = Callable[[Path], str]


class _Section(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )


class WebhookSection(_Section):
    name: str
    url: str
    secret_file: str


class SlackSection(_Section):
    name: str
    url_file: str


class SmtpSection(_Section):
    host: str = ""
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    sender: str = Field(default="", alias="from")
    security: Security = "starttls"
    username: str = ""
    password_file: str = ""
    to: dict[str, str] = {}


class NotifySection(_Section):
    webhook: list[WebhookSection] = []
    slack: list[SlackSection] = []
    smtp: SmtpSection = SmtpSection()


def parse_receivers(section: NotifySection, directory: Path, read: Read) -> Receivers:
    """Return the receivers with their secrets. Raises BadInput naming the setting that is wrong."""
    receivers = Receivers(
        webhooks=tuple(_webhook(each, directory, read) for each in section.webhook),
        slacks=tuple(_slack(each, directory, read) for each in section.slack),
        mail=_mail(section.smtp, directory, read) if section.smtp.host else None,
    )
    _check_names("notify.webhook.name", [each.name for each in receivers.webhooks])
    _check_names("notify.slack.name", [each.name for each in receivers.slacks])
    return receivers


def _webhook(section: WebhookSection, directory: Path, read: Read) -> Webhook:
    _check_url(section.url, "notify.webhook.url")
    return Webhook(section.name, section.url, _secret(directory / section.secret_file, read))


def _slack(section: SlackSection, directory: Path, read: Read) -> Slack:
    path = directory / section.url_file
    url = read(path).strip()
    _check_url(url, str(path))
    return Slack(section.name, url)


def _mail(section: SmtpSection, directory: Path, read: Read) -> Mail:
    if section.security == "none" and not _is_loopback(section.host):
        raise BadInput("notify.smtp.security", "may be none on this host only; choose starttls or tls")
    if bool(section.username) != bool(section.password_file):
        raise BadInput("notify.smtp.password_file", "and username belong together; give both or none")
    for person, address in section.to.items():
        parse_name(person, "notify.smtp.to")
        _check_address(address, f"notify.smtp.to.{person}")
    _check_address(section.sender, "notify.smtp.from")
    password = read(directory / section.password_file).rstrip("\n") if section.password_file else ""
    return Mail(
        host=section.host,
        port=section.port,
        sender=section.sender,
        security=section.security,
        username=section.username,
        password=password,
        to=dict(section.to),
    )


def _secret(path: Path, read: Read) -> bytes:
    """Read a secret as Standard Webhooks writes it: `whsec_` and base64."""
    prefix, _, encoded = read(path).strip().partition("_")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        secret = b""
    if prefix != "whsec" or not SECRET_SIZE[0] <= len(secret) <= SECRET_SIZE[1]:
        raise BadInput(
            str(path), "must be whsec_ and the base64 of 24 to 64 random bytes: openssl rand -base64 32"
        ) from None
    return secret


def _check_url(url: str, field: str) -> None:
    """Raise BadInput, without the URL, unless what is sent there stays private."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise BadInput(field, "is not a URL") from None
    if not host or parts.username is not None or parts.fragment or not url.isascii() or not url.isprintable():
        raise BadInput(field, "must be like https://host/path, without a user and a fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise BadInput(field, "must be https; http is for receivers on this host only")


def _check_address(address: str, field: str) -> None:
    if not ADDRESS.fullmatch(address):
        raise BadInput(field, "must be one mail address, like alice@example.com")


def _check_names(field: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        try:
            parse_name(name, field)
        except FormatError as error:
            raise BadInput(field, error.detail.partition(": ")[2]) from None
        if name in seen:
            raise BadInput(field, f"{name} is there twice; each needs a name of its own")
        seen.add(name)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
