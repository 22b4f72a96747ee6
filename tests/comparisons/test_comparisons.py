"""Comparisons in a studio with a fake engine: begun, extended, stopped, restarted, found again. Once with the real one."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake import ANN, BOB, FakeWorker, write_model
from tests.test_studio import until
from webui.comparison import Axis, Comparison, Field, Value
from webui.comparisons.comparisons import GONE, Compared
from webui.comparisons.curves import curves
from webui.errors import InvalidRequest, ModelError, NotFound, NotYet, StorageError, TooMany, UserError
from webui.events import Cancelled, Failed, Finished
from webui.people import OWNER
from webui.request import Request
from webui.settings import Settings
from webui.store.store import Store
from webui.studio import Studio


def comparison(*axes: tuple[Field, tuple[Value, ...]], **fields: object) -> Comparison:
    request = Request.parse({"prompt": "a red sailboat", "model": "fake"} | fields)
    return Comparison(request=request, axes=tuple(Axis(field=field, values=values) for field, values in axes))


STEPS = comparison(("steps", (2, 4, 8)))


def finished(compared: Compared) -> list[str]:
    """The pictures of a comparison that ends well."""
    for job in compared.jobs:
        assert isinstance(job.wait(60), Finished), job.last
    return [job.last.picture for job in compared.jobs if isinstance(job.last, Finished)]


def records(settings: Settings) -> list[Path]:
    return sorted(settings.outputs.glob("*/*.compare.json"))


def test_cells_share_their_seed_and_everything_that_does_not_vary(studio: Studio) -> None:
    compared = studio.comparisons.begin(comparison(("steps", (2, 4)), ("sampler", ("Euler", "Heun"))), OWNER)
    finished(compared)
    requests = [job.request for job in compared.jobs]
    assert [(one.steps, one.sampler) for one in requests] == [(2, "Euler"), (4, "Euler"), (2, "Heun"), (4, "Heun")]
    assert len({(one.seed, one.prompt, one.guidance, one.width, one.model) for one in requests}) == 1
    assert [job.group for job in compared.jobs] == [compared.entry.id] * 4
    assert studio.group(compared.entry.id) == list(compared.jobs)
    for job in compared.jobs:
        assert isinstance(job.last, Finished) and studio.comparisons.store.recipe(job.last.picture) == job.request


def test_all_cells_run_at_once_and_none_waits_for_those_before_it(settings: Settings) -> None:
    studio = Studio(settings, worker := FakeWorker(pace=0.05))
    studio.start()
    compared = studio.comparisons.begin(comparison(("steps", (8, 9, 10, 11, 12, 13, 14, 15))), OWNER)
    assert len(worker.submitted) == 8
    until(lambda: all(job.frames for job in compared.jobs))
    assert not any(job.done for job in compared.jobs)
    studio.close()


def test_a_comparison_is_no_group_of_the_create_tab(studio: Studio) -> None:
    (job,) = studio.submit([STEPS.request])
    compared = studio.comparisons.begin(STEPS, OWNER)
    assert studio.latest() == [job]
    finished(compared)
    assert studio.latest() == [job]


def test_a_cell_that_cannot_be_run_says_why_and_the_others_finish(studio: Studio, worker: FakeWorker) -> None:
    mixed = comparison(("sampler", ("Euler", "Euler a", "Heun")), schedule="Karras")
    assert "1 of them cannot be run" in studio.comparisons.estimate(mixed, OWNER).sentence
    one, refused, other = studio.comparisons.begin(mixed, OWNER).jobs
    assert isinstance(refused.last, Failed) and "Euler a does not work with the schedule Karras" in refused.last.message
    assert isinstance(one.wait(60), Finished) and isinstance(other.wait(60), Finished)
    assert studio.job(refused.id).last == refused.last
    assert [one.sampler for one in worker.submitted] == ["Euler", "Heun"]


def test_a_cell_that_fails_in_the_engine_says_why_and_the_others_finish(studio: Studio) -> None:
    compared = studio.comparisons.begin(comparison(("prompt", ("a cat", "fail", "a dog"))), OWNER)
    ends = [job.wait(60) for job in compared.jobs]
    assert [type(end) for end in ends] == [Finished, Failed, Finished]


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        (comparison(("sampler", ("Euler", "Elephant"))), InvalidRequest, "There is no sampler called 'Elephant'"),
        (comparison(("schedule", ("Karras", "Fast"))), InvalidRequest, "There is no schedule called 'Fast'"),
        (comparison(("model", ("fake", "fakir"))), ModelError, "Did you mean: fake"),
        (comparison(("steps", (2, 4)), model="none"), ModelError, "There is no model called 'none'"),
        (comparison(("steps", (2, 4)), sampler="Elephant"), InvalidRequest, "There is no sampler called 'Elephant'"),
        (comparison(("steps", (2, 4)), sampler="PLMS"), InvalidRequest, "PLMS needs at least 5 steps"),
        (comparison(("steps", (2, 4)), sampler="Euler a", schedule="Karras"), InvalidRequest, "Euler a does not work"),
    ],
)
def test_what_cannot_be_run_at_all_is_refused_and_nothing_is_taken(
    studio: Studio, worker: FakeWorker, wrong: Comparison, error: type[UserError], sentence: str
) -> None:
    for refuse in (lambda: studio.comparisons.estimate(wrong, OWNER), lambda: studio.comparisons.begin(wrong, OWNER)):
        with pytest.raises(error, match=sentence):
            refuse()
    assert worker.submitted == [] and studio.comparisons.of(OWNER) == []


def test_a_full_line_takes_no_cell_at_all(studio: Studio, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.studio.WAITING_LIMIT", 2)
    with pytest.raises(TooMany):
        studio.comparisons.begin(STEPS, OWNER)
    assert worker.submitted == [] and studio.comparisons.of(OWNER) == []


def test_columns_are_added_without_running_the_others_again(studio: Studio, worker: FakeWorker) -> None:
    first = studio.comparisons.begin(comparison(("steps", (2, 4)), ("seed", (1, 2))), OWNER)
    pictures = finished(first)
    longer = studio.comparisons.extend(first.entry.id, [6, 3], OWNER)
    assert [(job.request.steps, job.request.seed) for job in longer.jobs] == [(n, seed) for seed in (1, 2) for n in (2, 4, 6, 3)]
    assert {longer.jobs[0].id, longer.jobs[1].id, longer.jobs[4].id, longer.jobs[5].id} == {job.id for job in first.jobs}
    assert set(pictures) < set(finished(longer)) and len(worker.submitted) == 8
    assert [entry.id for entry, _ in studio.comparisons.of(OWNER)] == [first.entry.id]
    for wrong in ([4], [0], ["x"]):
        with pytest.raises(InvalidRequest):
            studio.comparisons.extend(first.entry.id, wrong, OWNER)
    assert len(studio.comparisons.get(first.entry.id, OWNER).jobs) == 8 == len(worker.submitted)


def test_an_added_column_starts_from_what_the_first_ones_did(settings: Settings) -> None:
    """Though the model's card proposes something else by then."""
    studio = Studio(settings, FakeWorker(pace=0))
    studio.start()
    compared = studio.comparisons.begin(STEPS, OWNER)
    finished(compared)
    studio.close()
    card = settings.models / "fake" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"guidance": 9.0, "width": 512, "sampler": "Heun"}))
    again = Studio(settings, FakeWorker(pace=0))
    again.start()
    longer = again.comparisons.extend(compared.entry.id, [16], OWNER)
    assert len({(job.request.seed, job.request.guidance, job.request.width, job.request.sampler) for job in longer.jobs}) == 1
    finished(longer)
    again.close()


def test_columns_are_added_though_a_model_has_left_and_its_own_cells_say_so(settings: Settings) -> None:
    for name in ("left", "third"):
        write_model(settings.models / name)
    studio = Studio(settings, FakeWorker(pace=0))
    studio.start()
    across = studio.comparisons.begin(comparison(("model", ("fake", "left"))), OWNER)
    down = studio.comparisons.begin(comparison(("steps", (2, 4)), ("model", ("fake", "left"))), OWNER)
    finished(across)
    finished(down)
    shutil.rmtree(settings.models / "left")
    studio.stock.refresh()
    assert len(finished(studio.comparisons.extend(across.entry.id, ["third"], OWNER))) == 3
    with pytest.raises(ModelError, match="no model called 'gone'"):
        studio.comparisons.extend(across.entry.id, ["gone"], OWNER)
    _, _, added, _, _, refused = studio.comparisons.extend(down.entry.id, [6], OWNER).jobs
    assert isinstance(added.wait(60), Finished) and isinstance(refused.last, Failed) and "no model called 'left'" in refused.last.message
    studio.close()


def test_again_is_a_new_comparison_of_the_same_settings(studio: Studio) -> None:
    first = studio.comparisons.begin(STEPS, OWNER)
    second = studio.comparisons.again(first.entry.id, OWNER)
    assert second.entry.id != first.entry.id
    assert [job.request for job in second.jobs] == [job.request for job in first.jobs]
    assert not {job.id for job in second.jobs} & {job.id for job in first.jobs}
    assert {entry.id for entry, _ in studio.comparisons.of(OWNER)} == {first.entry.id, second.entry.id}


def test_stopping_ends_what_runs_and_keeps_what_is_finished(settings: Settings) -> None:
    studio = Studio(settings, FakeWorker(pace=0.005, slots=2))
    studio.start()
    compared = studio.comparisons.begin(comparison(("steps", (1, 150, 149, 148))), OWNER)
    assert isinstance(compared.jobs[0].wait(60), Finished)
    studio.comparisons.stop(compared.entry.id, OWNER)
    assert [type(job.wait(60)) for job in compared.jobs] == [Finished, Cancelled, Cancelled, Cancelled]
    studio.close()
    cells = json.loads(records(settings)[0].read_text())["cells"]
    assert [cell["error"] for cell in cells] == [None, "Stopped.", "Stopped.", "Stopped."]


def test_somebody_elses_comparison_does_not_exist(studio: Studio) -> None:
    id = studio.comparisons.begin(STEPS, ANN).entry.id
    for ask in (studio.comparisons.get, studio.comparisons.again, studio.comparisons.stop):
        for name in (id, "unknown", ""):
            with pytest.raises(NotFound, match="no such comparison"):
                ask(name, BOB)
    with pytest.raises(NotFound):
        studio.comparisons.extend(id, [16], BOB)
    assert studio.comparisons.of(BOB) == [] and len(studio.comparisons.of(ANN)) == 1
    finished(studio.comparisons.get(id, ANN))


def test_a_restart_in_mid_run_keeps_what_is_finished_and_goes_on_with_the_others(settings: Settings) -> None:
    first = Studio(settings, FakeWorker(pace=0.01, slots=2))
    first.start()
    before = first.comparisons.begin(comparison(("steps", (1, 149, 150)), schedule="Karras", sampler="Euler"), OWNER)
    assert isinstance(before.jobs[0].wait(60), Finished)
    until(lambda: any(job.frames for job in before.jobs[1:]))
    first.close()
    assert records(settings) == []

    second = Studio(settings, worker := FakeWorker(pace=0))
    second.start()
    ((entry, _),) = second.comparisons.of(OWNER)
    after = second.comparisons.get(entry.id, OWNER)
    assert [job.request for job in after.jobs] == [job.request for job in before.jobs]
    assert after.jobs[0].last == before.jobs[0].last
    finished(after)
    assert sorted(one.steps for one in worker.submitted) == [149, 150]
    second.close()
    assert len(records(settings)) == 1


def test_a_comparison_is_one_entry_in_the_outputs(settings: Settings) -> None:
    studio = Studio(settings, FakeWorker(pace=0))
    studio.start()
    compared = studio.comparisons.begin(STEPS, OWNER)
    pictures = finished(compared)
    until(lambda: len(records(settings)) == 1)
    (file,) = records(settings)
    assert file.parent == studio.pictures.file(pictures[0]).parent and "a-red-sailboat" in file.name
    assert [cell["picture"] for cell in json.loads(file.read_text())["cells"]] == pictures
    studio.comparisons.extend(compared.entry.id, [3], OWNER)
    until(lambda: len(json.loads(file.read_text())["cells"]) == 4)
    assert records(settings) == [file] and not list(settings.outputs.glob("**/*.saving"))
    with pytest.raises(NotFound):
        studio.pictures.file(file.relative_to(settings.outputs).as_posix())
    studio.close()


@pytest.fixture
def lost(settings: Settings) -> tuple[Settings, Compared]:
    """A comparison of which only the folder of pictures is left."""
    studio = Studio(settings, FakeWorker(pace=0))
    studio.start()
    axes: tuple[tuple[Field, tuple[Value, ...]], ...] = (("sampler", ("Euler", "Euler a")), ("guidance", (2.0, 7.5)))
    compared = studio.comparisons.begin(comparison(*axes, schedule="Karras", steps=3), OWNER)
    for job in compared.jobs:
        job.wait(60)
    studio.close()
    shutil.rmtree(settings.outputs / ".stepwise")
    return settings, compared


def revived(settings: Settings) -> Iterator[tuple[Studio, list[Compared]]]:
    studio = Studio(settings, FakeWorker(pace=0))
    studio.start()
    yield studio, [studio.comparisons.get(entry.id, OWNER) for entry, _ in studio.comparisons.of(OWNER)]
    studio.close()


def test_it_is_found_again_when_the_journal_is_lost(lost: tuple[Settings, Compared]) -> None:
    settings, before = lost
    for studio, (after,) in revived(settings):
        assert after.entry == before.entry
        assert [job.last for job in after.jobs] == [job.last for job in before.jobs]
        assert [job.request for job in after.jobs] == [job.request for job in before.jobs]
        assert studio.latest() == []
    for studio, (after,) in revived(settings):
        longer = studio.comparisons.extend(after.entry.id, ["Heun"], OWNER)
        assert isinstance(longer.jobs[2].wait(60), Finished)


def test_a_picture_that_is_gone_or_another_one_is_a_cell_that_says_so(lost: tuple[Settings, Compared]) -> None:
    settings, before = lost
    first, third = (settings.outputs / before.jobs[at].last.picture for at in (0, 2))  # type: ignore[union-attr]
    first.unlink()
    shutil.copy(third, first)
    third.unlink()
    for _, (after,) in revived(settings):
        assert after.jobs[0].last == after.jobs[2].last == Failed(message=GONE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "[]",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: text.replace('"values": [', '"values": [true, '),
        lambda text: text.replace('"steps": 3', '"steps": 0'),
        lambda text: text.replace('"id": "', '"id": "../../'),
        lambda text: "\ud800",
    ],
)
def test_a_damaged_entry_is_left_aside_and_the_studio_starts(lost: tuple[Settings, Compared], damage: object) -> None:
    settings, _ = lost
    (file,) = records(settings)
    file.write_text(damage(file.read_text()), errors="surrogatepass")  # type: ignore[operator]
    for studio, found in revived(settings):
        assert found == [] and isinstance(studio.submit([STEPS.request])[0].wait(60), Finished)


def test_an_entry_that_names_files_outside_finds_none_of_them(lost: tuple[Settings, Compared], tmp_path: Path) -> None:
    settings, before = lost
    (file,) = records(settings)
    shutil.copy(settings.outputs / before.jobs[0].last.picture, tmp_path / "outside.png")  # type: ignore[union-attr]
    record = json.loads(file.read_text())
    record["cells"][0]["picture"] = "../outside.png"
    file.write_text(json.dumps(record))
    for _, (after,) in revived(settings):
        assert after.jobs[0].last == Failed(message=GONE) and isinstance(after.jobs[2].last, Finished)


def test_an_entry_that_the_disk_refused_is_written_at_the_next_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("The disk is full.")

    studio = Studio(settings, FakeWorker(pace=0))
    studio.start()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_record", refuse)
        finished(studio.comparisons.begin(STEPS, OWNER))
        studio.close()
    assert records(settings) == []
    for _, (after,) in revived(settings):
        assert after.finished
    assert len(records(settings)) == 1


def test_what_a_person_threw_away_does_not_come_back(settings: Settings) -> None:
    studio = Studio(settings, FakeWorker(pace=0))
    studio.start()
    finished(studio.comparisons.begin(STEPS, OWNER))
    studio.close()
    shutil.rmtree(records(settings)[0].parent)
    for _, (after,) in revived(settings):
        assert after.finished
    assert records(settings) == [] and [path.name for path in settings.outputs.iterdir()] == [".stepwise"]


def test_a_comparison_that_lost_its_cells_does_not_keep_the_studio_from_starting(settings: Settings) -> None:
    studio = Studio(settings, FakeWorker(pace=0))
    studio.start()
    compared = studio.comparisons.begin(STEPS, OWNER)
    finished(compared)
    studio.close()
    records(settings)[0].unlink()
    journal = sqlite3.connect(settings.outputs / ".stepwise" / "journal.sqlite")
    journal.execute("delete from jobs where id = ?", (compared.jobs[0].id,))
    journal.execute("insert into comparisons values ('other', 'owner', '2026-11-25T12:00:00+00:00', '{}')")
    journal.commit()
    journal.close()
    again = Studio(settings, FakeWorker(pace=0))
    again.start()
    for id, words in ((compared.entry.id, "Begin it anew"), ("other", "no such comparison")):
        with pytest.raises(NotFound, match=words):
            again.comparisons.get(id, OWNER)
    finished(again.comparisons.begin(STEPS, OWNER))
    again.close()


def test_an_estimate_is_honest_about_what_it_does_not_know(studio: Studio) -> None:
    before = studio.comparisons.estimate(STEPS, OWNER)
    assert (before.cells, before.steps, before.seconds, before.large) == (3, 14, None, False) and "is known once" in before.sentence
    finished(studio.comparisons.begin(STEPS, OWNER))
    after = studio.comparisons.estimate(STEPS, OWNER)
    assert after.seconds is not None and 0 < after.seconds < 5 and "on this machine" in after.sentence
    many = comparison(("steps", (2, 4)), ("seed", tuple(range(10))))
    assert studio.comparisons.estimate(many, OWNER).large and not studio.comparisons.estimate(STEPS, OWNER).large
    slow = comparison(("steps", (149, 150)), width=2048, height=2048)
    assert studio.comparisons.estimate(slow, OWNER).large


def test_a_curve_waits_for_its_pictures_and_wants_steps(settings: Settings) -> None:
    studio = Studio(settings, FakeWorker(pace=0.005))
    studio.start()
    compared = studio.comparisons.begin(comparison(("steps", (2, 4, 60))), OWNER)
    with pytest.raises(NotYet, match="when all pictures are finished"):
        curves(compared, studio.pictures.file)
    pictures = finished(compared)
    (curve,) = curves(compared, studio.pictures.file)
    assert [(point.steps, point.picture) for point in curve.points] == list(zip((2, 4, 60), pictures, strict=True))
    assert curve.answer.settled == 2 and curve.head == ""
    other = studio.comparisons.begin(comparison(("seed", (1, 2))), OWNER)
    finished(other)
    with pytest.raises(UserError, match="no steps among what varies"):
        curves(other, studio.pictures.file)
    studio.close()


def test_there_is_a_curve_per_row_or_per_column_each_judged_by_its_sampler(studio: Studio) -> None:
    steps, sampler = ("steps", (2, 4, 8)), ("sampler", ("Euler", "Euler a"))
    for axes in ((steps, sampler), (sampler, steps)):
        compared = studio.comparisons.begin(comparison(*axes), OWNER)
        finished(compared)
        euler, ancestral = curves(compared, studio.pictures.file)
        assert (euler.head, ancestral.head) == ("Euler", "Euler a")
        assert [point.steps for point in euler.points] == [2, 4, 8] == [point.steps for point in ancestral.points]
        assert euler.answer.settled == 2 and ancestral.answer.settled is None and "new noise" in ancestral.answer.sentence


def test_a_missing_picture_is_left_out_of_the_curve(studio: Studio) -> None:
    compared = studio.comparisons.begin(STEPS, OWNER)
    pictures = finished(compared)
    studio.pictures.file(pictures[1]).unlink()
    (curve,) = curves(compared, studio.pictures.file)
    assert [point.steps for point in curve.points] == [2, 8] and curve.answer.settled is None


def test_models_are_compared_each_at_its_own_defaults(settings: Settings) -> None:
    other = write_model(settings.models / "other")
    (other / "card.json").write_text(json.dumps(json.loads((other / "card.json").read_text()) | {"width": 128, "steps": 3}))
    studio = Studio(settings, FakeWorker(pace=0))
    studio.start()
    open_request = Comparison(request=Request(prompt="a cat"), axes=(Axis(field="model", values=("fake", "other")),))
    one, two = studio.comparisons.begin(open_request, OWNER).jobs
    assert (one.request.width, one.request.steps, two.request.width, two.request.steps) == (256, 6, 128, 3)
    assert one.request.seed == two.request.seed
    studio.close()
