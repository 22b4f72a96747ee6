"""The whole server as one ASGI app: the guard, then REST and pictures, then the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
from fastapi import FastAPI

from webui.server.answers import answer_bugs, answer_errors
from webui.server.api import pictures, rest
from webui.server.guard import Guard
from webui.studio import Studio


def create(studio: Studio, build_page: Callable[[Studio], gr.Blocks], look: dict[str, Any], hosts: Iterable[str]) -> Guard:
    """The app. `look` is the page's theme, styles and head; `hosts` are the Host headers that are answered."""
    door = FastAPI(openapi_url=None, redirect_slashes=False)
    answer_errors(door)
    # Before the page: "/" takes all that comes after it.
    door.mount("/api", rest(studio))
    door.mount("/pictures", pictures(studio))
    return Guard(mount(door, build_page(studio), look), hosts)


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
