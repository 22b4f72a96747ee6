"""What a worker is, and what it and the studio say to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from webui.engine.need import Need
from webui.events import Event
from webui.request import Resolved


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class Up(_Message):
    """The engine is ready. `slots` jobs may advance in it at once, and it keeps `models` models in memory."""

    kind: Literal["up"] = "up"
    device: str
    slots: int
    models: int
    chip: str = ""
    """What the device's maker calls it."""

    @property
    def place(self) -> str:
        """Where pictures are computed, as a person says it."""
        known = {"cpu": "the CPU", "mps": "the Apple GPU"}
        return f"the {self.chip} ({self.device})" if self.chip else known.get(self.device, self.device)


class Down(_Message):
    """The engine's process is gone, and with it every job it had. It is started again unless `final`."""

    kind: Literal["down"] = "down"
    reason: str
    """What happened to it, as part of a sentence; if it is `final`, a sentence that says what to do."""
    final: bool = False


class Holds(_Message):
    """What the engine has in memory has changed: its models by name, and how each lies there, and why, in sentences."""

    kind: Literal["holds"] = "holds"
    models: dict[str, str]
    loading: str = ""
    """The model that is being loaded; nothing else is done meanwhile."""


class Settled(_Message):
    """A model that was to be loaded or let go by hand has been, or the sentence says why not."""

    kind: Literal["settled"] = "settled"
    model: str
    trouble: str = ""


class Weighed(_Message):
    """What these models would need of the memory; there is nothing for one that cannot be used."""

    kind: Literal["weighed"] = "weighed"
    models: tuple[str, ...]
    needs: dict[str, Need]


class Told(_Message):
    """Something happened to a job."""

    kind: Literal["told"] = "told"
    job: str
    event: Event


class Submit(_Message):
    """Take this job in at the next step."""

    kind: Literal["submit"] = "submit"
    job: str
    request: Resolved


class Cancel(_Message):
    """Throw this job out at its next step."""

    kind: Literal["cancel"] = "cancel"
    job: str


class Load(_Message):
    """Load this model, as the turn of a picture would; answered by `Settled`."""

    kind: Literal["load"] = "load"
    model: str


class Unload(_Message):
    """Let this model go, unless pictures are being made with it; answered by `Settled`."""

    kind: Literal["unload"] = "unload"
    model: str


class Weigh(_Message):
    """Say what these models would need of the memory; answered by `Weighed`. Nothing is loaded for it."""

    kind: Literal["weigh"] = "weigh"
    models: tuple[str, ...]


Report = Annotated[Up | Down | Holds | Settled | Weighed | Told, Field(discriminator="kind")]
Command = Annotated[Submit | Cancel | Load | Unload | Weigh, Field(discriminator="kind")]

REPORT: TypeAdapter[Report] = TypeAdapter(Report)
COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class Worker(Protocol):
    """Where an engine runs. It reports from a thread of its own; what is said to it never blocks for long."""

    def start(self, tell: Callable[[Report], None]) -> None:
        """Start the engine; `tell` hears `Up`, then what happens to the jobs."""

    def submit(self, job: str, request: Resolved) -> None:
        """Hand a job in. Lost, with a `Down`, if the engine dies."""

    def cancel(self, job: str) -> None:
        """End a job at its next step; its log then says `Cancelled`."""

    def load(self, model: str) -> None:
        """Load a model before anybody asks for a picture of it."""

    def unload(self, model: str) -> None:
        """Let a model go that nobody uses."""

    def weigh(self, models: Sequence[str]) -> None:
        """Ask what these models would need of the memory."""

    def close(self) -> None:
        """End the engine at once."""
