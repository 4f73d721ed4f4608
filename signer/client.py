"""The custodian, as a signer calls it: `/api/v1` over TLS, pinned to the custodian's CA."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp

from custodian import errors
from custodian.errors import BadInput, CustodianError, FormatError, Unavailable

TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3)
BY_CODE: dict[str, type[CustodianError]] = {
    each.code: each
    for each in (
        errors.QuorumMissing,
        errors.Unauthenticated,
        errors.Forbidden,
        errors.NotFound,
        errors.Conflict,
        errors.TooMany,
    )
}


class CustodianClient:
    """Calls raise the CustodianError that the custodian's problem names, or Unavailable."""

    def __init__(self, url: str, ca: Path, token: str = "") -> None:
        self._url = url.rstrip("/")
        try:
            context = ssl.create_default_context(cafile=str(ca))
        except ssl.SSLError:
            raise BadInput(str(ca), "is not a certificate in PEM") from None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connector = aiohttp.TCPConnector(ssl=context)
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str) -> Any:
        return await self._call("GET", path, None)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        return await self._call("POST", path, body)

    async def put(self, path: str, body: dict[str, Any]) -> Any:
        return await self._call("PUT", path, body)

    async def news(self, signer: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield what the custodian tells a signer, as (event, data), until the stream ends."""
        timeout = aiohttp.ClientTimeout(total=None, connect=3, sock_read=10)
        try:
            async with self._session.get(
                f"{self._url}/api/v1/signers/{signer}/news", timeout=timeout
            ) as response:
                if response.status != 200:
                    raise _error(response.status, await response.read())
                event = ""
                async for raw in response.content:
                    field, _, value = raw.decode().rstrip("\n").partition(": ")
                    if field == "event":
                        event = value
                    elif field == "data":
                        yield event, json.loads(value)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(self._url, error) from None

    async def _call(self, verb: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            async with self._session.request(verb, f"{self._url}/api/v1{path}", json=body) as response:
                data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(self._url, error) from None
        if response.status >= 400:
            raise _error(response.status, data)
        return await asyncio.to_thread(json.loads, data) if len(data) > 1 << 20 else json.loads(data)


def _unreachable(url: str, error: Exception) -> Unavailable:
    why = (
        "its certificate is not the pinned one" if isinstance(error, aiohttp.ClientSSLError) else "no answer"
    )
    return Unavailable(f"the custodian at {url} cannot be reached: {why}")


def _error(status: int, data: bytes) -> CustodianError:
    """Return the error that a problem stands for."""
    try:
        problem = json.loads(data)
        code, detail = problem.pop("type"), problem.pop("detail")
    except (ValueError, KeyError, AttributeError):
        return Unavailable(f"the custodian answered {status} without saying why")
    members = {name: value for name, value in problem.items() if name not in ("status", "title")}
    if code in (BadInput.code, FormatError.code):
        field = str(problem.get("field", "request"))
        return BadInput(field, detail.removeprefix(f"{field}: "))
    if code in BY_CODE:
        return BY_CODE[code](detail, **members)
    return Unavailable(f"the custodian refused: {detail}")
