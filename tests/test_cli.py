"""The command line, as its own process where that matters."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.fake import FakeWorker, give_vae, write_model, write_vaes
from tests.store.test_faults import small_drive
from webui.cli import running
from webui.cli.main import main
from webui.errors import DiskFull
from webui.jobs import keeper
from webui.jobs.job import Job
from webui.jobs.journal import Journal
from webui.request import Resolved
from webui.settings import Settings
from webui.store import metadata
from webui.store.store import Store
from webui.workers.worker import Report

__all__ = ["small_drive"]  # a fixture

ROOT = Path(__file__).parents[1]


def webui(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `webui` with torch and gradio out of reach: what answers here needs neither."""
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
sys.modules.update(dict.fromkeys(("torch", "diffusers", "transformers", "gradio")))
from webui.cli.main import main
from webui.store import metadata
main(sys.argv[1:])
"""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, cwd=cwd)


def test_help_needs_neither_torch_nor_gradio() -> None:
    ended = webui("--help")
    assert ended.returncode == 0 and "--no-browser" in ended.stdout and "generate" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--steps", "0"], "Steps must be a whole number from 1 to 150."),
        (["--steps", "abc"], "Steps must be a whole number from 1 to 150."),
        (["--steps", "1.5"], "Steps must be a whole number from 1 to 150."),
        (["--guidance", "strong"], "Guidance must be a number from 1 to 30."),
        (["--guidance", "nan"], "Guidance must be a number from 1 to 30."),
        (["--seed", "99999999999999999999"], "Seed must be"),
        (["--width", "513"], "try 512"),
        (["--count", "0"], "--count must be a whole number from 1 to 64."),
        (["--count", "four"], "--count must be a whole number from 1 to 64."),
        (["--models", "nofolder"], "There is no folder nofolder. Make it, or name another one with --models."),
        (["--seed", "4294967295", "--count", "2"], "lower seed"),
        (["--sampler", "Elephant"], "Euler a"),
        (["--sampler", "Euler a", "--schedule", "Karras"], "Euler a"),
        (["--model", "nope"], "nope"),
        (["--vae", "nope"], "There is no VAE called 'nope'. Put its .safetensors file into models/vae/"),
        (["--device", "toaster"], "--device cannot be 'toaster'"),
        (["--dtype", "float8"], "--dtype cannot be 'float8'. Type of the models' numbers: auto (what fits), float32 or bfloat16"),
        (["--offload", "disk"], "--offload cannot be 'disk'. Layers in main memory until they are needed"),
        (["--tiling", "yes"], "--tiling cannot be 'yes'. Decode pictures in tiles"),
        (["--compile", "--quantize", "int4"], "--quantize cannot be 'int4'."),
        (["--quantize", "int3"], "--quantize cannot be 'int3'. Weights of large models: none (as they are) or int8"),
        (["-o", "picture.jpg"], ".png"),
        (["-o", "missing/picture.png"], "no folder"),
        (["-o", "."], ". is a folder. -o must name a .png file."),
        (["-o", "/"], "/ is a folder."),
        (["-o", ""], "is a folder."),
        (["-o", f"{'long' * 99}.png"], "The name after -o is too long. Choose a shorter one."),
        (["-o", f"{'x' * 251}.png", "--count", "2"], "The name after -o is too long. Choose a shorter one."),
        (["-o", ".png"], "-o must name a .png file, such as picture.png."),
        (["-o", "folder.png", "--count", "2"], "folder-2.png is a folder. -o must name a .png file."),
        (["--nonsense"], "No such option: --nonsense"),
        (["--nonsense"], ". See webui generate --help."),
        (["more", "words"], "(more words). A prompt of several words goes between quotes. See webui generate --help."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_sentence_status_2_and_nothing_written(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "fake")
    (tmp_path / "folder-2.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    ended = webui("generate", "a red sailboat", "--json", *arguments, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert sentence in ended.stderr and len(ended.stderr.strip().splitlines()) == 1 and "Traceback" not in ended.stderr
    assert ended.stdout == "" and sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the fake model, as the current one, and the fake engine in the real one's place."""
    write_model(tmp_path / "models" / "fake")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "LocalWorker", lambda *_, **__: FakeWorker(pace=0.001))
    return tmp_path


class Unlucky(FakeWorker):
    """Fails at every second picture."""

    def submit(self, job: str, request: Resolved) -> None:
        super().submit(job, request.model_copy(update={"prompt": "fail"}) if request.seed % 2 else request)


class ThreeOnly(FakeWorker):
    """Makes three pictures and never comes to a fourth."""

    def submit(self, job: str, request: Resolved) -> None:
        if len(self.submitted) < 3:
            super().submit(job, request)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["generate", *arguments, "--model", "fake"])
    return int(ended.value.code or 0)


def test_json_is_exactly_one_object_about_pictures_that_exist(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("a red sailboat", "--seed", "7", "--count", "3", "--steps", "2", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"pictures", "seconds"}
    assert [picture["seed"] for picture in told["pictures"]] == [7, 8, 9]
    for picture in told["pictures"]:
        assert set(picture) == {"path", "seed", "width", "height", "steps", "sampler", "schedule", "guidance", "model", "seconds"}
        with Image.open(picture["path"]) as image:
            assert image.size == (picture["width"], picture["height"])


def test_o_names_the_file_and_leaves_nothing_else(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("a red sailboat", "--steps", "2", "-o", "boat.png") == 0
    assert capsys.readouterr().out.strip() == "boat.png"
    assert run("a red sailboat", "--steps", "2", "--count", "2", "-o", "boats.png") == 0
    assert sorted(path.name for path in here.iterdir()) == ["boat.png", "boats-1.png", "boats-2.png", "models"]


def test_a_vae_is_named_in_short_and_kept_whole(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    give_vae(here / "models" / "fake")
    write_vaes(here / "models" / "vae", 4, "anime")
    assert run("a red sailboat", "--steps", "2", "--vae", "anime", "--json") == 0
    (picture,) = json.loads(capsys.readouterr().out)["pictures"]
    assert picture["vae"] == "vae/anime.safetensors"
    with Path(picture["path"]).open("rb") as file:
        assert metadata.recipe(file).vae == "vae/anime.safetensors"
    assert compare("a red sailboat", "--steps", "2,3", "--vae", "anime.safetensors", "--json") == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    for cell in cells:
        with Path(cell["path"]).open("rb") as file:
            assert metadata.recipe(file).vae == "vae/anime.safetensors"


def compare(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments, "--model", "fake"])
    return int(ended.value.code or 0)


def test_compare_prints_exactly_one_object_about_cells_that_exist(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("a red sailboat", "--steps", "2-6/2", "--seed", "7", "-o", "sheet.png", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"cells", "sheet", "curve", "sentence", "seconds"}
    assert [(set(cell), cell["values"], cell["seed"], cell["error"]) for cell in told["cells"]] == [
        ({"path", "seed", "values", "seconds", "error"}, {"steps": count}, 7, None) for count in (2, 4, 6)
    ]
    for cell in told["cells"]:
        with Image.open(cell["path"]) as image:
            assert image.size == (256, 256)
    assert [set(point) for point in told["curve"]] == [{"steps", "ssim", "mae", "worst"}] * 3 and "hardly changes" in told["sentence"]
    assert told["sheet"] == str(here / "sheet.png")
    with (here / "sheet.png").open("rb") as sheet:
        assert [cell.values for cell in metadata.comparison(sheet).cells] == [cell["values"] for cell in told["cells"]]
    assert sorted(path.name for path in here.iterdir()) == ["models", "outputs", "sheet.png"]
    assert len(list(here.glob("outputs/*/*.compare.json"))) == 1


def test_compare_of_step_counts_is_what_happens_when_nothing_else_varies(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("a red sailboat") == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 5 and all(Path(path).is_file() for path in told[:4]) and "hardly changes" in told[4]
    assert compare("a red sailboat", "a blue house", "--steps", "3", "--negative", "ugly", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [cell["values"] for cell in told["cells"]] == [{"prompt": "a red sailboat"}, {"prompt": "a blue house"}]
    assert told["curve"] == [] and told["sentence"] is None and told["sheet"] is None


def test_compare_of_two_settings_has_a_curve_for_each_and_failed_cells_are_status_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("a red sailboat", "--steps", "2,4,8", "--sampler", "Euler,Euler a,Heun", "--schedule", "Karras")
    assert compare(*given, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert [cell["error"] is None for cell in told["cells"]] == [True] * 3 + [False] * 3 + [True] * 3
    assert told["cells"][3]["path"] is None and "Karras" in told["cells"][3]["error"]
    assert [(point["of"], point["steps"]) for point in told["curve"]] == [(name, n) for name in ("Euler", "Heun") for n in (2, 4, 8)]
    assert told["sentence"].startswith("Euler: ") and "Heun: " in told["sentence"]
    assert compare(*given, "-o", "sheet.png") == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == str(here / "sheet.png") and "steps 2, sampler Euler a: Euler a does not work" in said.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--steps", "0"], "Steps must be a whole number from 1 to 150."),
        (["--steps", "-4"], "Steps must be a whole number from 1 to 150."),
        (["--steps", "1000000000"], "Steps must be a whole number from 1 to 150."),
        (["--steps", "abc"], "no range such as 4-40/4"),
        (["--steps", ",".join(map(str, range(1, 501)))], "More than 64 values are too many"),
        (["--steps", ""], "at least one value"),
        (["--steps", "4,4"], "there twice"),
        (["--steps", "8"], "Nothing varies"),
        (["--steps", "1-30", "--seed", "1-3"], "90 cells are too many"),
        (["--steps", "4,8", "--seed", "1,2", "--guidance", "2,3"], "two at most can"),
        (["--sampler", "Euler,Elephant"], "Elephant"),
        (["--sampler", "Euler a", "--schedule", "Karras"], "Euler a"),
        (["--model", "nope,nor this"], "nope"),
        (["--width", "513"], "try 512"),
        (["-o", "sheet.jpg"], ".png"),
        (["-o", "missing/sheet.png"], "no folder"),
        (["-o", "."], ". is a folder. -o must name a .png file."),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_wrong_comparison_is_one_sentence_status_2_and_nothing_written(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "fake")
    before = sorted(tmp_path.rglob("*"))
    ended = webui("compare", "a red sailboat", "--json", *arguments, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert sentence in ended.stderr and len(ended.stderr.strip().splitlines()) == 1 and "Traceback" not in ended.stderr
    assert ended.stdout == "" and sorted(tmp_path.rglob("*")) == before


def test_a_failed_picture_is_a_sentence_and_status_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fail", "--steps", "1", "--json") == 1
    told = capsys.readouterr()
    assert told.out == "" and told.err.strip() == "The fake engine was asked to fail."


class NoCard(FakeWorker):
    """Has no such device."""

    def start(self, tell: Callable[[Report], None]) -> None:
        super().start(tell)
        self.go_down("There is no cuda here. Use --device cpu or auto.", final=True)


def test_a_device_that_is_not_there_is_one_sentence_and_status_2(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LocalWorker", lambda *_, **__: NoCard(ready=False))
    for command in (run, compare):
        assert command("a boat", "--device", "cuda", "-o", "boat.png", "--json") == 2
        assert capsys.readouterr() == ("", "There is no cuda here. Use --device cpu or auto.\n")
    assert not list(here.glob("boat*")) and not list(here.glob(".stepwise-*"))


@pytest.mark.parametrize("output", [(), ("-o", "boat.png")], ids=["outputs", "-o"])
def test_a_picture_that_fails_takes_no_other_with_it(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, output: tuple[str, ...]
) -> None:
    monkeypatch.setattr(running, "LocalWorker", lambda *_, **__: Unlucky(pace=0.001))
    assert run("a boat", "--seed", "1", "--count", "4", "--steps", "1", "--json", *output) == 1
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert set(told) == {"pictures", "errors", "seconds"}
    assert [picture["seed"] for picture in told["pictures"]] == [2, 4]
    sentence = "The fake engine was asked to fail."
    assert told["errors"] == [{"seed": 1, "error": sentence}, {"seed": 3, "error": sentence}]
    assert said.err == f"seed 1: {sentence}\nseed 3: {sentence}\n"
    for picture in told["pictures"]:
        # The place of each is its own, whoever failed before it.
        assert not output or picture["path"] == f"boat-{picture['seed']}.png"
        with Image.open(picture["path"]) as image:
            assert image.size == (256, 256)
    assert not list(here.glob(".stepwise-*"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_what_is_finished(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    def interrupted(jobs: Sequence[Job]) -> None:
        for job in jobs[:3]:
            job.wait(30)
        signal.raise_signal(how)

    monkeypatch.setattr("webui.cli.generate.show_progress", interrupted)
    monkeypatch.setattr(running, "LocalWorker", lambda *_, **__: ThreeOnly(pace=0.001))
    assert run("a boat", "--seed", "7", "--count", "4", "--steps", "1", "-o", "boat.png") == 130
    said = capsys.readouterr()
    assert said.out.splitlines() == ["boat-1.png", "boat-2.png", "boat-3.png"]
    assert said.err == "Stopped with 3 of 4 pictures finished.\n"
    assert sorted(path.name for path in here.glob("boat*")) == said.out.splitlines() and not list(here.glob(".stepwise-*"))
    assert run("a boat", "--seed", "7", "--count", "4", "--steps", "1", "--json") == 130
    told = json.loads(capsys.readouterr().out)
    assert [Path(picture["path"]).is_file() for picture in told["pictures"]] == [True] * 3
    assert told["errors"] == [{"seed": 10, "error": "Not finished."}]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "99999"], "--port cannot be 99999. Port of the page. A whole number from 1 to 65535.\n"),
        (["--port", "abc"], "--port cannot be 'abc'. Port of the page. A whole number from 1 to 65535.\n"),
        (["--waiting-per-guest", "0"], "may wait at once. A whole number from 1 to 1000.\n"),
        (["--password", "short"], "A password has 8 to 200 characters.\n"),
        (["--models", "nofolder"], "There is no folder nofolder."),
        (["--nonsense"], "See webui --help."),
        (["modelz"], "No such command 'modelz'. Did you mean 'models'? See webui --help.\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_page_with_wrong_flags_is_one_sentence_and_nothing_written(
    arguments: list[str], sentence: str, here: Path, capsys: pytest.CaptureFixture[str], free_port: int
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--no-browser", *([] if "--port" in arguments else ["--port", str(free_port)]), *arguments])
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.out == "" and sentence in said.err and said.err.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["models"]


def test_a_short_password_that_is_typed_is_refused_before_anything_is_started(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.cli.shared.typer.prompt", lambda *_, **__: "short")
    with pytest.raises(SystemExit) as ended:
        main(["--no-browser", "--ask-password"])
    assert ended.value.code == 2 and capsys.readouterr() == ("", "A password has 8 to 200 characters.\n")
    assert [path.name for path in here.iterdir()] == ["models"]


def test_ctrl_c_leaves_the_cells_that_are_finished(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(jobs: Sequence[Job]) -> None:
        for job in jobs[:3]:
            job.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr("webui.cli.compare.show_progress", interrupted)
    monkeypatch.setattr(running, "LocalWorker", lambda *_, **__: ThreeOnly(pace=0.001))
    assert compare("a boat", "--steps", "1,2,3,4", "-o", "sheet.png") == 130
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(here / "sheet.png")] and said.err == "Stopped with 3 of 4 pictures finished.\n"
    with Image.open(here / "sheet.png") as image:
        image.load()
    assert compare("a boat", "--steps", "1,2,3,4", "--json") == 130
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell["path"] and Path(cell["path"]).is_file() for cell in cells] == [True] * 3 + [None]
    assert [cell["error"] for cell in cells] == [None] * 3 + ["Not finished."]


def page(tmp_path: Path, outputs: Path, port: int) -> subprocess.CompletedProcess[str]:
    """Try to start the studio's page."""
    write_model(tmp_path / "models" / "fake")
    return webui("--no-browser", "--port", str(port), "--models", str(tmp_path / "models"), "--outputs", str(outputs), cwd=tmp_path)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_that_is_taken_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = page(tmp_path, tmp_path / "outputs", port)
    assert ended.returncode == 2 and ended.stdout == ""
    assert ended.stderr == f"Port {port} is taken, perhaps by a studio that runs already. Choose another with --port.\n"


def test_a_second_studio_on_one_outputs_folder_is_one_sentence_and_status_2(tmp_path: Path, free_port: int) -> None:
    first = Journal(tmp_path / "outputs" / ".stepwise" / "journal.sqlite")
    ended = page(tmp_path, tmp_path / "outputs", free_port)
    first.close()
    assert ended.returncode == 2 and ended.stdout == "" and ended.stderr.count("\n") == 1
    assert ended.stderr.endswith("is in use by another studio. Stop that one, or choose another folder with --outputs.\n")


def test_outputs_that_are_no_folder_or_read_only_are_one_sentence_and_status_2(tmp_path: Path, small_drive: Path, free_port: int) -> None:
    (small_drive / "file").touch()
    (small_drive / "outputs").mkdir()
    ended = page(tmp_path, small_drive / "file", free_port)
    assert ended.returncode == 2 and "is not a folder" in ended.stderr and ended.stderr.count("\n") == 1
    subprocess.run(["mount", "-o", "remount,ro", str(small_drive)], check=True)
    shutil.rmtree(tmp_path / "models")
    ended = page(tmp_path, small_drive / "outputs", free_port)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert "is on a read-only drive" in ended.stderr and ended.stderr.endswith("Or choose another folder with --outputs.\n")


def test_a_place_for_o_that_cannot_be_written_is_one_sentence_and_status_2(tmp_path: Path, small_drive: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_drive)], check=True)
    for command in ("generate", "compare"):
        ended = webui(command, "a boat", "-o", str(small_drive / "boat.png"), cwd=tmp_path)
        assert ended.returncode == 2 and ended.stdout == ""
        assert ended.stderr == f"Nothing can be written to {small_drive}: Read-only file system. Choose another folder with -o.\n"


def test_a_full_disk_is_said_once_and_the_command_goes_on_when_there_is_room(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save, refused = Store.save, list[object]()

    def full_at_first(store: Store, *arguments: Any, **named: Any) -> str:
        if len(refused) < 3:
            refused.append(arguments)
            raise DiskFull("The disk is full. Free some space.")
        return save(store, *arguments, **named)

    monkeypatch.setattr(Store, "save", full_at_first)
    monkeypatch.setattr(keeper, "RETRY", 0.3)
    for command, before in ((run, ["--count", "2", "--steps", "1"]), (compare, ["--steps", "1,2"])):
        refused.clear()
        assert command("a boat", *before) == 0
        said = capsys.readouterr()
        assert said.err == f"Waiting for disk space. The disk is full. Free some space. {running.HELD_HERE}\n"
        assert len([line for line in said.out.splitlines() if line.endswith(".png")]) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--outputs", "big", "generate", "a"], "Put --outputs behind generate: webui generate --outputs ..."),
        (["--models", "big", "models", "add", "a/b"], "Put --models behind models: webui models --models ..."),
        (["--port", "80", "compare", "a"], "--port does not go with webui compare. Leave it out."),
        (["--version", "generate", "a"], "--version does not go with webui generate. Leave it out."),
        (["models", "--outputs", "big", "add", "a/b"], "--outputs does not go with webui models add. Leave it out."),
        (["models", "--default", "x", "add", "a/b"], "--default does not go with webui models add. Leave it out."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_flag_before_its_command_is_refused(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and capsys.readouterr() == ("", f"{sentence}\n") and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("variable", "arguments", "sentence"),
    [
        (
            "STEPWISE_THREADS",
            ["models"],
            f"STEPWISE_THREADS cannot be '0'. {Settings.model_fields['threads'].description} A whole number, at least 1.\n",
        ),
        ("STEPWISE_MODELS", ["models"], "There is no folder 0."),
        ("STEPWISE_THREADS", ["--no-browser"], "STEPWISE_THREADS cannot be '0'."),
        ("STEPWISE_DEVICE", ["generate", "a"], "STEPWISE_DEVICE cannot be '0'."),
        ("STEPWISE_DEVICE", ["generate", "a", "--device", "oven"], "--device cannot be 'oven'."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_setting_is_called_what_it_was_given_as(
    variable: str, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "0")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and capsys.readouterr().err.startswith(sentence)


def test_wildcards_and_styles_are_drawn_on_the_command_line_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "wildcards").mkdir()
    (here / "wildcards" / "colour.txt").write_text("red\nblue\ngreen\n")
    (here / "styles.csv").write_text("name,prompt,negative_prompt\nink,ink drawing of {prompt},colour\n")
    assert run("a __colour__ boat", "--style", "ink", "--seed", "1", "--count", "8", "--steps", "1", "--json") == 0
    pictures = json.loads(capsys.readouterr().out)["pictures"]
    prompts = {picture["prompt"] for picture in pictures}
    assert prompts <= {f"ink drawing of a {colour} boat" for colour in ("red", "blue", "green")} and len(prompts) > 1
    with Path(pictures[0]["path"]).open("rb") as png:
        recipe = metadata.recipe(png)
    assert (recipe.prompt, recipe.text, recipe.styles) == ("a __colour__ boat", pictures[0]["prompt"], ("ink",))
    assert run("a __color__ boat") == 2
    assert "Did you mean: colour?" in capsys.readouterr().err
    assert run("a boat", "--style", "inc") == 2
    assert "Did you mean: ink?" in capsys.readouterr().err
