"""`signer.toml`: one closed model; `signer enrol` writes the file, people edit it.

Paths are relative to the file's directory. There are no secrets in it: the token and the identity are
files of their own beside it, readable by the signer only.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from custodian.encoding import parse_name
from custodian.errors import BadInput
from signer.borrowed import LeasePolicy

FILE = "signer.toml"
IDENTITY, TOKEN, CUSTODIAN_CA, LOG_KEY = "identity.pem", "token", "custodian-ca.pem", "history.vkey"
CHECKPOINT, JOURNAL, ADDRESS = "checkpoint", "journal.jsonl", "address"

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Uses = Annotated[int, Field(ge=1, le=1_000_000)]


class _Section(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )


class CustodianSection(_Section):
    url: str


class CaSection(_Section):
    key: str
    certificate: str
    policy: str = Field(description="CFSSL's policy file")


class ListenSection(_Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8888
    tls_certificate: str = ""
    tls_key: str = ""
    max_body: Annotated[int, Field(ge=1024, le=16_777_216)] = 65_536
    body_seconds: Seconds = 5
    processes: Annotated[int, Field(ge=1, le=64)] = Field(
        default_factory=lambda: min(2, os.cpu_count() or 1), description="front ends"
    )


class LeaseSection(_Section):
    uses: Uses = 10
    most_uses: Uses = 10_000
    seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    idle: Seconds = 60
    grace: Annotated[float, Field(ge=2, le=86_400)] = 5  # the custodian speaks once a second
    secret_memory: bool = True
    sync_records: bool = True

    def policy(self) -> LeasePolicy:
        return LeasePolicy(
            uses=self.uses,
            most_uses=max(self.uses, self.most_uses),
            seconds=self.seconds,
            idle=self.idle,
            grace=self.grace,
        )


class Config(_Section):
    name: str
    custodian: CustodianSection
    ca: CaSection | None = None
    listen: ListenSection = ListenSection()
    lease: LeaseSection = LeaseSection()


def load_config(directory: Path) -> Config:
    """Read `signer.toml` in `directory`. Raises BadInput naming what is wrong, and where."""
    path = directory / FILE
    try:
        config = Config.model_validate(tomllib.loads(path.read_text()))
    except FileNotFoundError:
        raise BadInput(str(path), "is missing; `signer enrol` makes it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(str(path), f"is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadInput(f"{path}: {where}", first["msg"].lower()) from None
    parse_name(config.name, f"{path}: name")
    return config
