"""What is not HTTP gets an answer that does not repeat it, and leaves no piece of itself in the log.

aiohttp tells the sender, and its log, the very bytes it could not read. They may be a header with
a password in it.
"""

import logging
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from custodian.encoding import canonical_json

PROBLEM = {
    "type": "bad-input",
    "title": "What was sent is not right",
    "status": 400,
    "detail": "this is not HTTP, or larger than is read here",
}
FAILURE = {
    "type": "error",
    "title": "Something failed here",
    "status": 500,
    "detail": "it is in no answer why",
}


def keep_broken_http_to_itself() -> None:
    """Change how aiohttp tells of broken requests, for this process."""
    RequestHandler.handle_error = _answer  # type: ignore[method-assign]
    logging.getLogger("aiohttp.server").addFilter(_without_what_was_read)


def _answer(
    self: Any, request: Any, status: int = 500, exc: BaseException | None = None, message: str | None = None
) -> web.Response:
    del message  # repeats what was read
    self.logger.warning("an exchange with %s ended with %s", request.remote, type(exc).__name__)
    if request.writer.output_size > 0:
        raise ConnectionError("an answer was begun already")
    problem = PROBLEM if status < 500 else FAILURE
    answer = web.Response(
        body=canonical_json(problem) + b"\n",
        status=int(str(problem["status"])),
        content_type="application/problem+json",
    )
    answer.force_close()
    return answer


def _without_what_was_read(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info, tuple):
        kind = record.exc_info[0]
        record.msg = f"{record.msg}: {kind.__name__ if kind else ''}"
        record.exc_info, record.exc_text = None, None
    return True
