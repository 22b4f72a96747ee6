"""A request in an address and back, and what is no request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.errors import InvalidRequest
from webui.panels.recipe import LONGEST, fragment, opened
from webui.request import SEED_LIMIT, Request

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=200)
REQUESTS = st.builds(
    Request,
    prompt=TEXT,
    negative=TEXT,
    steps=st.none() | st.integers(1, 150),
    guidance=st.none() | st.integers(2, 60).map(lambda halves: halves / 2),
    seed=st.none() | st.integers(0, SEED_LIMIT - 1),
    sampler=st.none() | st.sampled_from(["Euler a", "DPM++ 2M"]),
    vae=st.none() | st.sampled_from(["vae/anime.safetensors", "7"]),
    width=st.none() | st.integers(8, 256).map(lambda eights: eights * 8),
)


@given(REQUESTS)
def test_a_request_comes_back_as_it_went(request: Request) -> None:
    text = fragment(request)
    assert opened(text) == request
    assert text.startswith("#recipe=1") and text.isascii() and not set(text[1:]) & set(" #<>\"'")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "damaged"),
        ("#", "damaged"),
        ("#prompt=a", "damaged"),
        ("#recipe", "damaged"),
        ("#recipe=x", "damaged"),
        ("#recipe=\u0661", "damaged"),
        ("#recipe=1&recipe=1", "damaged"),
        ("#recipe=1&prompt=a&prompt=b", "damaged"),
        ("#recipe=1&prompt=%ff", "damaged"),
        ("#recipe=1&prompt=" + "a" * LONGEST, "damaged"),
        ("#recipe=2&prompt=a", "newer"),
        ("#recipe=1&steps=0", "Steps must be"),
        ("#recipe=1&steps=20.5", "Steps must be"),
        ("#recipe=1&steps=1e1", "Steps must be"),
        ("#recipe=1&steps=", "Steps must be"),
        ("#recipe=1&steps=true", "Steps must be"),
        ("#recipe=1&guidance=NaN", "Guidance must be"),
        ("#recipe=1&seed=-1", "Seed must be"),
        ("#recipe=1&seed=" + "9" * 5000, "Seed must be"),
        ("#recipe=1&width=513", "Width must be"),
        ("#recipe=1&key=abc", "There is no setting called 'key'"),
        ("#recipe=1&prompt=" + "a" * 30_000, "too long"),
    ],
    ids=lambda value: value[:40],
)
def test_a_link_from_anybody_is_judged_like_any_request(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        opened(text)
