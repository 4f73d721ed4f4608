"""Headers that every answer carries, whoever made it: pages, API, errors, streams, files.

The policy lets a page run our own files and nothing else: no inline script or style, no other origin, no
text turned into markup (Trusted Types without a policy). What it forbids we do not need.
"""

from aiohttp import hdrs, web

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "publickey-credentials-get=(self), publickey-credentials-create=(self)",
}


async def guard(_: web.Request, answer: web.StreamResponse) -> None:
    """Put the headers on an answer that is about to leave. Only files may be kept, and they say so."""
    answer.headers.update(HEADERS)
    answer.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


def add_guard(app: web.Application) -> None:
    app.on_response_prepare.append(guard)
