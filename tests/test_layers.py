"""Imports point one way. The rule stands in `webui/__init__.py`; this reads it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import webui

PACKAGE = Path(webui.__file__).parent


def levels() -> dict[str, int]:
    """Each module's level, 0 for the outermost."""
    line = "".join(line for line in (webui.__doc__ or "").splitlines() if ">" in line)
    return {name.strip(): depth for depth, part in enumerate(line.split(">")) for name in part.split(",")}


def part_of(dotted: str) -> str | None:
    """`webui.engine.loop` -> `engine`; `None` for everything that is not ours."""
    names = dotted.split(".")
    return names[1] if names[0] == "webui" and len(names) > 1 else None


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that the source names, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports hide the level; write the whole name"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "webui")


def breaches(own: str, source: str) -> list[str]:
    """Imports in `source`, a file of level `own`, that point left or sideways."""
    level = levels()
    parts = {part for name in imported(ast.parse(source)) if (part := part_of(name)) in level}
    return sorted(part for part in parts if part != own and level[part] <= level[own])


FILES = sorted(
    file for file in PACKAGE.rglob("*.py") if (file.stem not in ("__main__",) and file.parent != PACKAGE) or file.stem in levels()
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_right(file: Path) -> None:
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert breaches(own, file.read_text()) == []


def test_every_file_has_a_level() -> None:
    known = {*levels(), "__init__", "__main__"}
    parts = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert parts <= known, f"name their level in webui/__init__.py: {parts - known}"


@pytest.mark.parametrize(
    ("own", "source", "breach"),
    [
        ("engine", "from webui.studio import Studio", "studio"),
        ("engine", "def f():\n    import webui.store.store", "store"),
        ("errors", "from webui import cli", "cli"),
    ],
)
def test_a_breach_is_seen(own: str, source: str, breach: str) -> None:
    assert breaches(own, source) == [breach]


ONLY_IN = {"gradio": ("panels", "server"), "torch": ("engine",), "diffusers": ("engine",), "transformers": ("engine",)}


@pytest.mark.parametrize("library", ONLY_IN)
def test_heavy_libraries_stay_in_their_level(library: str) -> None:
    users = {
        file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for file in FILES
        if any(name.split(".")[0] == library for name in imported(ast.parse(file.read_text())))
    }
    assert users <= set(ONLY_IN[library])


def run(code: str) -> None:
    """Run code in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=PACKAGE.parent)


def test_the_front_runs_without_torch() -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(('torch', 'diffusers', 'transformers', 'gradio'))); "
    run(f"{blocked} import webui.cli.main, webui.studio, webui.server.guard")


def test_the_engine_runs_without_the_page() -> None:
    run("import sys; sys.modules['gradio'] = None; import webui.engine.engine")


def test_the_page_does_not_load_torch() -> None:
    run("import sys, webui.panels.page, webui.server.app; assert 'torch' not in sys.modules")
