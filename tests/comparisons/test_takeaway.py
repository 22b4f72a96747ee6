"""What can be taken away: files that open, show what they should, and carry the recipe."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.comparisons.test_comparisons import comparison, finished
from tests.fake import FakeWorker, frame, write_model
from webui.comparisons import takeaway
from webui.comparisons.comparisons import Compared
from webui.comparisons.contact import NARROWEST, Sheet
from webui.comparisons.lettering import font_for, wrapped
from webui.errors import NotFound, NotYet, UserError
from webui.people import OWNER
from webui.settings import Settings
from webui.store import metadata
from webui.store.provenance import XMP
from webui.store.store import Store
from webui.studio import Studio

GRID = comparison(("steps", (2, 4, 8)), ("sampler", ("Euler", "Euler a")), schedule="Karras", width=128, height=64, seed=7)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One studio for all of these."""
    folder = tmp_path_factory.mktemp("takeaway")
    write_model(folder / "models" / "fake")
    studio = Studio(Settings(models=folder / "models", outputs=folder / "outputs"), FakeWorker(pace=0))
    studio.start()
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def grid(studio: Studio) -> Compared:
    """Two rows, the second of which cannot be run."""
    compared = studio.comparisons.begin(GRID, OWNER)
    for job in compared.jobs:
        job.wait(60)
    return compared


@pytest.fixture(scope="module")
def store(studio: Studio) -> Store:
    return studio.comparisons.store


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def test_the_sheet_shows_each_picture_in_its_place_and_a_sentence_where_there_is_none(grid: Compared, store: Store) -> None:
    sheet = opened(takeaway.sheet(grid, store)).convert("RGB")
    blue = frame(1, 1).getpixel((0, 0))
    plan = Sheet(grid.comparison, 128, 64)
    assert sheet.size == plan.size and plan.tile == (128, 64)
    for cell in grid.comparison.cells():
        left, top = plan._corner(cell.row, cell.column)
        middle = sheet.crop((left, top, left + 128, top + 64)).getcolors(10_000)
        assert middle is not None
        assert (middle == [(128 * 64, blue)]) == (cell.row == 0)
    # Heads: something is written above each column and left of each row.
    for column in range(3):
        left, top = plan._corner(0, column)
        assert len(set(sheet.crop((left, top - 20, left + 128, top - 2)).get_flattened_data())) > 1
    for row in range(2):
        _, top = plan._corner(row, 0)
        assert len(set(sheet.crop((0, top, plan._left - 8, top + 20)).get_flattened_data())) > 1


def test_the_recipe_and_the_mark_of_origin_are_inside_the_sheet(grid: Compared, store: Store) -> None:
    content = takeaway.sheet(grid, store)
    record = metadata.comparison(io.BytesIO(content))
    assert record.comparison == grid.comparison and record.id == grid.entry.id
    assert [cell.picture for cell in record.cells][:3] == [job.last.picture for job in grid.jobs[:3]]  # type: ignore[union-attr]
    assert record.cells[3].error and "Karras" in record.cells[3].error
    assert opened(content).info["XML:com.adobe.xmp"] == XMP
    with pytest.raises(UserError, match="holds no settings"):
        metadata.recipe(io.BytesIO(content))
    with pytest.raises(UserError, match="no contact sheet"):
        metadata.comparison(io.BytesIO(takeaway.six_frames(grid, 0, store)))


@pytest.mark.parametrize(("cell", "pictures"), [(0, 2), (1, 4), (2, 6)])
def test_the_strip_goes_from_the_first_step_to_the_picture(grid: Compared, store: Store, cell: int, pictures: int) -> None:
    strip = opened(takeaway.six_frames(grid, cell, store)).convert("RGB")
    width = 128 + 8
    assert strip.size == (2 * 16 + pictures * width - 8, 2 * 16 + 64 + 18)
    reds = [strip.getpixel((16 + k * width + 64, 16 + 32))[0] for k in range(pictures)]  # type: ignore[index]
    assert reds == sorted(reds, reverse=True) and len(set(reds)) == pictures and reds[-1] == 0


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_a_cells_animation_shows_each_step_and_ends_with_the_picture(grid: Compared, store: Store, kind: str) -> None:
    film = opened(takeaway.animation(grid, 2, kind, store))  # type: ignore[arg-type]
    assert film.format == kind.upper() and film.size == (128, 64) and film.info["loop"] == 0
    reds = []
    for k in range(film.n_frames):  # type: ignore[attr-defined]
        film.seek(k)
        reds.append(film.convert("RGB").getpixel((64, 32))[0])  # type: ignore[index]
    assert len(reds) in (8, 9)  # a GIF leaves the last frame out where it looks like the picture
    assert reds == sorted(reds, reverse=True) and reds[0] > 200 > 20 > reds[-1]
    assert film.info["duration"] >= 2000


@pytest.mark.parametrize(("share", "reds"), [(False, (0, 100)), (True, (100, 256))])
def test_the_sheets_animation_moves_all_cells_by_step_or_by_share(grid: Compared, store: Store, share: bool, reds: tuple[int, int]) -> None:
    film = opened(takeaway.animation(grid, None, "webp", store, share=share))
    assert film.n_frames == 8  # type: ignore[attr-defined]
    film.seek(1)
    left, top = Sheet(GRID, 128, 64, below=True)._corner(0, 0)
    second = film.convert("RGB").getpixel((left + 64, top + 32))
    # After two steps of two the first cell is done; by share it is at its first step until half of the run is over.
    assert reds[0] <= second[0] < reds[1]  # type: ignore[index]


def test_the_map_is_of_the_two_cells_that_were_named(grid: Compared, store: Store) -> None:
    same = opened(takeaway.difference_map(grid, 0, 1, store))
    assert same.size == (128, 64) and same.convert("RGB").getextrema() == ((0, 0),) * 3
    assert "Difference of cells 0 and 1" in same.info["Description"]


def test_cells_that_are_not_there_or_have_no_picture_are_sentences(grid: Compared, store: Store) -> None:
    for cell in (-1, 6, 10**9):
        with pytest.raises(NotFound, match="no such cell"):
            takeaway.six_frames(grid, cell, store)
        with pytest.raises(NotFound, match="no such cell"):
            takeaway.difference_map(grid, 0, cell, store)
    with pytest.raises(NotFound, match=r"no picture\. Euler a does not work"):
        takeaway.animation(grid, 3, "gif", store)


def test_what_is_still_running_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "fake")
    studio = Studio(Settings(models=tmp_path / "models", outputs=tmp_path / "outputs"), FakeWorker(pace=0.01))
    studio.start()
    compared = studio.comparisons.begin(comparison(("steps", (1, 150))), OWNER)
    compared.jobs[0].wait(60)
    assert opened(takeaway.sheet(compared, studio.comparisons.store)).width > 2 * NARROWEST
    with pytest.raises(NotYet):
        takeaway.six_frames(compared, 1, studio.comparisons.store)
    for cell in (1, None):
        with pytest.raises(NotYet):
            takeaway.animation(compared, cell, "webp", studio.comparisons.store)
    studio.close()


def test_lost_frames_and_damaged_pictures_spoil_no_sheet(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "fake")
    settings = Settings(models=tmp_path / "models", outputs=tmp_path / "outputs")
    studio = Studio(settings, FakeWorker(pace=0))
    studio.start()
    pictures = finished(studio.comparisons.begin(comparison(("steps", (2, 4, 8))), OWNER))
    studio.close()
    (settings.outputs / pictures[0]).write_bytes(b"no picture at all")
    (settings.outputs / pictures[1].replace(".png", ".steps.jpg")).write_bytes(b"no sheet")
    again = Studio(settings, FakeWorker(pace=0))
    again.start()
    compared = again.comparisons.get(again.comparisons.of(OWNER)[0][0].id, OWNER)
    store = again.comparisons.store
    assert opened(takeaway.sheet(compared, store))
    assert opened(takeaway.animation(compared, None, "webp", store)).n_frames == 8  # type: ignore[attr-defined]
    assert opened(takeaway.animation(compared, 1, "webp", store)).n_frames == 1  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="damaged"):
        takeaway.six_frames(compared, 0, store)
    again.close()


def test_a_large_grid_of_large_pictures_stays_within_bounds() -> None:
    large = comparison(("seed", tuple(range(8))), ("guidance", tuple(float(k) for k in range(1, 9))))
    width, height = Sheet(large, 2048, 2048).size
    assert width * height < 2**25
    for width, height in ((1024, 256), (256, 1024)):
        row = comparison(("seed", tuple(range(64))))
        assert max(Sheet(row, width, height, below=True).size) <= 16383, "the most that WebP takes"
    column = comparison(("steps", (4,)), ("guidance", tuple(1 + k / 8 for k in range(64))))
    assert max(Sheet(column, 256, 1024, below=True).size) <= 16383


@pytest.mark.parametrize("text", ["", "word", "a b c " * 50, "W" * 300, "赤い帆船" * 40, "naïve Übergröße\n\ntab\there", "🙂" * 30])
def test_words_are_wrapped_within_their_width(text: str) -> None:
    for width in (20, 112, 400):
        lines = wrapped(text, width, 3)
        assert len(lines) <= 3 and all(font_for(text).getlength(line) <= width for line in lines if len(line) > 4)
