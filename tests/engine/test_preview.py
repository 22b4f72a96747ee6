"""The latent-to-RGB map: shipped or fitted, and right about what it shows."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from webui.engine.preview import Preview, decode, jpeg


class Decoder:
    """A decoder that is a linear map followed by nearest-neighbour enlargement: a 1x1 map is exactly right for it."""

    config = SimpleNamespace(latent_channels=4, scaling_factor=0.5, shift_factor=None)
    dtype = torch.float32
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.weight = 0.15 * torch.randn(3, 4, 1, 1, generator=torch.Generator().manual_seed(1))

    def decode(self, latents: Tensor, return_dict: bool) -> tuple[Tensor]:
        assert not return_dict
        return (F.interpolate(F.conv2d(latents, self.weight), scale_factor=8),)


def shipped(folder: Path, *, kernel: int = 3, scale: int = 4, channels: int = 4, fill: float | None = None) -> dict[str, Tensor]:
    """Writes a map like the built-in model's; shows the first three channels."""
    weight = torch.zeros(3 * scale**2, channels, kernel, kernel)
    for k in range(3):
        weight[k * scale**2 : (k + 1) * scale**2, k, kernel // 2, kernel // 2] = 1
    if fill is not None:
        weight.fill_(fill)
    numbers = {"weight": weight, "bias": torch.zeros(3 * scale**2)}
    save_file(numbers, folder / "preview.safetensors")
    return numbers


def image(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) / 255.0


def latents(height: int = 8, width: int = 6) -> Tensor:
    """Smooth, so that JPEG keeps them."""
    ramp = torch.linspace(0.1, 0.9, width).expand(height, width)
    return torch.stack([ramp, ramp.flip(1), torch.full_like(ramp, 0.5), ramp])[None]


def test_the_shipped_map_is_applied_at_four_pixels_per_latent(tmp_path: Path) -> None:
    shipped(tmp_path)
    shown = image(Preview(tmp_path, Decoder()).fast(latents()))
    assert shown.shape == (32, 24, 3)
    expected = F.interpolate(latents()[:, :3], scale_factor=4)[0].permute(1, 2, 0).numpy()
    assert np.abs(shown - expected).mean() < 0.03


def test_the_edges_are_as_bright_as_the_middle(tmp_path: Path) -> None:
    numbers = shipped(tmp_path)
    save_file({**numbers, "weight": torch.full_like(numbers["weight"], 1 / 36)}, tmp_path / "preview.safetensors")
    shown = image(Preview(tmp_path, Decoder()).fast(torch.full((1, 4, 8, 8), 0.6)))
    assert np.abs(shown - 0.6).max() < 0.02


def test_a_map_is_fitted_where_none_is_shipped(tmp_path: Path) -> None:
    vae = Decoder()
    z = F.interpolate(torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(7)), size=(16, 16), mode="bicubic")
    shown = image(Preview(tmp_path, vae).fast(z))
    true = F.adaptive_avg_pool2d(decode(vae, z).clamp(0, 1), 16)[0].permute(1, 2, 0).numpy()
    assert shown.shape == (16, 16, 3)
    assert np.abs(shown - true).mean() < 0.05


def test_a_map_is_fitted_once_and_only_when_somebody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Tensor] = []
    vae = Decoder()

    def decode(latents: Tensor, return_dict: bool) -> tuple[Tensor]:
        decoded.append(latents)
        return Decoder.decode(vae, latents, return_dict)

    monkeypatch.setattr(vae, "decode", decode)
    preview = Preview(tmp_path, vae)
    assert not decoded, "whoever wants no preview waits for no map"
    first = preview.fast(latents())
    fitted = len(decoded)
    assert fitted and preview.fast(latents()) == first and len(decoded) == fitted


@pytest.mark.parametrize(
    "wrong", [{"channels": 16}, {"kernel": 2}, {"fill": float("nan")}, "cut", "empty", "other keys"], ids=lambda value: str(value)
)
def test_a_map_that_does_not_fit_is_left_aside(tmp_path: Path, wrong: Any) -> None:
    shipped(tmp_path, **wrong if isinstance(wrong, dict) else {})
    file = tmp_path / "preview.safetensors"
    if wrong == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif wrong == "empty":
        file.write_bytes(b"")
    elif wrong == "other keys":
        save_file({"bias": torch.zeros(48)}, file)
    assert image(Preview(tmp_path, Decoder()).fast(latents())).shape == (8, 6, 3), "one pixel per latent: a fitted map"


def test_fine_previews_are_the_decoders_own(tmp_path: Path) -> None:
    shipped(tmp_path)
    vae = Decoder()
    shown = image(Preview(tmp_path, vae).fine(latents()))
    true = decode(vae, latents())[0].clamp(0, 1).permute(1, 2, 0).numpy()
    assert shown.shape == (64, 48, 3) and np.abs(shown - true).mean() < 0.05


def test_numbers_that_are_no_numbers_make_a_picture_all_the_same(tmp_path: Path) -> None:
    shipped(tmp_path)
    preview = Preview(tmp_path, Decoder())
    for value in (float("nan"), float("inf"), -1e30):
        assert image(preview.fast(torch.full((1, 4, 8, 8), value))).shape == (32, 32, 3)


def test_jpeg_clamps_and_keeps_colours() -> None:
    shown = image(jpeg(torch.tensor([2.0, 0.5, -1.0])[:, None, None].expand(3, 16, 16)))
    assert np.abs(shown - [1, 0.5, 0]).max() < 0.03
