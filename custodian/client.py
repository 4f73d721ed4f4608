"""The command line's side of `/api/v1`: one call, one answer, or the problem it was refused with."""

import base64
import contextlib
import functools
import json
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from custodian.errors import BadInput, CustodianError, Unavailable

PATIENCE = 30  # seconds


def place(*parts: str) -> str:
    """Return the path to `parts`, whatever characters they are of."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class Refused(CustodianError):
    """The custodian's answer was a problem; `members` are those of RFC 9457."""

    code = "refused"


class Caller(Protocol):
    """Who calls; `authorization` is the header that says so, made when the first call needs it."""

    @property
    def name(self) -> str: ...

    def authorization(self, client: "Client") -> str: ...


@dataclass(frozen=True, slots=True)
class ByPassword:
    """A person who sends their password; it is asked for when the first call needs it."""

    name: str
    password: Callable[[], str]

    def authorization(self, _: "Client") -> str:
        credentials = base64.b64encode(f"{self.name}:{self.password()}".encode()).decode()
        return f"Basic {credentials}"


class Client:
    """Calls as one person, or as nobody."""

    def __init__(self, url: str, ca: Path | None, caller: Caller | None = None) -> None:
        if urlsplit(url).scheme != "https":
            raise BadInput("url", "must start with https://")
        self.url, self.caller, self._ca = url.rstrip("/"), caller, ca
        self._authorization = ""

    @property
    def user(self) -> str:
        return self.caller.name if self.caller else ""

    def leave(self) -> None:
        """End the session, if one was started; whether that works does not matter to what was done."""
        if self._authorization.startswith("Bearer "):
            with contextlib.suppress(CustodianError):
                self.call("DELETE", "/sessions")

    def call(self, verb: str, path: str, body: Any = None, *, as_nobody: bool = False) -> Any:
        """Make a call of `/api/v1` and return its answer.

        Raises:
            Refused: the custodian said no, and why. Unavailable: it did not answer.
        """
        request = urllib.request.Request(f"{self.url}/api/v1{path}", method=verb)  # noqa: S310 - https, see above
        if self.caller and not as_nobody:
            self._authorization = self._authorization or self.caller.authorization(self)
            request.add_header("Authorization", self._authorization)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise Unavailable(
                    f"the certificate of {self.url} is not trusted ({reason.verify_message}); "
                    "name its tls.pem with --ca or CUSTODIAN_CA"
                ) from None
            raise Unavailable(f"{self.url} does not answer: {reason}") from None

    @functools.cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        """Made at the first call: what works without the network needs no certificate of the custodian."""
        try:
            context = ssl.create_default_context(cafile=self._ca)
        except OSError as error:
            raise BadInput("ca", f"{self._ca} cannot be used: {error.strerror or error}") from None
        handlers = (
            urllib.request.HTTPSHandler(context=context),
            urllib.request.ProxyHandler({}),
            _NoRedirect(),
        )
        return urllib.request.build_opener(*handlers)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What proves who calls goes to the address that was given, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _refused(error: urllib.error.HTTPError) -> Refused:
    try:
        problem = json.load(error)
        return Refused(str(problem.pop("detail")), **problem)
    except (ValueError, KeyError, AttributeError, TypeError, OSError):
        return Refused(f"the custodian answered {error.code} {error.reason}")


def read_secret(path: str) -> str:
    """Read the one line of a file, or the next line of standard input for `-`."""
    try:
        text = sys.stdin.readline() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(path, f"cannot be read: {getattr(error, 'strerror', 'not text')}") from None
    return text.removesuffix("\n").removesuffix("\r")
