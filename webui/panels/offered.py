"""What the controls offer for the model that is chosen: nobody sees a setting that its family does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

from webui.engine.catalogue import Model
from webui.engine.families import FAMILIES
from webui.engine.samplers import AUTOMATIC, SCHEDULES
from webui.engine.vaes import fits, fitting
from webui.panels.part import whole
from webui.panels.parts.model import choices
from webui.request import Defaults, title

NOTHING: Mapping[str, Model] = MappingProxyType({})

HIDDEN: Literal["hidden"] = "hidden"
"""Out of sight, but still in the page: what was typed stays, and so does what the script has written on it."""


class Offered(NamedTuple):
    """What can be set for some models: all that at least one of them has."""

    samplers: Mapping[str, tuple[str, ...]]
    """Sampler -> the schedules that it takes."""
    guidance: str
    """What guidance is called; empty where there is none."""
    negative: bool
    multiple: int
    """Width and height are multiples of this many pixels."""
    defaults: Defaults
    vaes: Sequence[tuple[str, str]] = ()
    """What the list of VAEs shows, and the names that stand for them: those that fit all of the models."""

    @classmethod
    def by(cls, models: Sequence[Model], there: Mapping[str, Model] = NOTHING) -> Self:
        """By these models, of which there is at least one; VAEs from among what is `there`."""
        families = [FAMILIES[model.family] for model in models]
        samplers: dict[str, tuple[str, ...]] = {}
        for family in families:
            for name, row in family.samplers.items():
                samplers[name] = tuple(one for one in SCHEDULES if one in row.schedules or one in samplers.get(name, ()))
        names = {family.guidance for family in families if family.guidance}
        return cls(
            samplers,
            names.pop() if len(names) == 1 else title("guidance") if names else "",
            any(family.negative for family in families),
            max(family.multiple for family in families),
            models[0].defaults,
            choices({name: vae for name, vae in fitting(there, models[0]).items() if all(fits(vae, model) for model in models)}),
        )

    def schedules(self, sampler: str) -> tuple[str, ...]:
        """Those that a sampler takes."""
        # A link or a browser may name a sampler that we do not have: the studio says so when it is asked to use it.
        return self.samplers.get(sampler, (AUTOMATIC,))

    def schedule(self, sampler: str, shown: Any) -> dict[str, Any]:
        """How the list of schedules looks; the one that is shown stays if the sampler takes it."""
        offered = self.schedules(sampler)
        return {"choices": list(offered), "value": shown if shown in offered else AUTOMATIC}

    def vae(self, shown: Any) -> dict[str, Any]:
        """How the list of VAEs looks; the one that is shown stays if it fits. Out of sight where there is none."""
        names = [name for _, name in self.vaes]
        value = shown if shown in names else ""
        return {"choices": [(AUTOMATIC, ""), *self.vaes], "value": value, "visible": True if names else HIDDEN}

    def faces(self, shown: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Control -> how it looks; `shown` is what the controls hold. What cannot stay there gives way to what can."""
        sampler = shown["sampler"] if shown["sampler"] in self.samplers else self.defaults.sampler
        sizes = {name: {"step": self.multiple} | self._near(shown[name]) for name in ("width", "height")}
        return sizes | {
            "sampler": {"choices": list(self.samplers), "value": sampler},
            "schedule": self.schedule(sampler, shown["schedule"]),
            "guidance": {"visible": True, "label": self.guidance} if self.guidance else {"visible": HIDDEN},
            "negative": {"visible": True if self.negative else HIDDEN},
            "vae": self.vae(shown.get("vae")),
        }

    def without_hidden(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A request's fields, but for those whose controls are out of sight."""
        hidden: dict[str, Any] = {} if self.negative else {"negative": ""}
        hidden |= {} if self.guidance else {"guidance": None}
        return {**fields, **hidden} | ({} if self.vaes else {"vae": None})

    def _near(self, pixels: Any) -> dict[str, int]:
        """A size that the models take, where this is a whole number that they do not."""
        number = whole(pixels)
        if type(number) is not int or number % self.multiple == 0 or number % 8:
            return {}
        return {"value": max(64, round(number / self.multiple) * self.multiple)}
