"""Rows 24 to 45 of the project's table of bad input: what people leave in the models folder.

Most rows are held by the tests of the module that meets them; this says which, and holds what needs a whole engine.

    24-28, 30-33, 35, 41, 43, 45    test_tensors.py, WRONG and below it
    25, 36, 37                      test_single.py, WRONG; test_engine.py (numbers that are no numbers); test_loras.py
    29, 38-42                       test_safety.py, EVIL and below it
    44                              test_catalogue.py
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from tests.engine.conftest import request
from tests.engine.test_tensors import Evil, aged
from tests.families import write_family
from tests.single import write_checkpoint
from tests.tiny import write_pipeline
from webui.engine.catalogue import find, usable
from webui.engine.engine import Engine
from webui.engine.shelf import scan
from webui.engine.tensors import header
from webui.errors import ModelError
from webui.events import Event, Failed


def refused(models: Path, name: str) -> str:
    """What a job is told that asks for this model."""
    engine = Engine([models], "cpu", "off")
    log: list[Event] = []
    engine.preload(name)
    engine.submit("a", request().model_copy(update={"model": name}), log.append)
    while engine.step():
        pass
    assert isinstance(log[-1], Failed)
    return log[-1].message


@pytest.mark.parametrize("name", ["evil.ckpt", "evil.pt", "evil.pth", "evil.bin", "evil.safetensors", "folder"])
def test_no_pickle_runs_however_it_is_called_and_whoever_asks_for_it(tmp_path: Path, name: str) -> None:
    """Rows 33 and 34, through everything that looks at a model."""
    models, trace = tmp_path / "models", tmp_path / "ran"
    models.mkdir()
    if name == "folder":
        weights = write_pipeline(models / name) / "unet" / "diffusion_pytorch_model.safetensors"
        weights.unlink()
        torch.save({"conv_in.weight": Evil(trace)}, weights.with_suffix(".bin"))
    elif name == "evil.pt":
        torch.save({"a": Evil(trace)}, models / name)
    else:
        (models / name).write_bytes(pickle.dumps(Evil(trace)))
    found = scan([models])
    assert not usable(found) and "is a pickle, which can run code" in found[name].reason
    assert "is a pickle" in refused(models, name)
    assert not trace.exists()


def test_whole_numbers_where_weights_are_expected(tmp_path: Path) -> None:
    """Row 29, in a single file."""
    pipe: Any = diffusers.DiffusionPipeline.from_pretrained(write_family(tmp_path / "folder", "Stable Diffusion 1.x", wide=True))
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        for parameter in part.parameters():
            parameter.requires_grad_(False)
            parameter.data = parameter.data.to(torch.int8)
    (tmp_path / "models").mkdir()
    write_checkpoint(tmp_path / "models" / "a.safetensors", pipe)
    assert scan([tmp_path / "models"])["a.safetensors"].reason == "Its weights are of a type that this version does not compute with."


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_weights_that_are_no_numbers_end_in_a_sentence(tmp_path: Path, number: str) -> None:
    """Row 36, for both kinds, in the autoencoder: the last thing that could make a black picture."""
    folder = write_pipeline(tmp_path / "broken")
    pipe: Any = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.vae.decoder.layers[-1].bias.data.fill_(float(number))
    pipe.vae.save_pretrained(folder / "vae")
    assert "invalid numbers" in refused(tmp_path, "broken")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_out_of_the_folder_are_followed_and_loops_end(tmp_path: Path) -> None:
    """Row 42: what its owner has linked is a model; a folder that holds itself is no endless tree."""
    write_pipeline(tmp_path / "elsewhere" / "tiny")
    models = tmp_path / "models"
    models.mkdir()
    (models / "linked").symlink_to(tmp_path / "elsewhere" / "tiny")
    (models / "loop").symlink_to(models)
    (models / "itself").symlink_to(models / "itself")
    found = scan([models])
    assert found["linked"].usable and find(found, "linked").path == models / "linked"
    assert len(found) <= 3, "a loop ends where the search does"


def test_a_file_that_may_not_be_read_says_so_whoever_runs_the_studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 43, also where the tests are run by root, who may read everything."""
    file = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(2)}, file)
    aged(file)

    usual = Path.open

    def closed(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == file:
            raise PermissionError(13, "Permission denied", str(self))
        return usual(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(ModelError, match=r"^a\.safetensors may not be read: no permission\.$"):
        header(file)
    assert "no permission" in scan([tmp_path])["a.safetensors"].reason
