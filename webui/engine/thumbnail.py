"""A model's own picture, small. What lies in the folder was made by strangers: it is decoded here and encoded anew, never passed on."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

from webui.engine.catalogue import Model
from webui.engine.tensors import regular
from webui.errors import ModelError, NotFound

SIDE = 384
"""Longest side, in pixels."""

LARGEST = 64_000_000
"""Pixels of a picture that is decoded."""


def thumbnail(model: Model) -> bytes:
    """A JPEG of the picture that lies beside a model.

    Raises:
        NotFound: there is none, it is no picture, or a link that leads out of the folder.
    """
    file = model.path.parent / model.thumbnail
    try:
        regular(file)
        if not model.thumbnail or file.resolve().parent != model.path.parent.resolve():
            raise NotFound("There is no such picture.")
        with Image.open(file, formats=("PNG", "JPEG", "WEBP")) as picture:
            if picture.width * picture.height > LARGEST:
                raise NotFound("There is no such picture.")
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))
            picture.thumbnail((SIDE, SIDE))
            stream = io.BytesIO()
            picture.convert("RGB").save(stream, "JPEG", quality=85)
    except (ModelError, OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError):
        raise NotFound("There is no such picture.") from None
    return stream.getvalue()
