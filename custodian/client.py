"""The command line's side of `/api/v1`: one call, one answer, or the problem it was refused with."""

import base64
import json
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from custodian.errors import BadInput, CustodianError, Unavailable

PATIENCE = 30  # seconds


def place(*parts: str) -> str:
    """Return the path to `parts`, whatever characters they are of."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class Refused(CustodianError):
    """The custodian's answer was a problem; `members` are those of RFC 9457."""

    code = "refused"


class Client:
    """Calls as one person. The password is asked for when the first call needs it."""

    def __init__(self, url: str, ca: Path | None, user: str, password: Callable[[], str]) -> None:
        if urlsplit(url).scheme != "https":
            raise BadInput("url", "must start with https://")
        self.url, self.user = url.rstrip("/"), user
        self._ask, self._password = password, ""
        try:
            context = ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise BadInput("ca", f"{ca} cannot be used: {error.strerror or error}") from None
        handlers = (
            urllib.request.HTTPSHandler(context=context),
            urllib.request.ProxyHandler({}),
            _NoRedirect(),
        )
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, verb: str, path: str, body: Any = None) -> Any:
        """Make a call of `/api/v1` and return its answer.

        Raises:
            Refused: the custodian said no, and why. Unavailable: it did not answer.
        """
        request = urllib.request.Request(f"{self.url}/api/v1{path}", method=verb)  # noqa: S310 - https, see above
        if self.user:
            self._password = self._password or self._ask()
            credentials = base64.b64encode(f"{self.user}:{self._password}".encode()).decode()
            request.add_header("Authorization", f"Basic {credentials}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(f"{self.url} does not answer: {reason}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The password goes to the address that was given, and nowhere else."""

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
