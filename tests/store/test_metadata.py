"""The recipe inside a picture: exact from our JSON, and no file from outside does harm."""

from __future__ import annotations

import io
import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.store.strategies import AWKWARD, BOAT, REQUESTS, png
from webui.errors import UserError
from webui.request import PROMPT_LENGTH, Resolved
from webui.store.chunks import LIMIT, SIGNATURE
from webui.store.metadata import recipe


def read(content: bytes) -> Resolved:
    return recipe(io.BytesIO(content))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_text(key: str, text: str, *, packed: bool = False) -> bytes:
    """A PNG with one text chunk, as any program would write it."""
    info, stream = PngInfo(), io.BytesIO()
    info.add_text(key, text, zip=packed)
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


@given(REQUESTS)
def test_every_request_comes_back_exactly(request_: Resolved) -> None:
    assert read(png(request_)) == request_


@pytest.mark.parametrize("prompt", AWKWARD)
def test_awkward_prompts_come_back_exactly(prompt: str) -> None:
    request = Resolved.parse(BOAT.model_dump() | {"prompt": prompt, "negative": prompt})
    assert read(png(request)) == request and request.prompt == prompt


@pytest.mark.parametrize("sign", ["a", '"', "\n", "\u20ac", "🙂"])
def test_the_longest_prompts_come_back_and_other_readers_open_the_file(sign: str) -> None:
    request = Resolved.parse(BOAT.model_dump() | {"prompt": sign * PROMPT_LENGTH, "negative": sign * PROMPT_LENGTH})
    content = png(request)
    assert read(content) == request
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        assert json.loads(picture.info["stepwise"])["prompt"] == request.prompt


def test_it_says_who_made_it_and_is_never_compressed() -> None:
    content = png()
    with Image.open(io.BytesIO(content)) as picture:
        truth = json.loads(picture.info["stepwise"])
        assert "trainedAlgorithmicMedia" in picture.info["XML:com.adobe.xmp"]
        assert picture.info["parameters"].startswith("a red sailboat\nNegative prompt: fog\nSteps: 20, Sampler: DPM++ 2M, ")
    assert truth["version"] == 1 and truth["program"].startswith("Stepwise ") and truth["created"] == "2026-11-23T15:30:12+00:00"
    assert b"zTXt" not in content


def test_the_json_wins_over_the_parameters() -> None:
    info, stream = PngInfo(), io.BytesIO()
    info.add_text("parameters", "a lie\nSteps: 1, Sampler: Euler, CFG scale: 2, Seed: 3")
    info.add_text("stepwise", json.dumps({"version": 1, "later": {}} | BOAT.model_dump()))
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    assert read(stream.getvalue()) == BOAT


def test_another_programs_parameters_go_as_far_as_they_go() -> None:
    request = read(
        with_text("parameters", "a hut\nSteps: 12, Sampler: Euler a, Schedule type: Automatic, Seed: 9, Size: 512x768, Model: dream")
    )
    assert request.model_dump(exclude={"guidance"}) == {
        "prompt": "a hut", "negative": "", "steps": 12, "seed": 9, "sampler": "Euler a", "schedule": "Automatic",
        "width": 512, "height": 768, "model": "dream",
    }  # fmt: skip


def test_text_after_the_pixels_is_found() -> None:
    plain = with_text("other", "x")
    late = chunk(b"tEXt", b"stepwise\0" + json.dumps({"version": 1} | BOAT.model_dump()).encode())
    assert read(plain[:-12] + late + plain[-12:]) == BOAT


BAD = {
    "empty": (b"", "not a PNG"),
    "text": (b"<html>", "not a PNG"),
    "jpeg": (b"\xff\xd8\xff\xe0" * 10, "not a PNG"),
    "signature only": (SIGNATURE, "damaged"),
    "cut": (png()[:100], "damaged"),
    "wrong checksum": (png().replace(b'"steps": 20', b'"steps": 21'), "damaged"),
    "chunk longer than the file": (SIGNATURE + struct.pack(">I", 2**32 - 1) + b"IDAT", "damaged"),
    "a million chunks": (SIGNATURE + chunk(b"juNk", b"") * 10**6, "damaged"),
    "bad UTF-8": (SIGNATURE + chunk(b"iTXt", b"stepwise\0\0\0\0\0\xff"), "damaged"),
    "iTXt without its fields": (SIGNATURE + chunk(b"iTXt", b"stepwise\0\0"), "damaged"),
    "no settings": (with_text("Comment", "x"), "no settings"),
    "prompt alone": (with_text("parameters", "a boat, Steps: 20"), "no settings"),
    "compressed": (with_text("stepwise", "{}" * 1000, packed=True), "no settings"),
    "huge": (with_text("stepwise", "x" * (LIMIT + 1)), "longer"),
    "not JSON": (with_text("stepwise", "{"), "damaged"),
    "deep": (with_text("stepwise", "[" * 100_000), "damaged"),
    "5000 digits": (with_text("stepwise", "1" * 5000), "damaged"),
    "array": (with_text("stepwise", "[1]"), "damaged"),
    "no version": (with_text("stepwise", json.dumps(BOAT.model_dump())), "damaged"),
    "field missing": (with_text("stepwise", json.dumps({"version": 1, "prompt": "x"})), "damaged"),
    "newer": (with_text("stepwise", json.dumps({"version": 2} | BOAT.model_dump())), "newer version"),
    "steps": (with_text("stepwise", json.dumps({"version": 1} | BOAT.model_dump() | {"steps": 10**9})), "Steps must be"),
    "NaN": (with_text("stepwise", json.dumps({"version": 1} | BOAT.model_dump() | {"guidance": float("nan")})), "Guidance must be"),
    "surrogate": (with_text("stepwise", json.dumps({"version": 1} | BOAT.model_dump() | {"prompt": "\ud800"})), "surrogate"),
    "null": (with_text("stepwise", json.dumps({"version": 1} | BOAT.model_dump() | {"sampler": None})), "must be text"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_hostile_file_is_answered_with_a_sentence(name: str) -> None:
    content, sentence = BAD[name]
    with pytest.raises(UserError, match=sentence):
        read(content)


def test_a_picture_of_a_million_megapixels_is_not_decoded() -> None:
    size = struct.pack(">IIBBBBB", 10**6, 10**6, 8, 2, 0, 0, 0)
    content = png()
    assert read(content[:8] + chunk(b"IHDR", size) + content[33:]) == BOAT


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_no_damage_makes_anything_but_a_recipe_or_a_sentence(where: int, junk: bytes) -> None:
    content = png()
    where %= len(content)
    try:
        assert isinstance(read(content[:where] + junk + content[where + len(junk) :]), Resolved)
    except UserError as error:
        assert error.message.endswith(".")
