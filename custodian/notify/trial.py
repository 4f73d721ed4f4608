"""`custodian notify test`: send a message to the receivers of a configuration, and see what comes back."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime

from custodian.config import Settings
from custodian.encoding import format_instant
from custodian.errors import NotFound
from custodian.notify import messages
from custodian.notify.sending import Result, make_senders, open_session
from custodian.site import default_site


async def try_receivers(settings: Settings, names: Sequence[str]) -> dict[str, Result]:
    """Tell the receivers `names`, or all, at once. Raises NotFound for one that is not configured."""
    site = settings.site or default_site(settings.host, settings.port)
    notice = messages.trial(f"n-{os.urandom(12).hex()}", format_instant(datetime.now(UTC)))
    async with open_session() as session:
        senders = make_senders(settings.receivers, lambda: site.origin, session)
        for name in names:
            if name not in senders:
                known = ", ".join(senders) or "none is configured"
                raise NotFound(f"there is no receiver {name}; there are: {known}")
        chosen = list(names or senders)
        results = await asyncio.gather(*(senders[name].send(notice) for name in chosen))
    return dict(zip(chosen, results, strict=True))
