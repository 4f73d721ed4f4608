"""Front ends on other cores: they read, check and build; one process lends them signatures.

Leases, records and the broker belong to one process, so that uses are counted once. A front end has no
part of it: it sends what it prepared over a socket pair and gets the signature or the refusal. Both
sides are the same program, forked before anything was started.

    request  number (4) || length of head (4) || head, JSON || TBSCertificate; no head asks for the status
    answer   number (4) || 1 || signature or status   or   number (4) || 0 || error, JSON
"""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from custodian.errors import CustodianError, Unavailable
from signer.client import BY_CODE
from signer.custody import CustodyKey
from signer.frames import Calls, Frames
from signer.issue import Prepared

log = logging.getLogger(__name__)


class Desk(Frames):
    """The side that lends: answers one front end."""

    def __init__(self, key: CustodyKey, closed: Callable[[], None]) -> None:
        super().__init__()
        self._key, self._closed = key, closed
        self._answering: set[asyncio.Task[None]] = set()

    def received(self, frame: bytes) -> None:
        task = self._loop.create_task(self._answer(frame))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._closed()

    async def _answer(self, frame: bytes) -> None:
        number, size = frame[:4], int.from_bytes(frame[4:8], "big")
        head, tbs = frame[8 : 8 + size], frame[8 + size :]
        try:
            answer = await self._key.sign(_decode(json.loads(head), tbs)) if size else await self._status()
        except CustodianError as error:
            self._refuse(number, error)
        except Exception:
            log.exception("a signature failed")
            self._refuse(number, Unavailable("internal error; the signer's log tells more"))
        else:
            self.send(number + b"\x01" + answer)

    def _refuse(self, number: bytes, error: CustodianError) -> None:
        told = {"code": error.code, "detail": error.detail, "members": error.members}
        self.send(number + b"\x00" + json.dumps(told).encode())

    async def _status(self) -> bytes:
        return json.dumps(await self._key.status()).encode()


class DeskKey(Calls):
    """The front end's side: a `signer.keys.KeySource` whose signatures come from the desk."""

    def __init__(self, closed: Callable[[], None]) -> None:
        super().__init__()
        self._closed = closed

    async def sign(self, prepared: Prepared) -> bytes:
        head = _encode(prepared)
        return await self.ask(len(head).to_bytes(4, "big") + head + prepared.tbs)

    async def status(self) -> Any:
        return json.loads(await self.ask(bytes(4)))

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._closed()

    def refusal(self, why: bytes) -> Exception:
        told = json.loads(why)
        return BY_CODE.get(told["code"], Unavailable)(told["detail"], **told["members"])

    def gone(self) -> Exception:
        return Unavailable("the signer stops")


def _encode(prepared: Prepared) -> bytes:
    return json.dumps(
        [
            f"{prepared.serial:x}",
            prepared.common_name,
            prepared.names,
            prepared.profile,
            prepared.is_ca,
            prepared.not_before.timestamp(),
            prepared.not_after.timestamp(),
        ]
    ).encode()


def _decode(head: list[Any], tbs: bytes) -> Prepared:
    serial, common_name, names, profile, is_ca, not_before, not_after = head
    return Prepared(
        tbs=tbs,
        algorithm=b"",  # the certificate is put together at the front end
        serial=int(serial, 16),
        common_name=common_name,
        names=tuple(names),
        profile=profile,
        is_ca=is_ca,
        not_before=datetime.fromtimestamp(not_before, UTC),
        not_after=datetime.fromtimestamp(not_after, UTC),
    )
