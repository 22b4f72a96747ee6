"""What a control group is to the rest of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gradio.components import Component

from webui.request import Request


class Part(NamedTuple):
    """Controls for some fields of a request. `read(show(request))` gives those fields back."""

    components: dict[str, Component]
    """Request field -> its control."""
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Values of the controls by field -> fields of the request."""
    show: Callable[[Request], dict[str, Any]]
    """A request -> values of the controls by field."""


def whole(value: Any) -> Any:
    """Browsers send 20 as 20.0: a number without a fraction is a whole one. Anything else is left for `Request` to judge."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plain(components: dict[str, Component]) -> Part:
    """A part whose controls hold the fields as they are."""
    return Part(
        components,
        lambda values: {name: whole(values[name]) for name in components},
        lambda request: {name: getattr(request, name) for name in components},
    )
