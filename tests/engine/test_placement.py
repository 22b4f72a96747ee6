"""How a model lies in memory: what is decided, what is said of it, and that the picture stays the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from diffusers.hooks.group_offloading import _is_group_offload_enabled

from tests.engine.conftest import pixels, request
from tests.families import PIPES, write_family
from tests.tiny import write_pipeline
from webui.engine import memory, placement
from webui.engine.catalogue import Model
from webui.engine.engine import Engine
from webui.engine.placement import Placement, decide, decode, tile
from webui.errors import ModelError
from webui.events import Event
from webui.request import Defaults, Request
from webui.settings import Wishes

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
FULL, HALF = torch.float32, torch.bfloat16
GB = 10**9


def model(billions: float, size: int = 512, family: str = "Stable Diffusion XL") -> Model:
    shares = {"transformer": 0.55, "text_encoder": 0.4, "vae": 0.05} if family == "Chroma" else {"unet": 0.8, "text_encoder": 0.2}
    parameters = {part: round(share * billions * GB) for part, share in shares.items()}
    return Model(name="m", path=Path("m"), title="m", family=family, parameters=parameters, defaults=Defaults(width=size, height=size))


CHROMA = model(17, 1024, "Chroma")


@pytest.mark.parametrize(
    ("one", "device", "room", "wishes", "expected"),
    [
        (model(1), CPU, 20, {}, (FULL, False, False)),
        (model(1), CPU, 5, {}, (HALF, False, False)),
        (model(12), CPU, 100, {}, (FULL, False, False)),
        (model(1, 2048), CPU, 10, {}, (FULL, True, False)),
        (model(1, 2048), CPU, 5, {}, (HALF, True, False)),
        (model(1), CUDA, 20, {}, (FULL, False, False)),
        (model(1), CUDA, 3, {}, (HALF, False, False)),
        (model(12), CUDA, 80, {}, (HALF, False, False)),
        (CHROMA, CUDA, 80, {}, (HALF, False, False)),
        (CHROMA, CUDA, 42, {}, (HALF, True, False)),
        (CHROMA, CUDA, 12, {}, (HALF, False, True)),
        (CHROMA, CUDA, 6.5, {}, (HALF, True, True)),
        (CHROMA, CUDA, 80, {"offload": "group"}, (HALF, False, True)),
        (CHROMA, CUDA, 80, {"offload": "group", "tiling": "on", "dtype": "float32"}, (FULL, True, True)),
        (CHROMA, CUDA, 42, {"tiling": "off"}, (HALF, False, True)),
        (model(1), CPU, 20, {"dtype": "bfloat16", "tiling": "on"}, (HALF, True, False)),
        (model(1), CPU, 20, {"offload": "group"}, (FULL, False, False)),
    ],
)
def test_how_it_lies_follows_from_size_device_room_and_wishes(
    one: Model, device: torch.device, room: float, wishes: dict[str, Any], expected: tuple[torch.dtype, bool, bool]
) -> None:
    found = decide(one, device, round(room * GB), 128 * GB, Wishes(**wishes))
    assert found[:3] == expected
    assert memory.needed(one, found.dtype, device, tiled=found.tiled, streamed=found.streamed) <= room * GB


@pytest.mark.parametrize(
    ("one", "device", "room", "wishes", "why"),
    [
        (model(1), CPU, 20, {}, "float32: it needs about 6.8 GB, and 20.0 GB were free."),
        (
            model(1),
            CPU,
            5,
            {},
            "bfloat16, half of float32, which would need about 6.8 GB: it needs about 3.4 GB, and 5.0 GB were free.",
        ),
        (
            CHROMA,
            CUDA,
            6.5,
            {},
            "bfloat16, as is usual for models of its size: it needs about 6.3 GB, and 6.5 GB were free. "
            "Large pictures are decoded in tiles, since a whole one would not fit beside the model. "
            "The layers of its large parts lie in main memory until they are needed, which is slower, "
            "since all of it at once would need about 42.4 GB.",
        ),
        (
            model(1),
            CPU,
            20,
            {"dtype": "float32", "tiling": "on", "offload": "group"},
            "float32, as it was asked for: it needs about 6.8 GB, and 20.0 GB were free. Large pictures are decoded in tiles, as it was "
            "asked for. Its layers stay where they are, although it was asked otherwise: fetching them one by one is for CUDA.",
        ),
    ],
)
def test_why_is_said_in_sentences(one: Model, device: torch.device, room: float, wishes: dict[str, Any], why: str) -> None:
    assert decide(one, device, round(room * GB), 64 * GB, Wishes(**wishes)).why == why


def test_more_memory_would_change_nothing_where_the_first_choice_fits() -> None:
    for room, wishes, best in ((20, {}, True), (5, {}, False), (5, {"dtype": "bfloat16"}, True), (20, {"tiling": "on"}, True)):
        assert decide(model(1), CPU, room * GB, 64 * GB, Wishes.model_validate(wishes)).best == best


@pytest.mark.parametrize(
    ("one", "device", "room", "host", "wishes", "sentence"),
    [
        (model(12), CPU, 10, 10, {}, r"cannot be loaded: it needs about 36\.4 GB of memory, and 10\.0 GB are free\. Close "),
        (model(1), CPU, 5, 5, {"dtype": "float32"}, r"loaded as it was asked for \(--dtype float32\): it needs about 6\.8 GB"),
        (CHROMA, CUDA, 12, 20, {}, r"needs about 32\.3 GB of main memory, and 20\.0 GB are free\. Close"),
    ],
)
def test_what_does_not_fit_at_all_is_a_sentence_with_numbers(
    one: Model, device: torch.device, room: float, host: float, wishes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence) as refused:
        decide(one, device, round(room * GB), round(host * GB), Wishes(**wishes))
    assert refused.value.field == "model"


def picture(engine: Engine, **fields: Any) -> Any:
    log: list[Event] = []
    given = {"prompt": "a boat", "seed": 1, "steps": 3, "width": 64, "height": 64} | fields
    engine.submit("a", Request.parse(given).resolve(engine._models["m"].defaults, "m"), log.append)
    while engine.step():
        pass
    return pixels(log)


@pytest.mark.parametrize("family", PIPES)
def test_with_layers_fetched_one_by_one_the_picture_is_the_same(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From main memory to main memory: the same hooks as on CUDA, but for the stream."""
    write_family(tmp_path / "m", family)
    plain = picture(Engine([tmp_path], "cpu", "fast"))
    monkeypatch.setattr(placement, "decide", lambda *_: Placement(FULL, False, True, True, "asked"))
    engine = Engine([tmp_path], "cpu", "fast")
    assert np.array_equal(picture(engine), plain)
    pipe = engine._loader.get(engine._models["m"]).pipe
    streamed = {name for name, part in pipe.components.items() if isinstance(part, torch.nn.Module) and _is_group_offload_enabled(part)}
    assert streamed == set(memory.large_parts(engine._models["m"])) and engine.placements == {"m": "asked"}


@pytest.mark.parametrize("kl", [False, True])
def test_a_picture_that_does_not_fit_whole_is_decoded_in_tiles_and_only_that_one(
    kl: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pipeline(tmp_path / "m", kl=kl)
    engine = Engine([tmp_path], "cpu", "off")
    whole, small = picture(engine, width=256), picture(engine)
    monkeypatch.setattr(placement, "TILE", 64)
    vae = engine._loader.get(engine._models["m"]).pipe.vae
    forward, sizes = vae.decoder.forward, []

    def limited(latents: torch.Tensor, *rest: Any) -> Any:
        sizes.append(latents.shape[-1])
        if latents.shape[-1] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(latents, *rest)

    monkeypatch.setattr(vae.decoder, "forward", limited)
    tiled = picture(engine, width=256)
    assert sizes[0] == 32 and len(sizes) > 4 and max(sizes[1:]) <= 8
    assert tiled.shape == whole.shape and np.corrcoef(tiled.ravel(), whole.ravel())[0, 1] > 0.8
    sizes.clear()
    assert np.array_equal(picture(engine), small) and sizes == [8]
    # What would not fit is not even tried: on a CPU the process would be killed for it.
    sizes.clear()
    monkeypatch.setattr(placement, "free", lambda device: 64 * 64 * memory.PER_PIXEL * 4)
    assert np.array_equal(picture(engine, width=256), tiled) and max(sizes) <= 8


def test_what_fails_otherwise_is_not_tried_again() -> None:
    vae: Any = AutoencoderTiny(decoder_block_out_channels=(8, 8, 8, 8), encoder_block_out_channels=(8, 8, 8, 8))
    with pytest.raises(RuntimeError, match="channels"):
        decode(vae, torch.zeros(1, 7, 8, 8))
    assert not vae.use_tiling
    tile(torch.nn.Identity())


def test_a_denoiser_that_runs_out_of_memory_alone_is_relieved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pipeline(tmp_path / "m")
    plain = picture(Engine([tmp_path], "cpu", "off"))
    engine = Engine([tmp_path], "cpu", "off")
    loaded = engine._loader.get(engine._models["m"])
    forward, tried = loaded.pipe.unet.forward, []

    def limited(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        tried.append(loaded.placement.streamed)
        if not loaded.placement.streamed:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(loaded.pipe.unet, "forward", limited)
    log: list[Event] = []
    engine.submit("a", request().model_copy(update={"model": "m"}), log.append)
    while engine.step():
        pass
    assert tried == [False] and "Lower its width" in str(log[-1]), "on a CPU there is nothing to be gained"
    # As if it were a graphics card.
    monkeypatch.setattr(engine._loader, "_device", CUDA)
    monkeypatch.setattr(placement, "stream", lambda part, device: None)
    assert np.array_equal(picture(engine), plain)
    assert tried == [False, False, True, True, True]
    assert engine.placements["m"].endswith("which is slower, since a picture ran out of memory.")
