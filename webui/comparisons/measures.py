"""Distances between two pictures of one size, by scikit-image and numpy, which are imported on first use: the page must be up at once."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image

from webui.errors import UserError

SMALLEST = 11
"""Pixels of a side: the window that structural similarity looks through."""


class Distance(NamedTuple):
    """How far two pictures are apart."""

    ssim: float
    """Structural similarity (Wang et al. 2004), mean over pixels and colours: 1 for equal pictures, around 0 for strangers."""
    mae: float
    """Mean absolute difference of all values, 0 to 1."""


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
    ssim = structural_similarity(one, two, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    return Distance(float(ssim), float(np.abs(one - two).mean()))


def _same_size(picture: Image.Image, other: Image.Image) -> None:
    if picture.size != other.size:
        sizes = " and ".join(f"{width} x {height}" for width, height in (picture.size, other.size))
        raise UserError(f"These pictures are {sizes} pixels. Only pictures of one size can be compared.")
