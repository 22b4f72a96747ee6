"""What a denoiser's file lacks: said with its size and licence, fetched when asked for, and then it makes pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.denoisers import write_denoiser
from tests.downloads.hub import Hub, point, serving
from tests.downloads.test_command import add
from tests.families import open_plainly, write_family
from webui.downloads.downloads import Downloads
from webui.engine.loading import Loader
from webui.engine.shelf import scan
from webui.engine.sources import SOURCES


def served(folder: Path) -> dict[str, bytes]:
    """A folder as a repository."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_file_lacks_is_fetched_on_request_and_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, models = write_family(tmp_path / "whole", "FLUX.1 schnell"), tmp_path / "models"
    models.mkdir()
    write_denoiser(models / "file.safetensors", open_plainly(whole).transformer)
    before = scan([models])["file.safetensors"]
    assert before.fetch == f"{SOURCES['FLUX.1 schnell'][0].repository}#parts" and f"webui models add {before.fetch};" in before.reason
    assert "T5 XXL" in before.reason and "about 9.9 GB" in before.reason and "licence Apache-2.0" in before.reason
    hub = Hub()
    with serving(hub) as address:
        point(monkeypatch, address)
        hub.repository(before.fetch.partition("#")[0], served(whole))
        offer = Downloads(models).look(before.fetch)
        assert not any("transformer/diffusion" in file.path for file in offer.files) and offer.licence == "apache-2.0"
        assert not hub.asked or not any("safetensors" in path for path, _ in hub.asked), "only looked at"
        told = add(hub, models, before.fetch)
        assert told.returncode == 2 and "without its denoiser" in told.stderr and "say --yes" in told.stderr
        done = add(hub, models, before.fetch, "--yes")
    assert done.returncode == 0 and done.stdout == "FLUX.1-schnell parts\n", done.stderr
    assert not any("transformer/diffusion" in path for path, _ in hub.asked)
    found = scan([models])
    assert found["file.safetensors"].usable and found["file.safetensors"].lender == "FLUX.1-schnell parts"
    assert found["FLUX.1-schnell parts"].kind == "parts"
    loader = Loader(torch.device("cpu"))
    assert loader.get(found["file.safetensors"]).pipe.transformer is not None
