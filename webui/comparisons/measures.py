"""Distances between two pictures of one size, by scikit-image and numpy, which are imported on first use: the page must be up at once."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image

from webui.errors import UserError

FULL = 64
"""Difference of a value, of 255, that is drawn in the brightest colour. Fixed, so that two maps can be held against each other."""

GLOW = ((0, 0, 0), (74, 16, 110), (190, 55, 80), (250, 140, 30), (255, 255, 200))
"""From no difference to `FULL`: dark to bright in even steps, for all kinds of colour vision."""


TILES = 8
"""Tiles across and down in which the worst part of a picture is looked for: small enough to show it where a boat has vanished."""


class Distance(NamedTuple):
    """How far two pictures are apart."""

    ssim: float
    """Structural similarity (Wang et al. 2004), mean over pixels and colours: 1 for equal pictures, around 0 for strangers."""
    mae: float
    """Mean absolute difference of all values, 0 to 1."""
    worst: float
    """Structural similarity of the tile, of `TILES` x `TILES`, that is least alike."""


def distance(picture: Image.Image, other: Image.Image) -> Distance:
    """The distance between two RGB pictures.

    Raises:
        UserError: they are not of one size.
    """
    import numpy as np
    from skimage.metrics import structural_similarity

    _same_size(picture, other)
    one, two = (np.asarray(each.convert("RGB"), dtype=np.float32) / 255 for each in (picture, other))
    # The constants of the paper: a Gaussian window of sigma 1.5, which scikit-image cuts at 11 pixels, and population statistics.
    paper = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ssim, where = structural_similarity(one, two, channel_axis=-1, full=True, **paper)
    tiles = (tile.mean() for band in np.array_split(where, TILES) for tile in np.array_split(band, TILES, axis=1))
    return Distance(float(ssim), float(np.abs(one - two).mean()), float(min(tiles)))


def _same_size(picture: Image.Image, other: Image.Image) -> None:
    if picture.size != other.size:
        sizes = " and ".join(f"{width} x {height}" for width, height in (picture.size, other.size))
        raise UserError(f"These pictures are {sizes} pixels. Only pictures of one size can be compared.")


def difference(picture: Image.Image, other: Image.Image) -> Image.Image:
    """A map of where two RGB pictures differ: each pixel by the most different of its three values.

    Raises:
        UserError: they are not of one size.
    """
    import numpy as np

    _same_size(picture, other)
    one, two = (np.asarray(each.convert("RGB"), dtype=np.int16) for each in (picture, other))
    apart = np.abs(one - two).max(axis=-1).clip(0, FULL)
    stops = np.linspace(0, FULL, len(GLOW))
    table = np.stack([np.interp(np.arange(FULL + 1), stops, channel) for channel in np.transpose(GLOW)], axis=-1)
    return Image.fromarray(table.round().astype(np.uint8)[apart])
