"""The request: everything that decides one picture, and nothing else.

Bounds, defaults, units and help text stand here, once: the page's controls, REST, the command line and the metadata take them from
these fields. Plain frozen data; no torch, no gradio, no I/O.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from webui.errors import InvalidRequest

PROMPT_LENGTH = 20_000
"""Longest prompt in characters. A guard against accidents, not a limit of the text encoder: longer than its window is fine."""

SEED_LIMIT = 2**32
"""Seeds are below this: what other studios write, and exact in JavaScript."""

SIZE_MULTIPLE = 8
"""Width and height are multiples of this many pixels: one latent per 8 pixels in every family we know, or fewer."""

STYLE_LENGTH = 200
"""Longest name of a style in characters."""

STYLES = 20
"""Most styles of one request."""

AUTOMATIC = "Automatic"
"""What people and other programs call the model's own."""

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def _text(value: Any) -> Any:
    """Line ends become one newline and invisible control characters go, so that logs and metadata stay readable."""
    return UNSEEN.sub("", value.replace("\r\n", "\n").replace("\r", "\n")) if isinstance(value, str) else value


def _multiple(value: int) -> int:
    if value % SIZE_MULTIPLE:
        near = round(value / SIZE_MULTIPLE) * SIZE_MULTIPLE
        raise ValueError(f"must be a multiple of {SIZE_MULTIPLE}; try {near}")
    return value


def _own(value: Any) -> Any:
    """As A1111 says it: Automatic is the model's own."""
    return None if value in ("", AUTOMATIC) else value


def _listed(value: Any) -> Any:
    """JSON has lists only; a request is frozen."""
    return tuple(value) if isinstance(value, list) else value


def _empty(value: Any) -> bool:
    return value in (None, ())


Text = Annotated[str, BeforeValidator(_text)]
Name = Annotated[str, Field(max_length=255), BeforeValidator(_text)]
# The length stands on the text itself: outside `| None` it makes another kind of error, and half a pair would pass.
Styles = Annotated[tuple[Annotated[str, Field(max_length=STYLE_LENGTH), BeforeValidator(_text)], ...], BeforeValidator(_listed)]
Part = Annotated[Name | None, BeforeValidator(_own)]
Pixels = Annotated[int, Field(ge=64, le=2048), AfterValidator(_multiple)]


class Defaults(BaseModel):
    """What a model proposes where a request leaves something open."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    steps: int = 20
    guidance: float = 7.0
    sampler: str = "DPM++ 2M"
    schedule: str = "Automatic"
    width: int = 512
    height: int = 512


class Request(BaseModel):
    """One picture. `None` means "the model's default" (for the seed: "draw one").

    Strict: `True` is not 1, "20" is not 20, NaN and infinity are refused, unknown keys are refused.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    prompt: Text = Field(
        "", max_length=PROMPT_LENGTH, title="Prompt", description="What the picture shows. (word:1.3) or word++ weighs a word more."
    )
    negative: Text = Field(
        "", max_length=PROMPT_LENGTH, title="Negative prompt", description="What the picture should not show. Has no effect at guidance 1."
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=150,
        title="Steps",
        description="How many times the noise is reduced. More is slower; after some point nothing changes.",
    )
    # Classifier-free guidance scale: Ho & Salimans 2022.
    guidance: float | None = Field(
        None, ge=1, le=30, title="Guidance", description="How strictly the picture follows the prompt. 1 is off."
    )
    seed: int | None = Field(
        None,
        ge=0,
        lt=SEED_LIMIT,
        title="Seed",
        description="Decides the noise that the picture starts from. Same seed and settings, same picture.",
    )
    sampler: str | None = Field(None, max_length=60, title="Sampler", description="The method that walks from noise to picture.")
    schedule: str | None = Field(None, max_length=60, title="Schedule", description="How the noise levels are spread over the steps.")
    width: Pixels | None = Field(None, title="Width", description="In pixels.")
    height: Pixels | None = Field(None, title="Height", description="In pixels.")
    model: Name | None = Field(None, title="Model", description="The model that makes the picture.")
    vae: Part = Field(
        None,
        title="VAE",
        description="The autoencoder that makes the pixels, in place of the model's own: Automatic.",
        exclude_if=_empty,
    )
    styles: Styles = Field(
        (),
        max_length=STYLES,
        title="Styles",
        description="Texts that are kept under a name and put around the prompts, in this order.",
        exclude_if=_empty,
    )

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """A request from untrusted values.

        Raises:
            InvalidRequest: one sentence about the first field that is wrong, saying what is allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidRequest(*_sentence(error)) from None

    @classmethod
    def parse_json(cls, text: str | bytes) -> Self:
        """A request from JSON text, refused as `parse` refuses."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InvalidRequest(*_sentence(error)) from None

    def series(self, count: int) -> list[Self]:
        """`count` requests that differ in their seed alone: seed, seed + 1, ...; a first seed is drawn where there is none.

        Raises:
            InvalidRequest: the last seed would be out of bounds.
        """
        first = random.SystemRandom().randrange(SEED_LIMIT - count) if self.seed is None else self.seed
        if first + count > SEED_LIMIT:
            message = f"{count} pictures from seed {first} would pass the last seed, {SEED_LIMIT - 1}. Choose a lower seed."
            raise InvalidRequest(message, "seed")
        return [self.model_copy(update={"seed": first + k}) for k in range(count)]

    def resolve(self, defaults: Defaults, model: str) -> Resolved:
        """The same request with nothing left to guess; a seed is drawn where there is none."""
        open_fields = {name: value for name, value in defaults.model_dump().items() if getattr(self, name) is None}
        seed = random.SystemRandom().randrange(SEED_LIMIT) if self.seed is None else self.seed
        return Resolved.parse(self.model_dump() | open_fields | {"seed": seed, "model": model})


class Resolved(Request):
    """A request in which every field has its value. This is what is journaled, run and written into the picture.

    The prompts are as they were asked for. Where styles, wildcards, choices or comments make another text of them, that one is what is
    encoded, and it is kept beside them: files of styles and wildcards change.
    """

    steps: int = Field(ge=1, le=150)
    guidance: float = Field(ge=1, le=30)
    seed: int = Field(ge=0, lt=SEED_LIMIT)
    sampler: str = Field(max_length=60)
    schedule: str = Field(max_length=60)
    width: Pixels
    height: Pixels
    model: Name
    drawn: Text | None = Field(None, max_length=PROMPT_LENGTH, exclude_if=_empty)
    drawn_negative: Text | None = Field(None, max_length=PROMPT_LENGTH, exclude_if=_empty)

    @property
    def asked(self) -> dict[str, Any]:
        """The fields of `Request`: what asks for this picture again."""
        return self.model_dump(include=set(Request.model_fields))

    @property
    def text(self) -> str:
        """The prompt that is encoded."""
        return self.prompt if self.drawn is None else self.drawn

    @property
    def negative_text(self) -> str:
        """The negative prompt that is encoded."""
        return self.negative if self.drawn_negative is None else self.drawn_negative


class Bounds(NamedTuple):
    """A number's lowest and highest value."""

    low: float
    high: float


def bounds(field: str) -> Bounds:
    """Lowest and highest value of a numeric field of `Request`, both allowed."""
    low = high = None
    for rule in _rules(Request.model_fields[field]):
        low = rule.ge if hasattr(rule, "ge") else low
        high = rule.le if hasattr(rule, "le") else rule.lt - 1 if hasattr(rule, "lt") else high
    assert low is not None and high is not None, f"{field} has no bounds"
    return Bounds(low, high)


def title(field: str) -> str:
    """A field's name as a person reads it."""
    return Request.model_fields[field].title or field


def help_text(field: str) -> str:
    """A field's help, one or two sentences."""
    return Request.model_fields[field].description or ""


def _rules(info: FieldInfo) -> Iterator[Any]:
    """The constraints of a field, whether they stand on it or inside its annotation."""
    yield from info.metadata
    for part in get_args(info.annotation):
        for rule in get_args(part)[1:]:
            yield from rule.metadata if isinstance(rule, FieldInfo) else (rule,)


def _sentence(error: ValidationError) -> tuple[str, str | None]:
    """The first thing that pydantic found wrong, as a sentence that says what to do, and the field."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = str(first["loc"][0]) if first["loc"] else None
    name, kind = title(field) if field in Request.model_fields else field, first["type"]
    if field is None:
        return 'A request is a JSON object such as {"prompt": "a red sailboat"}.', None
    if kind == "extra_forbidden":
        known = ", ".join(Request.model_fields)
        return f"There is no setting called {field[:60]!r}. The settings are: {known}.", field[:60]
    if kind == "value_error":
        return f"{name} {first['ctx']['error']}.", field
    if kind == "too_long":
        return f"{name} are too many: at most {first['ctx']['max_length']}.", field
    if kind.startswith("tuple"):
        return f'{name} must be a list of names, such as ["sketch"].', field
    if kind == "string_too_long":
        return f"{name} is too long: at most {first['ctx']['max_length']} characters.", field
    if kind == "string_unicode":
        return f"{name} has a character that is half of a pair (a lone surrogate). Type it again.", field
    if kind.startswith("string"):
        return f"{name} must be text.", field
    low, high = bounds(field)
    whole = "whole number" if int in get_args(Request.model_fields[field].annotation) or field in ("width", "height") else "number"
    return f"{name} must be a {whole} from {low:g} to {high:.10g}.", field
