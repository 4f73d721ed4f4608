"""Templates: values in, HTML out. Whatever is shown is escaped; a name that is missing is an error."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from custodian.encoding import format_instant
from custodian.web import words
from custodian.web.statics import Statics

TEMPLATES = Path(__file__).with_name("templates")
PACKED_FROM = 30_000  # characters; a smaller page is sent as it is


class Renderer:
    """The templates, with our filters and the addresses of our files."""

    def __init__(self, statics: Statics) -> None:
        self.statics = statics
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(words.FILTERS)
        self._environment.globals["static"] = statics.address

    def text(self, template: str, now: datetime, values: Mapping[str, Any]) -> str:
        """Return a template as text; `now` is what its times are relative to."""
        relative = {name: partial(function, now=now) for name, function in words.RELATIVE.items()}
        return self._environment.get_template(template).render(
            values, now=format_instant(now), now_ms=int(now.timestamp() * 1000), **relative
        )

    def page(
        self, template: str, now: datetime, values: Mapping[str, Any], *, status: int = 200
    ) -> web.Response:
        text = self.text(template, now, values)
        answer = web.Response(text=text, status=status, content_type="text/html", charset="utf-8")
        if len(text) > PACKED_FROM:
            answer.enable_compression()  # where the browser takes it; no page holds a secret
        return answer
