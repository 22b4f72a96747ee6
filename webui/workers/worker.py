"""What a worker is, and what it and the studio say to each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

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


class Down(_Message):
    """The engine's process is gone, and with it every job it had. It is started again unless `final`."""

    kind: Literal["down"] = "down"
    reason: str
    final: bool = False


class Holds(_Message):
    """What the engine has in memory has changed: its models by name, and how each lies there, and why, in sentences."""

    kind: Literal["holds"] = "holds"
    models: dict[str, str]


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


Report = Annotated[Up | Down | Holds | Told, Field(discriminator="kind")]
Command = Annotated[Submit | Cancel, Field(discriminator="kind")]

REPORT: TypeAdapter[Report] = TypeAdapter(Report)
COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class Worker(Protocol):
    """Where an engine runs. It reports from a thread of its own; `submit` and `cancel` never block for long."""

    def start(self, tell: Callable[[Report], None]) -> None:
        """Start the engine; `tell` hears `Up`, then what happens to the jobs."""

    def submit(self, job: str, request: Resolved) -> None:
        """Hand a job in. Lost, with a `Down`, if the engine dies."""

    def cancel(self, job: str) -> None:
        """End a job at its next step; its log then says `Cancelled`."""

    def close(self) -> None:
        """End the engine at once."""
