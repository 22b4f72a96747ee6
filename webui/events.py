"""What happens to a job, in order. A job's log of these is all that page, REST and command line ever see of it.

Plain frozen data; they cross the boundary to the engine's process as JSON, bytes as base64.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


class Queued(_Event):
    """The job is in the journal and waits for its turn."""

    kind: Literal["queued"] = "queued"


class Waiting(_Event):
    """The job cannot go on yet, and why: the engine is starting, a model is loading, there is no disk space."""

    kind: Literal["waiting"] = "waiting"
    reason: str
    download: bool = False
    """The picture is made and cannot be saved; it can be had from memory."""


class Started(_Event):
    """The job entered the step loop."""

    kind: Literal["started"] = "started"
    steps: int


class Step(_Event):
    """Step `i` of `n` is done. `preview` is a JPEG of the clean estimate x0 (never the noisy latents), or `None` with previews off."""

    kind: Literal["step"] = "step"
    i: int
    n: int
    preview: bytes | None = Field(None, repr=False)
    seconds: float
    """Since `Started`."""


class Rendered(_Event):
    """The engine's picture, on its way to the store: `width * height * 3` bytes of RGB. Never part of a job's log."""

    kind: Literal["rendered"] = "rendered"
    width: int
    height: int
    rgb: bytes = Field(repr=False)
    seconds: float
    """Since `Started`."""
    dtype: str = ""
    """Type of the numbers that it was computed in, such as float32: another one gives a slightly different picture."""
    lender: str = ""
    """The folder that the parts of its model came from which the model's file does not hold."""

    @property
    def how(self) -> dict[str, str]:
        """How it was made beyond its request, for its recipe."""
        return {name: value for name, value in (("dtype", self.dtype), ("lender", self.lender)) if value}


class Finished(_Event):
    """The picture is on disk. `picture` is its path below `outputs/`, with forward slashes."""

    kind: Literal["finished"] = "finished"
    picture: str
    seconds: float


class Failed(_Event):
    """The job ended without a picture; `message` is a sentence for the person."""

    kind: Literal["failed"] = "failed"
    message: str


class Cancelled(_Event):
    """Somebody who may stop the job did."""

    kind: Literal["cancelled"] = "cancelled"


class Interrupted(_Event):
    """The engine died under the job; it is queued again and starts from its first step."""

    kind: Literal["interrupted"] = "interrupted"
    reason: str


Event = Annotated[Queued | Waiting | Started | Step | Rendered | Finished | Failed | Cancelled | Interrupted, Field(discriminator="kind")]

ENDS = (Finished, Failed, Cancelled)
"""After one of these nothing follows in a job's log."""

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads any event: `EVENT.validate_json(text)`."""
