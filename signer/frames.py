"""Length-prefixed frames between the signer's processes, and calls that wait for their answers.

A frame is its length, 4 bytes big endian, and as many bytes. Frames of one turn of the loop leave
together, so that many signatures cost few system calls.
"""

import asyncio
import itertools
from abc import abstractmethod

MAX_FRAME = 1_048_576  # bytes; a certificate with all its names has some twenty thousand


class Frames(asyncio.Protocol):
    """Both ends of a connection: cut what comes into frames, join what goes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._incoming = bytearray()
        self._outgoing: list[bytes] = []

    @property
    def closed(self) -> bool:
        return self._transport is None

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
        if len(buffer) > MAX_FRAME and self._transport:
            self._transport.abort()  # the other end is out of its mind

    @abstractmethod
    def received(self, frame: bytes) -> None:
        """Take a whole frame."""

    def send(self, frame: bytes) -> None:
        self._outgoing.append(len(frame).to_bytes(4, "big") + frame)
        if len(self._outgoing) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._transport:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()


class Calls(Frames):
    """The end that asks.

    A question is number (4) || question, its answer number || 1 || answer or number || 0 || why not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}

    def ask(self, question: bytes) -> asyncio.Future[bytes]:
        """Return the answer to come, which may be a `refusal` or that the other end is `gone`."""
        future: asyncio.Future[bytes] = self._loop.create_future()
        if self.closed:
            future.set_exception(self.gone())
            return future
        number = (next(self._numbers) & 0xFFFFFFFF).to_bytes(4, "big")
        self._waiting[number] = future
        self.send(number + question)
        return future

    def received(self, frame: bytes) -> None:
        future = self._waiting.pop(frame[:4])
        if future.done():  # whoever asked has left
            return
        if frame[4]:
            future.set_result(frame[5:])
        else:
            future.set_exception(self.refusal(frame[5:]))

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self.gone())
        self._waiting.clear()

    @abstractmethod
    def refusal(self, why: bytes) -> Exception:
        """Return the error that an answer of 0 stands for."""

    @abstractmethod
    def gone(self) -> Exception:
        """Return the error of a call that the other end did not live to answer."""
