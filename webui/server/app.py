"""The whole server as one ASGI app: the guard, then REST and pictures, then the page."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.types import Scope

from webui.downloads.downloads import Downloads
from webui.server.answers import answer_bugs, answer_errors
from webui.server.api import pictures, rest
from webui.server.downloads import downloads
from webui.server.entrance import Entrance
from webui.server.guard import Guard
from webui.server.head import local
from webui.server.lan import Lan
from webui.server.share import sharing
from webui.server.words import wording
from webui.studio import Studio


def create(
    studio: Studio, build_page: Callable[[Studio], gr.Blocks], look: dict[str, Any], hosts: Iterable[str], lan: Lan | None = None
) -> Guard:
    """The app.

    Args:
        look: the page's theme, styles and head.
        hosts: the Host headers that are answered on the owner's listener.
        lan: the listeners on the local network; without it the studio cannot be shared.
    """
    door = FastAPI(openapi_url=None, redirect_slashes=False)
    answer_errors(door)
    lan, owners = lan or Lan(0), frozenset(hosts)
    # Before the page: "/" takes all that comes after it.
    fetched = downloads(Downloads(studio.settings.models, studio.stock.refresh))
    door.mount("/api", rest(studio, sharing(studio, lan), wording(studio), fetched))
    door.mount("/pictures", pictures(studio))

    def answered(scope: Scope) -> Container[str]:
        return owners if local(scope) else lan.hosts

    entrance = Entrance(studio.access, lambda: lan.open, strict=studio.settings.owner_link)
    return Guard(mount(door, build_page(studio), look), answered, entrance, studio.access.guests)


def mount(door: FastAPI, page: gr.Blocks, look: dict[str, Any]) -> FastAPI:
    """Put a Gradio page at "/"."""
    page.queue(default_concurrency_limit=None)
    # Whatever GRADIO_VIBE_MODE says: it lets the page's visitors write code.
    page.vibe_mode = False
    mounted: FastAPI = gr.mount_gradio_app(
        door,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size="20mb",
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **look,
    )
    # Only `launch` sets this, and until it is set Gradio copies any file on the machine into its cache for whoever names it.
    page.has_launched = True
    answer_bugs(mounted.routes[-1].app)  # type: ignore[attr-defined]
    return mounted
