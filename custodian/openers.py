"""The daemon's side of the openers: hand a job to a process that exits after it."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from custodian.encoding import decode_base64, encode_base64
from custodian.envelope import Envelope
from custodian.errors import BadInput, CannotOpen, Unavailable
from custodian.sealing import PublicKey
from custodian.slots import Kdf, Slot, kdf_parameters, parse_slot
from custodian.terms import Terms

AT_ONCE = 2  # Argon2id takes 64 MiB and a core for each
REVOKING_AT_ONCE = 1  # more: who revokes waits for none of the others
PATIENCE = 30  # seconds a job may take on a busy machine
log = logging.getLogger(__name__)


class Openers:
    """The parent of the openers, started once. Call the jobs from one event loop."""

    def __init__(self) -> None:
        self._lane = asyncio.Semaphore(AT_ONCE)
        self._revoking = asyncio.Semaphore(REVOKING_AT_ONCE)
        self._start()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "custodian.opener"],
                stdin=theirs.fileno(),
                env={**os.environ, "LD_BIND_NOW": "1"},
            )

    def close(self) -> None:
        self._control.close()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def prove(self, password: str, kdf: Kdf, *, own_lane: bool = False) -> bytes:
        """Return the login verifier that `password` leads to; in the lane of those who revoke, or not."""
        lane = self._revoking if own_lane else self._lane
        answer = await self._work(lane, work="prove", password=password, kdf=kdf_parameters(kdf))
        return decode_base64(answer["verifier"], "verifier")

    async def enrol(self, password: str, kdf: Kdf, owner: str) -> tuple[bytes, Slot | None]:
        """Return the verifier of a new password and, if `owner` is named, their first slot."""
        answer = await self._work(
            self._lane, work="enrol", password=password, kdf=kdf_parameters(kdf), owner=owner
        )
        slot = parse_slot(decode_base64(answer["slot"], "slot")) if "slot" in answer else None
        return decode_base64(answer["verifier"], "verifier"), slot

    async def extend(
        self,
        password: str,
        slot: Slot,
        place: tuple[str, str],
        public: PublicKey,
        parameters: Mapping[str, str | int],
    ) -> Slot:
        """Return a slot of this id and kind, with the owner's key that `slot` holds sealed to `public`.

        Raises:
            CannotOpen: `slot` does not open. FormatError: the parameters are not those of the kind.
        """
        answer = await self._work(
            self._lane,
            work="extend",
            password=password,
            slot=encode_base64(bytes(slot)),
            place=place,
            public=str(public),
            parameters=dict(parameters),
        )
        return parse_slot(decode_base64(answer["slot"], "slot"))

    async def lend(self, password: str, slot: Slot, envelope: Envelope, terms: Terms) -> dict[str, str]:
        """Return recipient -> the owner's share sealed to it under `terms`.

        Raises:
            CannotOpen: the slot, or the share behind it, does not open.
        """
        answer = await self._work(
            self._lane,
            work="lend",
            password=password,
            slot=encode_base64(bytes(slot)),
            envelope=encode_base64(bytes(envelope)),
            terms=encode_base64(bytes(terms)),
        )
        sealed: dict[str, str] = answer["sealed"]
        return sealed

    async def _work(self, lane: asyncio.Semaphore, **job: Any) -> dict[str, Any]:
        async with lane:
            try:
                answer = await asyncio.wait_for(self._ask(json.dumps(job).encode()), PATIENCE)
            except (TimeoutError, OSError, ValueError):
                raise Unavailable("the opener did not answer; try again") from None
        if "cannot_open" in answer:
            raise CannotOpen(answer["cannot_open"], tuple(answer["owners"]))
        if "error" in answer:
            raise BadInput("password", answer["error"])
        if "failed" in answer:
            log.error("an opener failed with %s", answer["failed"])
            raise Unavailable("the opener failed; the custodian's log tells more")
        return answer

    async def _ask(self, job: bytes) -> dict[str, Any]:
        if self._process.poll() is not None:
            log.error("the openers' parent ended with status %s; starting it again", self._process.returncode)
            self._control.close()
            self._start()
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"j"], [theirs.fileno()])
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        try:
            writer.write(job)
            writer.write_eof()
            answer: dict[str, Any] = json.loads(await reader.read())
            return answer
        finally:
            writer.close()
