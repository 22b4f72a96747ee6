"""`webui`: the page."""

from __future__ import annotations

import os
import webbrowser
from typing import Annotated

import typer

from webui import __version__
from webui.cli.options import Device, Models, Outputs, setting, settings_of
from webui.cli.running import running
from webui.server.serve import hosts, listen
from webui.server.serve import serve as serve_app


def serve(
    context: typer.Context,
    port: Annotated[int | None, setting("port", "--port")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page in a browser.")] = False,
    models: Models = None,
    outputs: Outputs = None,
    device: Device = None,
    waiting_per_guest: Annotated[int | None, setting("waiting_per_guest", "--waiting-per-guest")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Stepwise: a browser studio for text-to-image diffusion. Without a command, it opens the studio's page."""
    if version:
        typer.echo(__version__)
        return
    if context.invoked_subcommand is not None:
        return
    settings = settings_of(port=port, models=models, outputs=outputs, device=device, waiting_per_guest=waiting_per_guest)
    listener = listen(settings.port)
    with listener, running(settings, preload=True) as studio:
        # Only now, with the engine's process already on its way: gradio alone takes seconds to import.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        from webui.panels.page import build, look
        from webui.server.app import create

        def ready(url: str) -> None:
            typer.echo(url)
            if not no_browser:
                webbrowser.open(url)

        serve_app(create(studio, build, look(), hosts(settings.port)), listener, ready, studio.release)
