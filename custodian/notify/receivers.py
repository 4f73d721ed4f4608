"""Who is told: webhooks, chat channels, people by mail. Values that cannot be wrong; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A program that verifies our signature (standardwebhooks.com) with the secret that it gave us."""

    name: str
    url: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Slack:
    """An incoming webhook of Slack, or of a chat that takes the same; its URL is the secret."""

    name: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mail:
    """The mail server that takes our mail, and the address of each person who wants some."""

    host: str
    port: int
    sender: str
    security: Security
    username: str
    password: str = field(repr=False)
    to: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Receivers:
    webhooks: tuple[Webhook, ...] = ()
    slacks: tuple[Slack, ...] = ()
    mail: Mail | None = None

    @property
    def people(self) -> dict[str, str]:
        """Return every receiver with the person it reaches; '' if it reaches everybody."""
        everybody = [f"webhook:{each.name}" for each in self.webhooks]
        everybody += [f"slack:{each.name}" for each in self.slacks]
        mails = {f"mail:{person}": person for person in (self.mail.to if self.mail else ())}
        return dict.fromkeys(everybody, "") | mails
