"""Files that hold a denoiser alone: recognised, completed from a folder of the family, the same pictures as plain diffusers makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from tests.denoisers import write_denoiser
from tests.engine.conftest import events_of
from tests.engine.test_families import asked, plain, spied
from tests.families import open_plainly, write_family
from webui.engine.engine import Engine
from webui.engine.families import FAMILIES
from webui.engine.shelf import scan
from webui.events import Step

DENOISERS = [name for name, family in FAMILIES.items() if family.denoiser]


@pytest.fixture(scope="module", params=DENOISERS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def models(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the denoiser of one folder; a second folder with another denoiser; beside them, where nothing looks, the first one."""
    home = tmp_path_factory.mktemp("lent")
    whole = write_family(home / "whole", family)
    (home / "models").mkdir()
    write_denoiser(home / "models" / "file.safetensors", open_plainly(whole).transformer, prefix="model.diffusion_model.")
    return home


@pytest.fixture(scope="module")
def lender(models: Path) -> Path:
    """The folder that lends, which has another denoiser."""
    import shutil

    shutil.copytree(models / "whole", models / "models" / "folder")
    for file in (models / "models" / "folder" / "transformer").glob("*.safetensors"):
        file.unlink()
    return models / "models" / "folder"


def test_alone_it_says_what_it_needs(models: Path, family: str) -> None:
    found = scan([models / "models"])["file.safetensors"]
    assert found.family == family and not found.usable and found.fetch
    assert found.fetch in found.reason and "licence" in found.reason and " GB" in found.reason


def test_with_a_folder_of_its_family_it_equals_plain_diffusers(models: Path, lender: Path, family: str) -> None:
    model = scan([models / "models"])["file.safetensors"]
    assert model.usable and model.family == family and model.lender == "folder", model.reason
    engine = Engine([models / "models"], "cpu", "fast")
    one = asked(model)
    decoded: list[Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        spied(patch, engine._loader.get(model).pipe.vae, "decode", lambda _, out: decoded.append(out[0]))
        (log,) = events_of(engine, one)
    expected = plain(models / "whole", model, one)
    assert (decoded[0].reshape(3, one.height, one.width) - expected).abs().max() <= 1e-4
    assert [event.i for event in log if isinstance(event, Step) and event.preview] == [1, 2, 3, 4]
