"""The page where people enrol: all of it happens in their browser, through the API."""

from datetime import UTC, datetime

from aiohttp import web

from custodian.calls import CUSTODY
from custodian.web.page import NOBODY, RENDERER


async def show_enrol(request: web.Request) -> web.Response:
    """Show the form for an invitation to anybody: the code is the credential."""
    values = NOBODY | {"rp_id": request.app[CUSTODY].site.rp_id}
    return request.app[RENDERER].page("enrol.html", datetime.now(UTC), values)
