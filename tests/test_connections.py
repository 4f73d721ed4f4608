"""No address and no half-open request keeps others from being heard."""

import asyncio
import contextlib
import resource
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from inbox import certificate
from running import World, basic, raw_connection

from custodian import connections
from custodian.connections import Listener

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n"
TICK = 0.2  # seconds the deadlines take here


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_SECONDS", "IDLE_SECONDS", "SPARED_SECONDS"):
        monkeypatch.setattr(connections, name, TICK)


@pytest.fixture
async def server(quick: None) -> AsyncIterator["Server"]:
    """A server that answers `/` at once and streams at `/stream` until the end; 3 connections an address."""
    made = Listener(socket.create_server(("127.0.0.1", 0)), per_address=3)
    app = web.Application(middlewares=[made.watch])
    app.add_routes([web.get("/", answer), web.get("/stream", stream), web.get("/proven", proven)])
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.SockSite(runner, made).start()
    server = Server(made)
    yield server
    for caller in server.callers:
        caller.writer.close()
    await runner.cleanup()


async def answer(_: web.Request) -> web.Response:
    return web.Response(text="here")


async def proven(request: web.Request) -> web.StreamResponse:
    connections.stop_counting(request)
    return await stream(request)


async def stream(request: web.Request) -> web.StreamResponse:
    events = web.StreamResponse()
    await events.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await events.write(b"ping")
            await asyncio.sleep(TICK / 2)
    return events


class Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, path: str = "/") -> bytes:
        """Send a whole head; return the start of the answer, empty if the connection is gone."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(ASK.replace(b"/ ", path.encode() + b" ", 1) + b"\r\n")
            return await asyncio.wait_for(self.reader.read(1000), 2)
        return b""

    async def is_shut(self, within: float = 5 * TICK) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1000), within) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


@dataclass
class Server:
    listener: Listener
    callers: list[Caller] = field(default_factory=list)

    async def call(self, begin: bytes = b"", source: str = "127.0.0.1") -> Caller:
        host, port = self.listener.getsockname()
        caller = Caller(*await asyncio.open_connection(host, port, local_addr=(source, 0)))
        self.callers.append(caller)
        caller.writer.write(begin)
        return caller


# -- the deadline of a head


@pytest.mark.parametrize("begin", [b"", ASK, ASK + b"X: "])
async def test_a_head_that_does_not_come_ends_its_connection(server: Server, begin: bytes) -> None:
    slow = await server.call(begin)
    assert await slow.is_shut()
    assert server.listener._held == {}


async def test_a_head_that_drips_is_no_head_in_time(server: Server) -> None:
    slow = await server.call(ASK)
    for _ in range(8):
        await asyncio.sleep(TICK / 4)
        with contextlib.suppress(ConnectionError):
            slow.writer.write(b"X")
    assert await slow.is_shut(TICK)


async def test_a_second_head_that_does_not_come_ends_it_too(server: Server) -> None:
    slow = await server.call()
    assert b"200 OK" in await slow.ask()
    slow.writer.write(ASK)
    assert await slow.is_shut()


async def test_a_connection_is_kept_from_call_to_call_and_a_stream_for_as_long_as_it_runs(
    server: Server,
) -> None:
    kept, follower = await server.call(), await server.call()
    assert b"200 OK" in await follower.ask("/stream")
    for _ in range(6):
        assert b"200 OK" in await kept.ask()
        await asyncio.sleep(TICK / 2)
    assert await asyncio.wait_for(follower.reader.read(1000), 1)


# -- the share of an address


async def test_who_is_idle_for_longest_makes_room_for_the_newest(server: Server) -> None:
    follower = await server.call()
    await follower.ask("/stream")
    first, second = await server.call(ASK), await server.call()
    await asyncio.sleep(TICK * 0.6)
    assert b"200 OK" in await second.ask()  # idle anew
    for each in server.listener._held["127.0.0.1"].values():
        each.since -= TICK * 0.6
    newest = await server.call()
    assert b"200 OK" in await newest.ask()
    assert await first.is_shut(TICK / 10)
    assert b"ping" in await asyncio.wait_for(follower.reader.read(1000), 1)


async def test_where_all_have_just_come_the_newest_is_refused(server: Server) -> None:
    held = [await server.call() for _ in range(3)]
    assert await (await server.call()).ask() == b""
    assert b"200 OK" in await (await server.call(source="127.0.0.2")).ask(), "others are not refused"
    assert b"200 OK" in await held[0].ask()


async def test_streams_are_never_shut_to_make_room(server: Server) -> None:
    for follower in [await server.call() for _ in range(3)]:
        assert b"200 OK" in await follower.ask("/stream")
    await asyncio.sleep(2 * TICK)
    assert await (await server.call()).ask() == b""


async def test_streams_of_somebody_known_take_no_strangers_place_and_are_not_shut(server: Server) -> None:
    known = []
    for _ in range(9):
        known.append(await server.call())
        assert b"200 OK" in await known[-1].ask("/proven")
    assert server.listener._held == {}
    strangers = [await server.call() for _ in range(3)]
    assert b"200 OK" in await strangers[0].ask()
    assert await (await server.call()).ask() == b"", "they have a share as before"
    await asyncio.sleep(2 * TICK)
    for each in known:
        assert b"ping" in await asyncio.wait_for(each.reader.read(1000), 1)


async def test_a_place_is_free_again_when_its_connection_closes(server: Server) -> None:
    for _ in range(10):
        caller = await server.call()
        assert b"200 OK" in await caller.ask()
        caller.writer.close()
        await asyncio.sleep(TICK / 20)
    assert server.listener._held == {}


# -- open files


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0], before[1]))


def test_as_many_files_may_be_open_as_the_system_allows(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    raised = connections.raise_file_limit()
    assert raised == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
    assert raised <= max(connections.MOST_FILES, limits[0])
    assert connections.raise_file_limit() == raised


# -- what a connection takes


async def test_a_connection_keeps_a_buffer_of_one_record_of_tls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Looks inside asyncio: where that is built otherwise, `read_tls_in_records` is to be thought over."""
    monkeypatch.setattr(SSLProtocol, "max_size", SSLProtocol.max_size)
    connections.read_tls_in_records()
    made, sizes = certificate(tmp_path), []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sizes.append(len(writer.transport._ssl_protocol._ssl_buffer))  # type: ignore[attr-defined]
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=made.context)
    trust = ssl.create_default_context(cafile=made.path)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("localhost", port, ssl=trust, family=socket.AF_INET)
    await reader.read()
    writer.close()
    server.close()
    assert sizes == [16_384]


# -- the daemon


def test_an_owner_calls_from_an_address_that_holds_half_open_requests(running_world: World) -> None:
    held: list[Any] = []
    for _ in range(2 * connections.PER_ADDRESS):
        with contextlib.suppress(OSError):
            held.append(raw_connection(running_world.daemon))
            held[-1].write(b"GET /api/v1/status HTTP/1.1\r\nX: ")
    asyncio.run(asyncio.sleep(1.2 * connections.SPARED_SECONDS))
    answered = running_world.daemon.call("GET", "/status", authorization=basic("alice"))
    assert answered.status == 200
    for each in held:
        each.close()
