"""Denoiser calls of several jobs in one forward: which may share it, and how arguments and answers are joined and told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

SECOND = ("encoder_hidden_states_llama3",)
"""Arguments whose rows are their second dimension."""

TIMES = ("timestep", "timesteps", "guidance")
"""Arguments that are one number for all rows, or one per row; sent per row, so that jobs at different steps share a forward."""


class Setting(NamedTuple):
    """How a module must be set before a call, such as with which LoRAs in its layers."""

    key: Any = None
    apply: Callable[[], None] = lambda: None
    alone: bool = False
    """Whether a call goes to the module as it is, and never together with another."""


AS_IT_IS = Setting()


class Call:
    """One denoiser call of one job: its arguments by name, told apart into per-row and shared ones."""

    def __init__(self, module: Any, arguments: Mapping[str, Any], setting: Setting = AS_IT_IS) -> None:
        self.module = module
        self.setting = setting
        self.rows = len(next(iter(arguments.values())))
        self.rowed: dict[tuple[str, ...], Any] = {}
        self.shared: dict[tuple[str, ...], Any] = {}
        for name, value in _flat(arguments):
            if name[-1] in SECOND:
                value = value.transpose(0, 1)
            if name[-1] in TIMES and not setting.alone:
                value = torch.as_tensor(value, dtype=torch.float32).reshape(-1).expand(self.rows)
            per_row = (isinstance(value, list) or (torch.is_tensor(value) and value.ndim > 0)) and len(value) == self.rows
            (self.rowed if per_row else self.shared)[name] = value
        self.key = id(self) if setting.alone else (id(module), setting.key, _shapes(self.rowed), _contents(self.shared))
        """Calls of one key can share a forward."""


def forward(calls: list[Call]) -> Sequence[Any]:
    """One forward for calls of one key; each call's rows of the output, as a tensor or, from denoisers that answer with one, a list."""
    arguments = dict(calls[0].shared)
    for name in calls[0].rowed:
        parts = [call.rowed[name] for call in calls]
        arguments[name] = (
            parts[0] if len(parts) == 1 else torch.cat(parts) if torch.is_tensor(parts[0]) else [x for part in parts for x in part]
        )
    for name in arguments:
        if name[-1] in SECOND:
            arguments[name] = arguments[name].transpose(0, 1)
    calls[0].setting.apply()
    out = calls[0].module(**_nested(arguments), return_dict=False)[0]
    if torch.is_tensor(out):
        return torch.split(out, [call.rows for call in calls])
    ends = list(accumulate(call.rows for call in calls))
    return [out[end - call.rows : end] for call, end in zip(calls, ends, strict=True)]


def _flat(arguments: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Nested arguments by path; `None` is dropped."""
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*above, name))
        elif value is not None:
            yield (*above, name), value


def _nested(arguments: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for path, value in arguments.items():
        inside = whole
        for name in path[:-1]:
            inside = inside.setdefault(name, {})
        inside[path[-1]] = value
    return whole


def _shapes(arguments: Mapping[tuple[str, ...], Any]) -> tuple[Any, ...]:
    """What must be equal of per-row arguments: names, shapes but for the rows, and dtypes."""
    return tuple(
        (name, (tuple(value.shape[1:]), value.dtype) if torch.is_tensor(value) else _alike(value))
        for name, value in sorted(arguments.items())
    )


def _alike(rows: list[Any]) -> Any:
    """What must be equal of lists: the pictures' shapes; texts may differ in length; anything but tensors, such as sizes, is all one."""
    if all(torch.is_tensor(row) for row in rows):
        return tuple(sorted({tuple(row.shape) for row in rows if row.ndim > 2}))
    return tuple(sorted({repr(row) for row in rows}))


def _contents(arguments: Mapping[tuple[str, ...], Any]) -> tuple[Any, ...]:
    """What must be equal of shared arguments: everything. Tensors by value, or two sizes of equal token count would be mixed."""
    return tuple(
        (name, (tuple(value.shape), value.dtype, _bytes(value)) if torch.is_tensor(value) else repr(value))
        for name, value in sorted(arguments.items())
    )


def _bytes(value: Tensor) -> bytes:
    """A tensor's numbers, of any type: numpy knows no bfloat16."""
    return value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
