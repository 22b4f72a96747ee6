"""A worker without torch: emits coloured frames at a pace that the test chooses. For tests of jobs, server and page."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from webui.engine.need import Need
from webui.events import Cancelled, Event, Failed, Rendered, Started, Step, Waiting
from webui.people import Person
from webui.request import Resolved
from webui.workers.worker import Down, Holds, Report, Settled, Told, Up, Weighed

ANN = Person(id="ann", name="Ann", colour="teal", role="maker")
BOB = Person(id="bob", name="Bob", colour="rose", role="maker")

CARD = """{"title": "Fake", "summary": "Coloured squares.", "licence": "Apache-2.0", "width": 256, "height": 256, "steps": 6,
"guidance": 4.0, "sampler": "DPM++ 2M", "schedule": "Automatic", "ideas": ["a red sailboat on a calm sea at sunset",
"a blue house in the snow"],
"vocabulary": {"subjects": ["sailboat", "house"], "colours": ["red", "blue"]}}"""


def frame(i: int, n: int, size: int = 64) -> Image.Image:
    """Step `i` of `n`: red that turns to blue."""
    return Image.new("RGB", (size, size), (255 - 255 * i // n, 60, 255 * i // n))


def jpeg(picture: Image.Image) -> bytes:
    """The picture as JPEG bytes."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def write_model(folder: Path) -> Path:
    """A model folder that the catalogue accepts; it has no weights, since nothing loads it."""
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1"}')
    (folder / "card.json").write_text(CARD)
    return _with_words(folder)


def _with_words(folder: Path) -> Path:
    """What the tokens of a prompt are counted with: every word is one."""
    (folder / "text_encoder").mkdir()
    (folder / "text_encoder" / "config.json").write_text('{"max_position_embeddings": 12}')
    (folder / "tokenizer").mkdir()
    words = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.save(str(folder / "tokenizer" / "tokenizer.json"))
    return folder


def write_few_steps(folder: Path) -> Path:
    """A model folder of a family without guidance and negative prompt, whose sizes are multiples of 16."""
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text('{"_class_name": "Flux2KleinPipeline", "is_distilled": true}')
    (folder / "card.json").write_text('{"title": "Few steps", "width": 256, "height": 256, "steps": 4, "ideas": ["a yellow cat"]}')
    return _with_words(folder)


def write_loras(folder: Path, width: int, *names: str) -> None:
    """LoRAs for models whose text is this wide: one layer, of zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    for name in names:
        down, up = np.zeros((2, width), np.float32), np.zeros((8, 2), np.float32)
        save_file({f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up}, folder / f"{name}.safetensors")


def write_vaes(folder: Path, channels: int, *names: str) -> None:
    """VAEs for latents of so many channels: one layer, of zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        save_file({"decoder.conv_in.weight": np.zeros((8, channels, 3, 3), np.float32)}, folder / f"{name}.safetensors")


def give_vae(folder: Path) -> None:
    """Let the model in a folder say what its latents are."""
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"vae": ["diffusers", "AutoencoderKL"]}))
    write_vaes(folder / "vae", 4, "diffusion_pytorch_model")
    (folder / "vae" / "config.json").write_text('{"_class_name": "AutoencoderKL", "latent_channels": 4}')


class FakeWorker:
    """One thread per job. `pace` seconds pass between steps; a prompt with "fail" fails, one with "die" takes the engine down, one with
    "compile" waits between its start and its first step. After it went down its model is to be loaded before a job starts."""

    def __init__(self, pace: float = 0.02, *, slots: int = 8, models: int = 2, ready: bool = True) -> None:
        self.pace = pace
        self.submitted: list[Resolved] = []
        self.held: dict[str, str] = {}
        self.trouble = ""
        """Why no model can be loaded."""
        self.needs = {"fake": Need(fits=True, words="Needs about 2.0 GB as float32; 9.0 GB are free.")}
        self.weighed: list[tuple[str, ...]] = []
        self.loading = threading.Event()
        """Until it is set again, a model that is being loaded takes its time."""
        self.loading.set()
        self._slots = slots
        self._models = models
        self._ready = ready
        self._died = False
        self._tell: Callable[[Report], None] = lambda report: None
        self._cancelled: dict[str, threading.Event] = {}

    def start(self, tell: Callable[[Report], None]) -> None:
        self._tell = tell
        if self._ready:
            self.come_up()

    def come_up(self) -> None:
        """Say that the engine is ready."""
        self.held = {}
        self._tell(Up(device="cpu", slots=self._slots, models=self._models))

    def hold(self, models: dict[str, str]) -> None:
        """Say which models are in memory, and how."""
        self.held = models
        self._tell(Holds(models=models))

    def go_down(self, reason: str = "it was killed", *, final: bool = False) -> None:
        """Say that the engine died, with all its jobs."""
        for flag in self._cancelled.values():
            flag.set()
        self._cancelled.clear()
        self._died = True
        self._tell(Down(reason=reason, final=final))

    def submit(self, job: str, request: Resolved) -> None:
        self.submitted.append(request)
        flag = self._cancelled[job] = threading.Event()
        threading.Thread(target=self._run, args=(job, request, flag), daemon=True).start()

    def cancel(self, job: str) -> None:
        if flag := self._cancelled.pop(job, None):
            flag.set()
            self._say(job, Cancelled())

    def load(self, model: str) -> None:
        threading.Thread(target=self._load, args=(model,), daemon=True).start()

    def _load(self, model: str) -> None:
        self._tell(Holds(models=self.held, loading=model))
        self.loading.wait(30)
        self._tell(Settled(model=model, trouble=self.trouble))
        self.hold(self.held if self.trouble else self.held | {model: "float32: it needs about 2.0 GB, and 9.0 GB were free."})

    def unload(self, model: str) -> None:
        if not self.trouble:
            self.hold({name: how for name, how in self.held.items() if name != model})
        self._tell(Settled(model=model, trouble=self.trouble))

    def weigh(self, models: Sequence[str]) -> None:
        self.weighed.append(tuple(models))
        self._tell(Weighed(models=tuple(models), needs={name: need for name, need in self.needs.items() if name in models}))

    def close(self) -> None:
        for flag in self._cancelled.values():
            flag.set()

    def _say(self, job: str, event: Event) -> None:
        self._tell(Told(job=job, event=event))

    def _run(self, job: str, request: Resolved, cancelled: threading.Event) -> None:
        if self._died:
            self._say(job, Waiting(reason="The model Fake is being loaded."))
        self._say(job, Started(steps=request.steps))
        if "compile" in request.prompt:
            self._say(job, Waiting(reason="Compiling the model, once."))
            if cancelled.wait(20 * self.pace):
                return
        for i in range(1, request.steps + 1):
            if cancelled.wait(self.pace):
                return
            if "die" in request.prompt and i == 2:
                self.go_down()
                return
            self._say(job, Step(i=i, n=request.steps, preview=jpeg(frame(i, request.steps)), seconds=i * self.pace))
        if "fail" in request.prompt:
            self._say(job, Failed(message="The fake engine was asked to fail."))
            return
        picture = frame(1, 1, request.width).resize((request.width, request.height))
        self._say(
            job,
            Rendered(width=request.width, height=request.height, rgb=picture.tobytes(), seconds=request.steps * self.pace, dtype="float32"),
        )
