"""From the prompts of a request to the texts that are encoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from webui.errors import InvalidRequest, StorageError
from webui.prompts.comments import without_comments
from webui.prompts.draw import draw, draws
from webui.prompts.styles import Styles, around
from webui.prompts.wildcards import Wildcards
from webui.request import Request, Resolved


class Sample(NamedTuple):
    """What a seed makes of a prompt."""

    text: str
    chance: bool
    """Whether another seed may make something else of it."""
    problem: str = ""
    """Why it cannot be drawn, in a sentence."""


class Words:
    """The wildcards and styles in a folder. Safe between threads."""

    def __init__(self, folder: Path) -> None:
        self.wildcards = Wildcards(folder / "wildcards")
        self.styles = Styles(folder / "styles.csv")

    def drawn(self, request: Resolved) -> Resolved:
        """The request with the texts that are encoded, where these are others than its prompts.

        In this order: comments go, styles are put around, choices and wildcards are drawn.

        Raises:
            InvalidRequest: a style or wildcard does not exist, or it is too much; the sentence says what to do.
            StorageError: the file of styles cannot be used.
        """
        styles = self.styles.named(request.styles)
        prompt = self._text(request.prompt, [style.prompt for style in styles], request.seed, "prompt")
        negative = self._text(request.negative, [style.negative for style in styles], request.seed, "negative")
        return request.model_copy(
            update={
                "drawn": prompt if prompt != request.prompt else None,
                "drawn_negative": negative if negative != request.negative else None,
            }
        )

    def sample(self, request: Request) -> Sample:
        """The prompt as one seed would draw it; as it was typed where it cannot be drawn."""
        try:
            styles = [style.prompt for style in self.styles.named(request.styles)]
            text = self._text(request.prompt, styles, request.seed or 0, "prompt")
            return Sample(text, any(draws(without_comments(part)) for part in (request.prompt, *styles)))
        except (InvalidRequest, StorageError) as error:
            return Sample(request.prompt, chance=False, problem=error.message)

    def _text(self, text: str, styles: Sequence[str], seed: int, field: str) -> str:
        try:
            text = without_comments(text)
            for style in styles:
                text = around(text, without_comments(style))
            return draw(text, seed, field, self.wildcards.deck)
        except InvalidRequest as error:
            raise InvalidRequest(error.message, field) from None
