"""The page: its tabs in order, and its look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from webui.panels.compare import compare
from webui.panels.create import create
from webui.panels.models import models
from webui.panels.share import share
from webui.studio import Studio

PANELS: dict[str, Callable[[Studio], None]] = {"Create": create, "Compare": compare, "Models": models, "Share": share}
"""Tab -> what lays it out."""

HERE = Path(__file__).parent

ACCENT = gr.themes.Color(
    name="vermilion",
    c50="#fff4ee", c100="#ffe4d5", c200="#ffc6a8", c300="#ff9f70", c400="#fb7742", c500="#e8591f",
    c600="#c8450f", c700="#a1350d", c800="#7e2c11", c900="#672711", c950="#381107",
)  # fmt: skip
"""The one colour of the page; everything else is grey, since colour is judged beside it."""

UPLOADS = (60, 600)
"""Every so many seconds files that were uploaded more than so many seconds ago are deleted; all of them when the studio ends. A picture
whose settings are read is needed for a moment only, and Gradio keeps what it is given for ever."""

STYLES = ("page.css", "styles.css", "compare.css", "models.css", "share.css")
SCRIPTS = (
    "base.js", "feed.js", "tabs.js", "masthead.js", "queue.js", "keys.js", "loras.js", "form.js", "create.js", "styles.js",
    "compare/state.js", "compare/sheet.js", "compare/lens.js", "compare/time.js", "compare/look.js", "compare/curve.js", "compare/shelf.js",
    "compare/asking.js", "compare/compare.js", "compare/hands.js", "memory.js", "models.js", "adding.js", "share.js", "arrive.js",
)  # fmt: skip
"""In the order in which they are loaded: each uses only what stands before it."""

MASTHEAD = """<header id="masthead"><h1>Stepwise</h1><span id="engine-state" role="status"></span>
<details id="queue" hidden><summary></summary><p role="status"></p><ol></ol></details></header>"""

SYSTEM = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")


def build(studio: Studio) -> gr.Blocks:
    """The whole page over one studio."""
    page = gr.Blocks(title="Stepwise", analytics_enabled=False, fill_width=True, delete_cache=UPLOADS)
    with page:
        gr.HTML(MASTHEAD, padding=False)
        with gr.Tabs(elem_id="tabs"):
            for name, panel in PANELS.items():
                with gr.Tab(name, id=name.lower()):
                    panel(studio)
    return page


def look() -> dict[str, Any]:
    """Theme, styles and script, as `mount_gradio_app` takes them."""
    theme = gr.themes.Base(
        primary_hue=ACCENT,
        neutral_hue=gr.themes.colors.neutral,
        font=SYSTEM,
        font_mono=("ui-monospace", "Menlo", "Consolas", "monospace"),
        text_size="sm",
        spacing_size="sm",
        radius_size="sm",
    )
    # In the head: rules for what is outside of Gradio's own container do not apply when they are given as `css`.
    style = "".join((HERE / "style" / name).read_text() for name in STYLES)
    script = "".join((HERE / "script" / name).read_text() for name in SCRIPTS)
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return {"theme": theme, "head": f"{viewport}<style>{style}</style><script>{script}</script>"}
