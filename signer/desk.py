"""Front ends on other cores: they read, check and build; one process lends them signatures.

Leases, records and the broker belong to one process, so that uses are counted once. A front end has no
part of it: it sends what it prepared over a socket pair and gets the signature or the refusal. Both
sides are the same program, forked before anything was started.

    request  length (4) || number (4) || length of head (4) || head, JSON || TBSCertificate; no head: status
    answer   length (4) || number (4) || 1 || signature or status    or   … || 0 || error, JSON
"""

import asyncio
import itertools
import json
import logging
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from custodian.errors import CustodianError, Unavailable
from signer.client import BY_CODE
from signer.custody import CustodyKey
from signer.issue import Prepared

log = logging.getLogger(__name__)


class _Frames(asyncio.Protocol):
    """Length-prefixed frames; those of one turn of the loop leave together."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._incoming = bytearray()
        self._outgoing: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        buffer = self._incoming
        buffer += data
        while len(buffer) >= 4 and len(buffer) >= 4 + (size := int.from_bytes(buffer[:4], "big")):
            frame = bytes(buffer[4 : 4 + size])
            del buffer[: 4 + size]
            self.received(frame)

    def received(self, frame: bytes) -> None:
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        self._outgoing.append(len(frame).to_bytes(4, "big") + frame)
        if len(self._outgoing) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._transport:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()


class Desk(_Frames):
    """The side that lends: answers one front end."""

    def __init__(self, key: CustodyKey) -> None:
        super().__init__()
        self._key = key
        self._answering: set[asyncio.Task[None]] = set()

    def received(self, frame: bytes) -> None:
        task = self._loop.create_task(self._answer(frame))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, frame: bytes) -> None:
        number, size = frame[:4], int.from_bytes(frame[4:8], "big")
        head, tbs = frame[8 : 8 + size], frame[8 + size :]
        try:
            answer = await self._key.sign(_decode(json.loads(head), tbs)) if size else await self._status()
        except CustodianError as error:
            told = {"code": error.code, "detail": error.detail, "members": error.members}
            self.send(number + b"\x00" + json.dumps(told).encode())
        except Exception:
            log.exception("a signature failed")
            told = {
                "code": Unavailable.code,
                "detail": "internal error; the signer's log tells more",
                "members": {},
            }
            self.send(number + b"\x00" + json.dumps(told).encode())
        else:
            self.send(number + b"\x01" + answer)

    async def _status(self) -> bytes:
        return json.dumps(await self._key.status()).encode()


class DeskKey(_Frames):
    """The front end's side: a `signer.keys.KeySource` whose signatures come from the desk."""

    def __init__(self, gone: Callable[[], None]) -> None:
        super().__init__()
        self._gone = gone
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unavailable("the signer stops"))
        self._gone()

    async def sign(self, prepared: Prepared) -> bytes:
        return await self._ask(_encode(prepared), prepared.tbs)

    async def status(self) -> Any:
        return json.loads(await self._ask(b"", b""))

    def _ask(self, head: bytes, tbs: bytes) -> asyncio.Future[bytes]:
        future: asyncio.Future[bytes] = self._loop.create_future()
        number = struct.pack(">I", next(self._numbers) & 0xFFFFFFFF)
        self._waiting[number] = future
        self.send(number + len(head).to_bytes(4, "big") + head + tbs)
        return future

    def received(self, frame: bytes) -> None:
        future = self._waiting.pop(frame[:4])
        if future.done():
            return
        if frame[4]:
            future.set_result(frame[5:])
            return
        told = json.loads(frame[5:])
        future.set_exception(BY_CODE.get(told["code"], Unavailable)(told["detail"], **told["members"]))


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
