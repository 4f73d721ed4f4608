"""The configuration: one TOML file, read once, turned into values that cannot be wrong.

Every setting has a default; paths are relative to the file. config/custodian.toml shows them all. There
are no secrets in it, only where they are.
"""

import ipaddress
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from custodian.errors import BadInput, FormatError
from custodian.note import SigningKey, parse_signing_key
from custodian.notify.receivers import Receivers
from custodian.notify.settings import NotifySection, parse_receivers
from custodian.site import Site, parse_site
from custodian.slots import SALT_SIZE, Kdf

FILE = "custodian.toml"
LISTEN = "127.0.0.1:8443"


class _File(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )


class _Passwords(_File):
    """What Argon2id costs for passwords set from now on."""

    memory_kib: Annotated[int, Field(ge=Kdf.LIMITS["memory_kib"][0], le=Kdf.LIMITS["memory_kib"][1])] = 65_536
    passes: Annotated[int, Field(ge=Kdf.LIMITS["passes"][0], le=Kdf.LIMITS["passes"][1])] = 3
    lanes: Annotated[int, Field(ge=Kdf.LIMITS["lanes"][0], le=Kdf.LIMITS["lanes"][1])] = 4


class _Bodies(_File):
    """How much a caller may send, and how slowly."""

    max_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = 65_536
    seconds: Annotated[int, Field(ge=1, le=60)] = 5


class _Pages(_File):
    """Where browsers find us."""

    origin: str = ""


class _Requests(_File):
    """Who asks the owners."""

    automatic: bool = True


class _Custodian(_File):
    listen: str = LISTEN
    database: str = "custodian.db"
    history_key: str = "history.key"
    tls_certificate: str = "tls.pem"
    tls_key: str = "tls.key"
    passwords: _Passwords = _Passwords()
    bodies: _Bodies = _Bodies()
    pages: _Pages = _Pages()
    notify: NotifySection = NotifySection()
    requests: _Requests = _Requests()


@dataclass(frozen=True, slots=True)
class Bodies:
    """Limits of request bodies, in bytes and seconds."""

    max_bytes: int = 65_536
    seconds: int = 5


@dataclass(frozen=True, slots=True)
class Settings:
    directory: Path
    host: str
    port: int
    database: Path
    history_key: Path
    tls_certificate: Path
    tls_key: Path
    memory_kib: int
    passes: int
    lanes: int
    bodies: Bodies
    site: Site | None  # None: where we listen
    automatic_requests: bool
    receivers: Receivers

    def kdf(self, salt: bytes = bytes(SALT_SIZE)) -> Kdf:
        return Kdf(salt, self.memory_kib, self.passes, self.lanes)


def read_settings(path: Path) -> Settings:
    """Read a configuration file. Raises BadInput naming the setting that is wrong."""
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(str(path), f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(str(path), f"is not TOML: {error}") from None
    try:
        parsed = _Custodian.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        setting = ".".join(str(part) for part in first["loc"])
        reason = {"extra_forbidden": "there is no such setting"}.get(first["type"], first["msg"].lower())
        raise BadInput(f"{path}: {setting}", reason) from None
    return _settings(path.resolve().parent, parsed)


def _settings(directory: Path, file: _Custodian) -> Settings:
    host, port = parse_listen(file.listen)
    return Settings(
        directory=directory,
        host=host,
        port=port,
        database=directory / file.database,
        history_key=directory / file.history_key,
        tls_certificate=directory / file.tls_certificate,
        tls_key=directory / file.tls_key,
        memory_kib=file.passwords.memory_kib,
        passes=file.passwords.passes,
        lanes=file.passwords.lanes,
        bodies=Bodies(file.bodies.max_bytes, file.bodies.seconds),
        site=_site(file.pages.origin),
        receivers=parse_receivers(file.notify, directory, read_private),
        automatic_requests=file.requests.automatic,
    )


def _site(origin: str) -> Site | None:
    try:
        return parse_site(origin) if origin else None
    except BadInput as error:
        raise BadInput("pages.origin", error.detail.partition(": ")[2]) from None


def parse_listen(text: str) -> tuple[str, int]:
    """Parse `127.0.0.1:8443` or `[::1]:8443`; the port may be 0, for any that is free."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdecimal() or len(port) > 5 or int(port) > 65_535:
        raise BadInput("listen", "must end with a port, as in 127.0.0.1:8443")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        raise BadInput(
            "listen", "must be an address and a port, as in 127.0.0.1:8443 or [::1]:8443"
        ) from None
    return bare, int(port)


def read_history_key(path: Path) -> SigningKey:
    """Read the key that signs the history. Raises BadInput if others can read it too."""
    text = read_private(path)
    try:
        return parse_signing_key(text.removesuffix("\n"))
    except FormatError as error:
        raise BadInput(str(path), error.detail) from None


def read_private(path: Path) -> str:
    """Read a file that only its owner may be able to read."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise BadInput(str(path), f"can be read by others; run chmod 600 {path}")
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise BadInput(str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(str(path), "is not text") from None
