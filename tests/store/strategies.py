"""Every request there can be, and every PNG that can carry one."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from hypothesis import strategies as st
from PIL import Image

from webui.request import SEED_LIMIT, Resolved
from webui.store import metadata

AT = datetime(2026, 11, 23, 15, 30, 12, tzinfo=UTC)

AWKWARD = (
    "a boat\nNegative prompt: b\nSteps: 1, Sampler: evil, Seed: 2, Size: 64x64",
    "Negative prompt: all of it",
    'say "hello", \\ and \\" and {"version": 9}',
    "\n\n  blanks around \t\n",
    "🙂👩‍👩‍👧 \u202eright to left\u202c עברית العربية e\u0301\u0301\u0301",
    "<script>alert(1)</script> </x:xmpmeta> ]]> %s ${jndi:x} {{7*7}}",
    "é",
    "\x85\u2028\u2029\ufeff\u200b",
)
TEXT = st.text(max_size=200) | st.sampled_from(AWKWARD)
NAME = st.text(min_size=1, max_size=60)
PIXELS = st.integers(8, 256).map(lambda k: 8 * k)

REQUESTS = st.builds(
    lambda **values: Resolved.parse(values),
    prompt=TEXT,
    negative=TEXT,
    steps=st.integers(1, 150),
    guidance=st.floats(1, 30),
    seed=st.integers(0, SEED_LIMIT - 1),
    sampler=NAME,
    schedule=NAME,
    width=PIXELS,
    height=PIXELS,
    model=NAME,
)

BOAT = Resolved(
    prompt="a red sailboat",
    negative="fog",
    steps=20,
    guidance=7.5,
    seed=7,
    sampler="DPM++ 2M",
    schedule="Karras",
    width=256,
    height=256,
    model="storybook",
)


def png(request: Resolved = BOAT) -> bytes:
    """A small picture with this recipe."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=metadata.write(request, 1.5, AT))
    return stream.getvalue()
