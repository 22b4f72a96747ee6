"""Models from a hub in this process: looked at first, fetched when asked for, gone on with after a drop, and checked."""

from __future__ import annotations

import ipaddress
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from tests.downloads.hub import Hub, point, serving, weights
from webui.downloads import hops, transfer
from webui.downloads import offer as offers
from webui.downloads.downloads import PLACE, Download, Downloads
from webui.downloads.starters import STARTERS
from webui.engine.shelf import scan
from webui.errors import DownloadError, InvalidRequest, NotFound

INDEX = {
    "_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
    "tokenizer": ["transformers", "CLIPTokenizer"], "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "feature_extractor": [None, None],
}  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that the studio asks."""
    hub = Hub()
    with serving(hub) as address:
        point(monkeypatch, address)
        yield hub


class Place(NamedTuple):
    """Downloads into a folder."""

    downloads: Downloads
    models: Path

    def ended(self, id: str, *states: str) -> Download:
        """The download once it is in one of these states, or has ended."""
        end = time.monotonic() + 20
        while True:
            (found,) = [one for one in self.downloads.list() if one.id == id]
            if found.state in (states or ("done", "failed")):
                return found
            assert time.monotonic() < end, found
            time.sleep(0.005)

    def fetched(self, source: str) -> Download:
        """Look, start, wait."""
        return self.ended(self.downloads.start(self.downloads.look(source).id).id)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An empty folder of models, and a hub that is tried again at once."""
    downloads = Downloads(tmp_path / "models")
    yield Place(downloads, tmp_path / "models")
    downloads.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(transfer, "TRIES", 3)
    monkeypatch.setattr(transfer, "pause", lambda failed: 0.0)


def test_a_file_is_looked_at_first_then_fetched_and_put_where_it_belongs(hub: Hub, place: Place) -> None:
    data = weights()
    hub.repository("ann/ink", {"README.md": b"# Ink", "ink.safetensors": data, "old.ckpt": b"PK"}, licence="cc0-1.0")
    offer = place.downloads.look("ann/ink")
    assert (offer.title, offer.name, offer.bytes, offer.licence, offer.folder) == (
        "ann/ink",
        "ink.safetensors",
        len(data),
        "cc0-1.0",
        False,
    )
    assert [path for path, _ in hub.asked if "resolve" in path] == [] and not place.models.exists(), "only looked at"
    done = place.fetched("ann/ink")
    assert (done.state, done.name, done.have, done.reason) == ("done", "loras/ink.safetensors", len(data), "")
    assert (place.models / "loras" / "ink.safetensors").read_bytes() == data
    model = scan([place.models])["loras/ink.safetensors"]
    assert model.kind == "lora" and model.licence == "cc0-1.0"
    assert list((place.models / PLACE).iterdir()) == []


def folder(*, fp16: bool, pieces: bool = False) -> dict[str, bytes]:
    """A repository of a model in parts, with what nobody needs."""
    files = {
        "model_index.json": json.dumps(INDEX).encode(),
        "README.md": b"---\nlicense: mit\n---\n",
        "picture.png": b"x",
        "setup.py": b"x",
    }
    files |= {"tokenizer/vocab.json": b"{}", "tokenizer/merges.txt": b"", "safety_checker/model.safetensors": weights()}
    for part in ("unet", "vae"):
        files[f"{part}/config.json"] = b"{}"
        files[f"{part}/diffusion_pytorch_model.bin"] = b"x"
        files[f"{part}/diffusion_pytorch_model.safetensors"] = weights(key="a")
        if fp16:
            files[f"{part}/diffusion_pytorch_model.fp16.safetensors"] = weights(9000, key="a")
    if pieces:
        del files["unet/diffusion_pytorch_model.safetensors"]
        files["unet/diffusion_pytorch_model.safetensors.index.json"] = b"{}"
        for number in (1, 2):
            files[f"unet/diffusion_pytorch_model-0000{number}-of-00002.safetensors"] = weights(key="a")
    return files


def test_of_a_folder_only_what_is_needed_is_fetched(hub: Hub, place: Place) -> None:
    hub.repository("ann/small", folder(fp16=True))
    hub.repository("ann/large", folder(fp16=False, pieces=True))
    small = {file.path for file in place.downloads.look("ann/small").files}
    common = {"model_index.json", "README.md", "tokenizer/vocab.json", "tokenizer/merges.txt", "unet/config.json", "vae/config.json"}
    assert small == common | {f"{part}/diffusion_pytorch_model.fp16.safetensors" for part in ("unet", "vae")}
    large = {file.path for file in place.downloads.look("ann/large").files}
    pieces = {"-00001-of-00002.safetensors", "-00002-of-00002.safetensors", ".safetensors.index.json"}
    assert large == common | {f"unet/diffusion_pytorch_model{end}" for end in pieces} | {"vae/diffusion_pytorch_model.safetensors"}
    done = place.fetched("ann/small")
    assert (done.state, done.name) == ("done", "small")
    there = {path.relative_to(place.models / "small").as_posix() for path in (place.models / "small").rglob("*") if path.is_file()}
    assert there == small
    assert place.downloads.lacking(place.downloads.look("ann/small")) == "There is a model small already. Remove or rename it first."


def test_of_parts_the_denoiser_is_left_where_it_is(hub: Hub, place: Place) -> None:
    hub.repository("ann/large", folder(fp16=False, pieces=True))
    hub.repository("ann/ink", {"ink.safetensors": weights()})
    for source in ("ann/large#parts", f"{hub.address}/ann/large#parts", "ann/large@main#parts"):
        offer = place.downloads.look(source)
        assert (offer.title, offer.name) == ("ann/large, without its denoiser", "large parts")
        assert {file.path for file in offer.files if "unet" in file.path or "vae" in file.path} == {
            "unet/config.json",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
        }
    with pytest.raises(DownloadError, match="no model in parts"):
        place.downloads.look("ann/ink#parts")


def test_what_broke_off_is_gone_on_with_by_itself(hub: Hub, place: Place) -> None:
    data = weights(200_000)
    hub.repository("ann/ink", {"ink.safetensors": data})
    hub.cut_after = 100_000
    assert place.fetched("ann/ink").state == "done"
    ranges = [headers.get("Range") for path, headers in hub.asked if "resolve" in path]
    assert len(ranges) == 2 and ranges[0] is None and 0 < int((ranges[1] or "bytes=0-")[6:-1]) < len(data)
    assert (place.models / "loras" / "ink.safetensors").read_bytes() == data


def test_a_server_that_knows_no_ranges_begins_anew(hub: Hub, place: Place) -> None:
    data = weights(200_000)
    hub.repository("ann/ink", {"ink.safetensors": data})
    hub.cut_after, hub.forgets_ranges = 100_000, True
    assert place.fetched("ann/ink").state == "done"
    assert (place.models / "loras" / "ink.safetensors").read_bytes() == data


def test_a_server_that_is_busy_for_a_moment_is_asked_again(hub: Hub, place: Place) -> None:
    hub.repository("ann/ink", {"ink.safetensors": weights()})
    id = place.downloads.look("ann/ink").id
    hub.busy = 2
    assert place.ended(place.downloads.start(id).id).state == "done"
    hub.repository("ann/oil", {"oil.safetensors": weights()})
    id = place.downloads.look("ann/oil").id
    hub.busy = 99
    failed = place.ended(place.downloads.start(id).id)
    assert failed.state == "failed" and "The server is busy (503)" in failed.reason and "Resume" in failed.reason
    hub.busy = 0
    assert place.ended(place.downloads.start(id).id, "done").name == "loras/oil.safetensors"


def test_a_download_is_paused_and_gone_on_with_after_a_restart(hub: Hub, place: Place) -> None:
    data = weights(2_000_000)
    hub.repository("ann/ink", {"ink.safetensors": data})
    hub.hold.clear()
    id = place.downloads.look("ann/ink").id
    place.downloads.start(id)
    while not list((place.models / PLACE).rglob("*.part")):
        time.sleep(0.01)
    assert place.downloads.pause(id).state == "paused"
    hub.hold.set()
    place.downloads.close()
    place.ended(id, "paused")
    (part,) = (place.models / PLACE).rglob("*.part")
    shortened = data[: len(data) // 2]  # as a kill would have left it
    part.write_bytes(shortened)
    hub.asked.clear()
    later = Place(Downloads(place.models), place.models)
    assert [(one.state, one.have) for one in later.downloads.list()] == [("paused", len(shortened))]
    assert hub.asked == [], "nobody goes on unasked"
    later.downloads.start(id)
    assert later.ended(id).state == "done" and (place.models / "loras" / "ink.safetensors").read_bytes() == data
    assert [headers.get("Range") for path, headers in hub.asked if "resolve" in path] == [f"bytes={len(shortened)}-"]
    later.downloads.close()


def test_a_file_that_changed_meanwhile_is_not_joined_to_the_old_one(hub: Hub, place: Place) -> None:
    one, other = weights(200_000), weights(200_000, key="a")
    hub.files["/ink.safetensors"] = one
    id = place.downloads.look(f"{hub.address}/ink.safetensors").id
    hub.cut_after, hub.busy = 100_000, 0
    place.downloads.start(id)
    assert place.ended(id).state == "done"
    hub.files["/oil.safetensors"] = one
    id = place.downloads.look(f"{hub.address}/oil.safetensors").id
    hub.files["/oil.safetensors"] = other
    place.downloads.start(id)
    assert "another file now" in place.ended(id).reason


def broken_off(hub: Hub, part: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Half of a file that the server knows by its date alone; all of it."""
    one = weights(200_000)
    hub.files["/ink.safetensors"], hub.cut_after = one, 100_000
    hub.headers = {"etag": 'W/"a"', "last-modified": "Thu, 26 Nov 2026 09:00:00 GMT"}
    monkeypatch.setattr(transfer, "pause", lambda failed: 9.0 * failed)
    assert not transfer.fetch(f"{hub.address}/ink.safetensors", part, len(one), lambda seconds: seconds > 0, lambda have: None)
    return one


def test_what_is_known_by_its_date_alone_is_gone_on_with_by_that(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "ink.part"
    one = broken_off(hub, part, monkeypatch)
    assert transfer.fetch(f"{hub.address}/ink.safetensors", part, len(one), lambda seconds: False, lambda have: None)
    assert part.read_bytes() == one and hub.asked[-1][1]["Range"] and hub.asked[-1][1]["If-Range"] == hub.headers["last-modified"]


def test_another_file_of_another_date_is_not_joined_to_the_old_one(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "ink.part"
    one = broken_off(hub, part, monkeypatch)
    hub.files["/ink.safetensors"] = other = one[::-1]
    hub.headers = {"etag": 'W/"a"', "last-modified": "Thu, 26 Nov 2026 10:00:00 GMT"}
    assert transfer.fetch(f"{hub.address}/ink.safetensors", part, len(one), lambda seconds: False, lambda have: None)
    assert part.read_bytes() == other


def test_a_file_that_is_shorter_now_is_another_one(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "ink.part"
    one = broken_off(hub, part, monkeypatch)
    hub.files["/ink.safetensors"] = one[:1000]
    with pytest.raises(DownloadError, match="another file now"):
        transfer.fetch(f"{hub.address}/ink.safetensors", part, len(one), lambda seconds: False, lambda have: None)


def test_a_page_in_the_files_place_counts_as_a_failure_and_is_no_part_of_the_file(hub: Hub, place: Place) -> None:
    data = weights()
    hub.repository("ann/ink", {"ink.safetensors": data})
    hub.page = b"This link is no longer good."
    id = place.downloads.look("ann/ink").id
    failed = place.ended(place.downloads.start(id).id)
    assert failed.state == "failed" and "less than the whole file" in failed.reason
    assert len([path for path, _ in hub.asked if "resolve" in path]) == transfer.TRIES + 1
    hub.page = None
    assert place.ended(place.downloads.start(id).id, "done").state == "done"
    assert (place.models / "loras" / "ink.safetensors").read_bytes() == data


def test_a_wrong_checksum_is_thrown_away(hub: Hub, place: Place) -> None:
    hub.repository("ann/ink", {"ink.safetensors": weights()}, sha256={"ink.safetensors": "0" * 64})
    failed = place.fetched("ann/ink")
    assert failed.state == "failed" and "ink.safetensors arrived damaged" in failed.reason and failed.have == 0
    assert scan([place.models]) == {} and not list(place.models.rglob("*.part"))


def test_without_room_nothing_is_begun(hub: Hub, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repository("ann/ink", {"ink.safetensors": weights()})
    free = shutil.disk_usage("/").free
    monkeypatch.setattr(offers, "RESERVE", free)
    offer = place.downloads.look("ann/ink")
    assert "the disk has" in place.downloads.lacking(offer)
    with pytest.raises(DownloadError, match="choose a smaller model"):
        place.downloads.start(offer.id)
    assert place.downloads.list() == [] and [path for path, _ in hub.asked if "resolve" in path] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_a_sentence_and_what_has_come_is_kept(hub: Hub, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repository("ann/ink", {"ink.safetensors": weights()})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device: the disk is full")

    monkeypatch.setattr("os.fsync", full)
    failed = place.fetched("ann/ink")
    assert failed.state == "failed" and "The disk is full" in failed.reason


def test_one_after_the_other_and_removed(hub: Hub, place: Place) -> None:
    for name in ("ink", "oil"):
        hub.repository(f"ann/{name}", {f"{name}.safetensors": weights(200_000)})
    hub.hold.clear()
    first, second = (place.downloads.start(place.downloads.look(f"ann/{name}").id).id for name in ("ink", "oil"))
    place.ended(first, "running")
    assert [one.state for one in place.downloads.list()] == ["running", "waiting"]
    threading.Timer(0.2, hub.hold.set).start()
    place.downloads.remove(first)
    assert [one.id for one in place.downloads.list()] == [second] and not (place.models / PLACE / first).exists()
    assert place.ended(second).state == "done"
    with pytest.raises(NotFound):
        place.downloads.pause(first)


def test_an_address_that_redirects_into_the_local_network_is_not_followed(hub: Hub, place: Place) -> None:
    inner = Hub()
    inner.files["/secret.safetensors"] = weights()
    with serving(inner, "127.0.0.2") as address:
        for number, target in enumerate(
            (f"{address}/secret.safetensors", "http://169.254.169.254/latest", "http://[::1]/", "file:///etc/passwd")
        ):
            hub.redirects[f"/{number}.safetensors"] = target
            with pytest.raises(DownloadError, match=r"Nothing was fetched|not safe"):
                place.downloads.look(f"{hub.address}/{number}.safetensors")
        assert inner.asked == [], "not even asked"
        # What the owner names is the owner's wish.
        assert place.downloads.look(f"{address}/secret.safetensors").bytes == len(weights())
    hub.redirects["/a.safetensors"] = "/b.safetensors"
    hub.files["/b.safetensors"] = weights()
    assert place.downloads.look(f"{hub.address}/a.safetensors").name == "b.safetensors"
    hub.redirects["/b.safetensors"] = "/a.safetensors"
    with pytest.raises(DownloadError, match="in circles"):
        place.downloads.look(f"{hub.address}/a.safetensors")


ADDRESSES = {
    "93.184.215.14": True, "2606:2800:21f:cb07:6820:80da:af6b:8b2c": True, "127.0.0.1": False, "10.1.2.3": False, "192.168.1.1": False,
    "172.16.0.1": False, "169.254.169.254": False, "0.0.0.0": False, "224.0.0.1": False, "::1": False, "fe80::1": False, "fd00::1": False,
    "::ffff:10.0.0.1": False, "::ffff:93.184.215.14": True, "64:ff9b::a00:1": False, "100.64.0.1": False,
}  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_only_addresses_of_the_internet_are_public(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (address, 80))])
    target = httpx2.URL("http://somewhere.test/")
    if ADDRESSES[address]:
        assert ipaddress.ip_address(hops.public(target)) == ipaddress.ip_address(address)
    else:
        with pytest.raises(DownloadError, match="local network"):
            hops.public(target)


def test_the_hubs_token_goes_to_the_hub_alone(hub: Hub, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.repository("ann/ink", {"ink.safetensors": weights()})
    other = Hub()
    other.files["/ink.safetensors"] = weights()
    with serving(other) as address:
        hub.redirects["/ann/ink/resolve/abc123/ink.safetensors"] = f"{address}/ink.safetensors"
        monkeypatch.setattr(hops, "public", lambda target: "127.0.0.1")
        assert place.fetched("ann/ink").state == "done"
    assert [headers.get("Authorization") for path, headers in hub.asked if "resolve" in path] == ["Bearer hf_secret"]
    assert [headers.get("Authorization") for _, headers in other.asked] == [None]


SOURCES = {
    "": "Give the id",
    "x" * 1001: "Give the id",
    "a\nb/c": "Give the id",
    "nonsense": "neither an id",
    "ftp://a/b.safetensors": "neither an id",
    "ann/none": "has no model ann/none",
    "ann/pickle": "no .safetensors",
    "ann/many": "several files: a.safetensors, b.safetensors. Name one",
    "ann/ink/other.safetensors": "has no file other.safetensors",
    "ann/part": "Its vae is there as a pickle only",
    "{hub}/page": "a web page",
    "{hub}/none.safetensors": "nothing at this address",
    "{hub}/renamed.safetensors": "is no .safetensors file",
    "{hub}/model.ckpt": "is no .safetensors file",
    "http://127.0.0.1:9/a": "does not answer",
}


@pytest.mark.parametrize("source", SOURCES)
def test_what_cannot_be_had_is_a_sentence(hub: Hub, place: Place, source: str) -> None:
    hub.repository("ann/ink", {"ink.safetensors": weights()})
    hub.repository("ann/pickle", {"a.ckpt": b"x", "b.bin": b"x"})
    hub.repository("ann/many", {"a.safetensors": weights(), "b.safetensors": weights()})
    hub.repository(
        "ann/part", {path: data for path, data in folder(fp16=False).items() if path != "vae/diffusion_pytorch_model.safetensors"}
    )
    hub.files |= {"/page": b"<!doctype html>" + b"x" * 99, "/renamed.safetensors": b"PK\x03\x04" * 99, "/model.ckpt": weights()}
    with pytest.raises((DownloadError, InvalidRequest)) as refused:
        place.downloads.look(source.format(hub=hub.address))
    assert SOURCES[source] in refused.value.message and refused.value.message.endswith(".")
    assert not place.models.exists()


@pytest.mark.parametrize(
    "source",
    ["ann/many/b.safetensors", "ann/many@main/b.safetensors", "{hub}/ann/many/blob/main/b.safetensors",
     "https://huggingface.co/ann/many/resolve/main/b.safetensors?download=true"],
)  # fmt: skip
def test_a_file_of_a_repository_is_named_in_several_ways(hub: Hub, place: Place, source: str) -> None:
    hub.repository("ann/many", {"a.safetensors": weights(), "b.safetensors": weights(9000)})
    offer = place.downloads.look(source.format(hub=hub.address))
    assert [file.path for file in offer.files] == ["b.safetensors"] and "/abc123/" in offer.files[0].url


def test_files_that_lead_out_of_the_folder_are_not_even_listed(hub: Hub, place: Place) -> None:
    hub.repository("ann/sly", {"../evil.safetensors": weights(), "/etc/evil.safetensors": weights(), ".hidden/a.safetensors": weights()})
    with pytest.raises(DownloadError, match=r"no \.safetensors"):
        place.downloads.look("ann/sly")
    hub.files["/x"] = weights()
    hub.headers = {"content-disposition": 'attachment; filename="../../a b.safetensors"'}
    assert place.downloads.look(f"{hub.address}/x").name == "a b.safetensors"


def test_a_file_of_the_same_name_is_not_written_over(hub: Hub, place: Place) -> None:
    hub.repository("ann/ink", {"ink.safetensors": weights()})
    (place.models / "loras").mkdir(parents=True)
    (place.models / "loras" / "ink.safetensors").write_bytes(b"mine")
    assert place.fetched("ann/ink").name == "loras/ink 2.safetensors"
    assert (place.models / "loras" / "ink.safetensors").read_bytes() == b"mine"


def test_what_arrives_and_cannot_be_used_says_so(hub: Hub, place: Place) -> None:
    hub.repository("ann/net", {"net.safetensors": weights(key="control_model.input_hint_block.0.weight")})
    done = place.fetched("ann/net")
    assert done.state == "done" and "cannot be used: It is a ControlNet" in done.reason


def test_the_first_models_are_named_with_their_licence_from_the_smallest_on() -> None:
    assert [one.memory for one in STARTERS] == sorted({one.memory for one in STARTERS})
    assert all(one.licence and one.source.count("/") == 1 and one.summary.endswith(".") for one in STARTERS)
