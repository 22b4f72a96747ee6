"""`webui models`, with torch and gradio out of reach."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.fake import write_few_steps, write_model
from tests.test_cli import webui
from webui.cli.main import main
from webui.downloads.downloads import Downloads
from webui.errors import DownloadError


def test_models_lists_what_can_be_used_and_why_the_rest_cannot(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "fake")
    (tmp_path / "models" / "old.ckpt").write_bytes(b"PK\x03\x04")
    told = json.loads(webui("models", "--json", cwd=tmp_path).stdout)
    assert set(told) == {"models"}
    assert all(set(model) == {"name", "family", "path", "bytes", "usable", "reason"} for model in told["models"])
    by_name = {model["name"]: model for model in told["models"]}
    assert set(by_name) == {"fake", "old.ckpt", "storybook"}
    assert by_name["fake"]["usable"] and by_name["fake"]["family"] == "Stable Diffusion 1.x" and by_name["fake"]["reason"] == ""
    assert by_name["storybook"]["bytes"] > 10**7 and by_name["storybook"]["usable"]
    assert not by_name["old.ckpt"]["usable"] and "pickle" in by_name["old.ckpt"]["reason"] and by_name["old.ckpt"]["bytes"] == 4
    text = webui("models", cwd=tmp_path).stdout
    assert "fake  Stable Diffusion 1.x" in text and "pickle" in text


def test_the_default_is_chosen_used_and_given_up_with_a_sentence(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "fake")
    write_few_steps(tmp_path / "models" / "swift")
    ended = webui("models", "--default", "swift", "--json", cwd=tmp_path)
    assert ended.returncode == 0 and ended.stderr == "Few steps is the default model from now on.\n"
    assert json.loads(ended.stdout) == {"default": "swift"}
    assert "swift  FLUX.2 klein  0.1 MB  default\n" in webui("models", cwd=tmp_path).stdout
    for command in ("generate", "compare"):
        # Refused before anything runs, for what only this model's family does not take.
        ended = webui(command, "a", "--negative", "fog", cwd=tmp_path)
        assert ended.returncode == 2 and "FLUX.2 klein models take no negative prompt" in ended.stderr, ended.stderr
    ended = webui("models", "--default", "swiff", cwd=tmp_path)
    assert ended.returncode == 2 and "Did you mean: swift" in ended.stderr
    shutil.rmtree(tmp_path / "models" / "swift")
    lost = "The default model, swift, is not in the models' folder any more. Storybook is used instead, until you set another default.\n"
    assert webui("models", cwd=tmp_path).stderr == lost
    ended = webui("generate", "a", "--width", "1000", "--sampler", "Elephant", cwd=tmp_path)
    assert ended.returncode == 2 and ended.stderr.startswith(lost)


def test_a_model_that_cannot_be_used_is_refused_with_its_reason_and_one_that_is_not_there_with_its_neighbours(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "fake")
    (tmp_path / "models" / "old.ckpt").write_bytes(b"PK\x03\x04")
    for name, words in (("old.ckpt", "pickle"), ("fakr", "Did you mean: fake")):
        ended = webui("generate", "a", "--model", name, cwd=tmp_path)
        assert ended.returncode == 2 and words in ended.stderr and len(ended.stderr.strip().splitlines()) == 1


def test_a_name_that_is_not_utf_8_is_shown_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    try:
        Path(os.fsdecode(os.fsencode(tmp_path / "models") + b"/gr\xfcn.safetensors")).write_bytes(b"no model")
    except OSError:
        pytest.skip("names are UTF-8 on this drive")
    ended = webui("models", "--json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    paths = [Path(model["path"]).name for model in json.loads(ended.stdout)["models"]]
    assert "gr\ufffdn.safetensors" in paths


def test_the_folder_may_stand_before_add_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folders: list[Path] = []

    def looked(self: Downloads, source: str) -> None:
        folders.append(self._folder)
        raise DownloadError("Far enough.")

    monkeypatch.setattr(Downloads, "look", looked)
    for arguments in (
        ["--models", "big", "add", "a/b"],
        ["add", "a/b", "--models", "big"],
        ["--models", "x", "add", "a/b", "--models", "big"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(["models", *arguments])
        assert ended.value.code == 2 and capsys.readouterr().err == "Far enough.\n"
    assert [folder.name for folder in folders] == ["big"] * 3
