"""`custodian init`: the directory of a new custodian, whole or not at all.

Everything is made in a directory beside it, which takes its name at the end.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from custodian.accounts import create_account
from custodian.config import FILE, LISTEN, parse_listen, read_history_key, read_settings
from custodian.encoding import parse_name
from custodian.errors import BadInput, Conflict
from custodian.events import LogStarted
from custodian.note import SigningKey
from custodian.slots import SALT_SIZE, Kdf, check_password, derive, login_verifier
from custodian.store import Store, create_database
from custodian.tls import make_certificate

ORIGIN = "custodian.local/history"
USUAL = Kdf(bytes(SALT_SIZE))


@dataclass(frozen=True, slots=True)
class Plan:
    """What `init` is asked for. `costs` are those of Argon2id; its salt is not used."""

    admin: str = "admin"
    hosts: Sequence[str] = ()
    listen: str = LISTEN
    origin: str = ORIGIN
    costs: Kdf = USUAL


def check_directory(directory: Path) -> None:
    """Raise Conflict unless a new custodian can be made at `directory`."""
    if (directory / FILE).exists():
        raise Conflict(f"{directory} holds a custodian already; it was not touched")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Conflict(f"{directory} is not an empty directory; it was not touched")


def create_custodian(directory: Path, plan: Plan, password: str) -> str:
    """Make the directory of a new custodian; return the key that verifies its history.

    Raises:
        Conflict: there is something at `directory`. BadInput: a name, host or password cannot be used.
    """
    check_directory(directory)
    parse_name(plan.admin, "admin")
    parse_listen(plan.listen)
    check_password(password)
    parent = directory.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=parent))
    except OSError as error:
        raise BadInput("dir", f"{parent}: {error.strerror}") from None
    try:
        vkey = _fill(unfinished, plan, password)
        unfinished.rename(directory.absolute())  # refuses to replace what is not empty
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    _sync(parent)
    return vkey


def _fill(directory: Path, plan: Plan, password: str) -> str:
    certificate, private = make_certificate(plan.hosts, datetime.now(UTC))
    key = SigningKey.from_seed(plan.origin, secrets.token_bytes(32))
    _write(directory / "tls.pem", certificate, 0o644)
    _write(directory / "tls.key", private, 0o600)
    _write(directory / "history.key", f"{key.format_private()}\n".encode(), 0o600)
    _write(directory / FILE, _toml(plan).encode(), 0o600)
    settings = read_settings(directory / FILE)
    create_database(settings.database)
    _write_first_entries(settings.database, read_history_key(settings.history_key), plan, password)
    _sync(directory)
    return str(key.verify_key)


def _write_first_entries(database: Path, key: SigningKey, plan: Plan, password: str) -> None:
    costs = plan.costs
    kdf = Kdf(secrets.token_bytes(SALT_SIZE), costs.memory_kib, costs.passes, costs.lanes)
    verifier = login_verifier(derive(password, kdf))
    store = Store(database, key=key, clock=lambda: datetime.now(UTC), random=secrets.token_bytes)
    try:
        with store.transaction() as tx:
            tx.append(LogStarted(vkey=str(key.verify_key)))
            tx.write("INSERT INTO meta VALUES ('salt', ?)", secrets.token_hex(SALT_SIZE))
            create_account(tx, plan.admin, "admin", kdf, verifier)
    finally:
        store.close()


def _toml(plan: Plan) -> str:
    """The configuration as config/custodian.toml explains it."""
    costs = plan.costs
    return (
        f'listen = "{plan.listen}"\n'
        'database = "custodian.db"\n'
        'history_key = "history.key"\n'
        'tls_certificate = "tls.pem"\n'
        'tls_key = "tls.key"\n\n'
        f"[passwords]\nmemory_kib = {costs.memory_kib}\npasses = {costs.passes}\nlanes = {costs.lanes}\n"
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:  # noqa: PTH123
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
