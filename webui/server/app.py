"""The whole server as one ASGI app: the guard, then REST, then the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.types import ASGIApp

from webui import __version__
from webui.server.api import answer_errors, routes
from webui.server.guard import Guard
from webui.studio import Studio


def create(studio: Studio, build_page: Callable[[Studio], gr.Blocks], look: dict[str, Any], hosts: Iterable[str]) -> ASGIApp:
    """The app. `look` is the page's theme, styles and head; `hosts` are the Host headers that are answered."""
    api = FastAPI(title="Stepwise", version=__version__, docs_url="/api/docs", redoc_url=None, openapi_url="/api/openapi.json")
    answer_errors(api)
    api.include_router(routes(studio))  # before the mount: "/" takes all that comes after it
    return Guard(mount(api, build_page(studio), look), hosts)


def mount(api: FastAPI, page: gr.Blocks, look: dict[str, Any]) -> FastAPI:
    """Put a Gradio page at "/"."""
    page.queue(default_concurrency_limit=None)
    mounted: FastAPI = gr.mount_gradio_app(
        api,
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
    return mounted
