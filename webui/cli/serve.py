"""`webui`: the page."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from webui import __version__
from webui.cli.options import Compile, Device, Dtype, Models, Offload, Outputs, Quantize, Tiling, check_place, setting, settings_of
from webui.cli.running import running
from webui.cli.shared import asked, invite, network, protect
from webui.people import OWNER
from webui.server.serve import hosts, listen
from webui.server.serve import serve as serve_app
from webui.settings import Settings


def serve(
    context: typer.Context,
    port: Annotated[int | None, setting("port", "--port")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page in a browser.")] = False,
    lan: Annotated[bool | None, setting("lan", "--lan")] = None,
    lan_address: Annotated[str | None, setting("lan_address", "--lan-address")] = None,
    password: Annotated[str | None, setting("password", "--password")] = None,
    ask_password: Annotated[bool, typer.Option("--ask-password", help="Ask for that password here, unseen.")] = False,
    tls_self_signed: Annotated[bool | None, setting("tls_self_signed", "--tls-self-signed")] = None,
    tls_cert: Annotated[Path | None, setting("tls_cert", "--tls-cert")] = None,
    tls_key: Annotated[Path | None, setting("tls_key", "--tls-key")] = None,
    owner_link: Annotated[bool | None, setting("owner_link", "--owner-link")] = None,
    models: Models = None,
    outputs: Outputs = None,
    device: Device = None,
    dtype: Dtype = None,
    offload: Offload = None,
    tiling: Tiling = None,
    quantize: Quantize = None,
    compile: Compile = None,
    waiting_per_guest: Annotated[int | None, setting("waiting_per_guest", "--waiting-per-guest")] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Stepwise: a browser studio for text-to-image diffusion. Without a command, it opens the studio's page."""
    check_place(context)
    if context.invoked_subcommand is not None:
        return
    if version:
        typer.echo(__version__)
        return
    settings = settings_of(**{name: value for name, value in locals().items() if name in Settings.model_fields})
    secret = asked() if ask_password else None
    listener = listen(settings.port)
    wide = network(settings)
    # Gradio's own choice is one folder for all accounts of the machine: the first to come owns it, and no other's studio can write there.
    uploads = tempfile.TemporaryDirectory(prefix="stepwise-", ignore_cleanup_errors=True)
    with listener, uploads as folder, running(settings, preload=True) as studio:
        protect(studio, settings, secret)
        # Only now, with the engine's process already on its way: gradio alone takes seconds to import.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
        from webui.panels.page import build, look
        from webui.server.app import create

        def ready(url: str) -> None:
            secured = settings.lan or settings.owner_link
            typer.echo(f"{url}?key={studio.access.owner_key}" if secured else url)
            if wide.open:
                invite(studio, wide)
            if not no_browser:
                # Whoever lists this machine's processes sees what a browser is told to open: a secret that is used up by then.
                webbrowser.open(f"{url}?key={studio.access.hand_over(OWNER)}" if secured else url)

        serve_app(create(studio, build, look(), hosts(settings.port), wide), listener, ready, studio.release, wide, shared=settings.lan)
