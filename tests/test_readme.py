"""The README cannot rot: what it names exists, and every file of the package is named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.test_cli import webui

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CODE = re.findall(r"```\w*\n(.*?)```", README, re.DOTALL)
TREE = next(block for block in CODE if "errors.py" in block)


def tree_paths() -> list[str]:
    """Paths that the annotated tree names, folders with a slash at their end."""
    paths: list[str] = []
    folders: list[str] = []
    for line in TREE.splitlines():
        indent, names = re.match(r"( *)(\S+(?: +[\w.]+\.(?:py|css|js)\b)*)", line).groups()  # type: ignore[union-attr]
        folders = folders[: len(indent) // 2]
        for name in names.split():
            paths.append("".join(folders) + name)
        if names.endswith("/"):
            folders.append(names)
    return paths


@pytest.mark.parametrize("path", tree_paths())
def test_every_path_in_the_tree_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("path", sorted({*re.findall(r"\]\(([^)#:]+)\)", README), *re.findall(r"`([\w./-]+/[\w.-]*)`", README)}))
def test_every_path_in_the_text_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_file_of_the_package_is_in_the_tree() -> None:
    files = {str(file.relative_to(ROOT)) for kind in ("py", "css", "js") for file in (ROOT / "webui").rglob(f"*.{kind}")}
    assert files - set(tree_paths()) == {file for file in files if file.endswith("__init__.py")} - set(tree_paths())


def test_every_flag_that_it_shows_exists() -> None:
    known = "".join(webui(*command, "--help").stdout for command in ([], ["generate"], ["compare"], ["models"]))
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - set(re.findall(r"--[a-z-]+", setup_commands()))
    assert shown and not {flag for flag in shown if flag not in known}


def setup_commands() -> str:
    return "\n".join(line for block in CODE for line in block.splitlines() if "venv" in line)


def test_it_opens_with_exactly_two_commands_of_one_line_each() -> None:
    first, second = (block.strip() for block in CODE[:2])
    assert "\n" not in first + second
    assert first.endswith("webui") and second.endswith("python -m pytest")
    assert all("python3 -m venv" in command for command in (first, second))
    assert README.index("![") < README.index(first)


def test_every_dependency_has_its_row() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        name = re.match(r"[\w-]+", requirement)
        assert name and re.search(rf"^\| {name[0]} \|", README, re.MULTILINE | re.IGNORECASE), (
            f"say in the README what {requirement} is for"
        )
