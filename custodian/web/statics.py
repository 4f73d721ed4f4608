"""The files of the pages: style, scripts, fonts, the seal.

They are read once, at start. Their address holds a digest of all of them together, so that a browser may
keep them for good and modules still find each other by relative addresses.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web

ROOT = Path(__file__).with_name("static")
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
PACKED = {".css", ".js", ".svg", ".txt"}  # woff2 is compressed already
FOR_GOOD = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is served; `packed` is its gzip, or nothing."""

    kind: str
    body: bytes
    packed: bytes


class Statics:
    """Every file below `root`, by its relative path."""

    def __init__(self, root: Path = ROOT) -> None:
        paths = sorted(path for path in root.rglob("*") if path.suffix in KINDS)
        self.files = {path.relative_to(root).as_posix(): _read(path) for path in paths}
        digest = hashlib.sha256()
        for name, file in self.files.items():
            digest.update(name.encode() + b"\x00" + hashlib.sha256(file.body).digest())
        self.version = digest.hexdigest()[:12]

    def address(self, name: str) -> str:
        """Return where `name` is served. Raises KeyError: there is no such file."""
        if name not in self.files:
            raise KeyError(name)
        return f"/static/{self.version}/{name}"

    async def serve(self, request: web.Request) -> web.Response:
        """Answer with a file; it may be kept only under the address of these very files."""
        file = self.files.get(request.match_info["file"])
        if file is None:
            raise web.HTTPNotFound
        headers = {hdrs.CONTENT_TYPE: file.kind, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if request.match_info["version"] == self.version:
            headers[hdrs.CACHE_CONTROL] = FOR_GOOD
        if file.packed and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            return web.Response(body=file.packed, headers=headers | {hdrs.CONTENT_ENCODING: "gzip"})
        return web.Response(body=file.body, headers=headers)


def _read(path: Path) -> File:
    body = path.read_bytes()
    packed = gzip.compress(body, mtime=0) if path.suffix in PACKED else b""
    return File(KINDS[path.suffix], body, packed)
