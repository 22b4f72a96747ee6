"""Step frames on one sheet: as many come out as went in, in order, hardly changed."""

from __future__ import annotations

import io

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw, ImageStat

from tests.fake import jpeg
from webui.errors import UserError
from webui.store.sheet import FRAMES, PIXELS, SIDE, Grid, join, split


def picture(k: int, width: int, height: int) -> Image.Image:
    """A frame that differs from its neighbours: a ramp and a disc that wanders, on a colour of its own."""
    image = Image.new("RGB", (width, height), (k * 37 % 256, k * 91 % 256, 255 - k * 53 % 256))
    draw = ImageDraw.Draw(image)
    for x in range(0, width, 4):
        draw.line((x, height // 2, x, height), fill=(x * 255 // width, 128, 255 - x * 255 // width), width=4)
    draw.ellipse((k % width, 0, k % width + width // 3, height // 3), fill=(255, 220, 0))
    return image


def difference(one: bytes, other: bytes) -> float:
    """Root mean square difference of two image files, in levels of 255."""
    with Image.open(io.BytesIO(one)) as a, Image.open(io.BytesIO(other)) as b:
        assert a.size == b.size
        return max(ImageStat.Stat(ImageChops.difference(a.convert("RGB"), b.convert("RGB"))).rms)


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])  # shrinking thousands of frames takes a minute
@given(st.integers(1, FRAMES), st.integers(16, 72), st.integers(16, 72))
@example(150, 64, 64)
@example(1, 65, 33)
@example(149, 71, 17)
def test_what_goes_in_comes_out(count: int, width: int, height: int) -> None:
    frames = [jpeg(picture(k, width, height)) for k in range(count)]
    back = split(join(frames))
    assert len(back) == count
    assert max(difference(one, other) for one, other in zip(frames, back, strict=True)) < 8


def test_frames_do_not_run_into_each_other() -> None:
    # The neighbours of a grey frame change from black to white; a pixel beside them stays as it is.
    def middle(shade: int) -> bytes:
        neighbour, grey = (jpeg(Image.new("RGB", (60, 60), (level,) * 3)) for level in (shade, 128))
        return split(join([neighbour] * 4 + [grey] + [neighbour] * 4))[4]

    assert middle(0) == middle(255)


def test_frames_of_another_size_or_kind_take_the_first_ones_size() -> None:
    odd = [
        jpeg(picture(1, 64, 48)),
        jpeg(picture(2, 32, 32)),
        jpeg(picture(3, 100, 100).convert("L")),
        jpeg(picture(4, 64, 48).convert("CMYK")),
    ]
    for frame in split(join(odd)):
        with Image.open(io.BytesIO(frame)) as image:
            assert (image.size, image.mode) == ((64, 48), "RGB")


@given(st.integers(1, FRAMES), st.integers(1, 2048), st.integers(1, 2048))
@example(150, 2048, 2048)
@example(150, 2048, 1)
@example(150, 1, 2048)
def test_every_grid_fits_a_jpeg_and_holds_every_frame(count: int, width: int, height: int) -> None:
    grid = Grid.of(count, width, height)
    assert max(grid.size) <= SIDE and grid.size[0] * grid.size[1] <= 2 * PIXELS
    assert len({grid.corner(k) for k in range(count)}) == count
    assert all(grid.corner(k)[0] + grid.width <= grid.size[0] and grid.corner(k)[1] + grid.height <= grid.size[1] for k in range(count))


def test_frames_too_many_for_a_sheet_shrink_and_none_is_dropped() -> None:
    frames = split(join([jpeg(picture(1, 1024, 1024))] * 40))
    assert len(frames) == 40
    with Image.open(io.BytesIO(frames[39])) as image:
        assert 880 < image.width == image.height < 1024


def damaged(**more: bytes) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG", **more)
    return stream.getvalue()


BAD = {
    "nothing": b"",
    "text": b"no picture",
    "no comment": damaged(),
    "other comment": damaged(comment=b"made with love"),
    "grid of another sheet": damaged(comment=b'{"count": 150, "columns": 13, "width": 64, "height": 64}'),
    "columns none": damaged(comment=b'{"count": 1, "columns": 0, "width": 64, "height": 64}'),
    "a billion frames": damaged(comment=b'{"count": 1000000000, "columns": 1, "width": 64, "height": 64}'),
    "cut": join([jpeg(picture(1, 64, 64))] * 9)[:-300],
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_sheet_is_answered_with_a_sentence(name: str) -> None:
    with pytest.raises(UserError, match="damaged"):
        split(BAD[name])
