"""Models on the Hugging Face hub, or on another server of its kind (`HF_ENDPOINT`): what a repository holds that the studio can use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from webui import __version__
from webui.downloads.offer import File, Offer, offer_of, safe_name
from webui.engine.safety import DENOISERS, UNUSED, VARIANT
from webui.engine.sources import PARTS
from webui.errors import DownloadError

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

REPOSITORY = re.compile(r"([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w.-]{1,200}))?(?:/(.+\.safetensors)|(#parts))?", re.ASCII)

WORDS = (".json", ".txt", ".model", ".jinja")
"""Endings of configurations and tokenizers."""

PAPERS = re.compile(r"(README\.md|LICEN[SC]E[\w.-]*|NOTICE[\w.-]*)", re.IGNORECASE)

OFFERED = 12
"""Most files that are named when somebody has to choose one."""


class Wanted(NamedTuple):
    """A repository, and perhaps one file in it, or all of it but the denoiser."""

    repository: str
    revision: str | None
    file: str | None = None
    parts: bool = False


def wanted(source: str, endpoint: str) -> Wanted | None:
    """What of the hub is meant: `owner/name`, `owner/name@revision`, `owner/name/file.safetensors`, `owner/name#parts` for what
    the model's single files need beside them, or an address; else `None`."""
    address = urlsplit(source)
    if address.scheme in ("http", "https"):
        if address.netloc.lower() not in (urlsplit(endpoint).netloc.lower(), "huggingface.co", "hf.co"):
            return None
        parts = [unquote(part) for part in address.path.split("/") if part]
        if len(parts) < 2 or not re.fullmatch(r"[\w.-]+", parts[0]) or parts[0] in ("datasets", "spaces"):
            return None
        repository = "/".join(parts[:2])
        if len(parts) > 4 and parts[2] in ("blob", "resolve"):
            return Wanted(repository, parts[3], "/".join(parts[4:]))
        return Wanted(repository, parts[3] if len(parts) > 3 and parts[2] == "tree" else None, parts=f"#{address.fragment}" == PARTS)
    found = REPOSITORY.fullmatch(source)
    return Wanted(found[1], found[2], found[3], found[4] == PARTS) if found else None


def look(source: str, what: Wanted) -> Offer:
    """What there is to be had.

    Raises:
        DownloadError: the hub does not answer, has no such model or does not show it; or nothing in it can be used.
    """
    info = _info(what)
    sizes = {one.rfilename: one for one in info.siblings or () if one.size is not None and _harmless(one.rfilename)}
    if what.file:
        chosen, folder = [what.file], False
    else:
        chosen, folder = _chosen(sizes, what, lambda name: _read_index(what, info.sha, name))
    missing = [name for name in chosen if name not in sizes]
    if missing:
        raise DownloadError(f"{what.repository} has no file {missing[0]}.", "source")
    if not folder and not chosen[0].endswith(".safetensors"):
        raise DownloadError("Only .safetensors files are fetched: others can run code when they are opened.", "source")
    files = [
        File(
            path=name if folder else safe_name(name),
            url=_url(what, info.sha, name),
            bytes=sizes[name].size,
            sha256=lfs.sha256 if (lfs := sizes[name].lfs) else "",
        )
        for name in chosen
    ]
    name = f"{what.repository.partition('/')[2]}{' parts' if what.parts else ''}" if folder else files[0].path
    title = f"{what.repository}, without its denoiser" if what.parts else what.repository
    notes = ["Its makers ask you to agree to their terms on its page first, and to sign in with: hf auth login."] if info.gated else []
    return offer_of(source, title, safe_name(name), files, folder=folder, licence=_licence(info), notes=tuple(notes))


def token_for(url: str) -> str | None:
    """The person's own token for the hub, if they have signed in there, and if that is where the address leads."""
    from huggingface_hub import constants, get_token

    here, hub = urlsplit(url), urlsplit(constants.ENDPOINT)
    return get_token() if (here.scheme, here.netloc) == (hub.scheme, hub.netloc) else None


def endpoint() -> str:
    """Where the hub is."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def _info(what: Wanted) -> ModelInfo:
    # Here and not at the top: the library takes a moment, and nobody may ever ask for it.
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )  # fmt: skip

    try:
        hub = HfApi(library_name="stepwise", library_version=__version__)
        return hub.model_info(what.repository, revision=what.revision, files_metadata=True, timeout=20)
    except GatedRepoError:
        raise DownloadError(
            f"{what.repository} is shown to people who agreed to its makers' terms. Do that on its page, and sign in with: hf auth login.",
            "source",
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise DownloadError(f"The hub has no model {what.repository}, or shows it only to people who are signed in.", "source") from None
    except RevisionNotFoundError:
        raise DownloadError(f"{what.repository} has no version {what.revision}.", "source") from None
    except OfflineModeIsEnabled:
        raise DownloadError("HF_HUB_OFFLINE is set, so the hub is not asked. Start the studio without it to download models.") from None
    except (httpx2.HTTPError, OSError) as error:
        raise DownloadError(f"The hub does not answer ({type(error).__name__}). Look whether this machine is online.") from None


def _url(what: Wanted, revision: str | None, name: str) -> str:
    from huggingface_hub import hf_hub_url

    # The very version that was looked at: a branch may move meanwhile.
    return hf_hub_url(what.repository, name, revision=revision or what.revision)


def _harmless(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and not any(part in ("..", ".") or part.startswith(".") for part in name.split("/"))


def _chosen(sizes: Any, what: Wanted, read: Any) -> tuple[list[str], bool]:
    """The files of a repository that make a model, or what is wanted of it, and whether they are a folder."""
    repository = what.repository
    if "model_index.json" in sizes:
        return list(_folder(sizes, read("model_index.json"), without=DENOISERS if what.parts else ())), True
    if what.parts:
        raise DownloadError(f"{repository} is no model in parts, so that there are none to fetch without its denoiser.", "source")
    weights = [name for name in sizes if name.endswith(".safetensors")]
    if len(weights) == 1:
        return weights, False
    if not weights:
        raise DownloadError(f"{repository} has no .safetensors files, and others are not fetched: they can run code.", "source")
    named = ", ".join(sorted(weights)[:OFFERED]) + (" and others" if len(weights) > OFFERED else "")
    raise DownloadError(f"{repository} has several files: {named}. Name one, such as {repository}/{min(weights)}.", "source")


def _folder(sizes: Sequence[str], index: dict[str, Any], without: Sequence[str] = ()) -> Iterator[str]:
    """Of a diffusers folder: its index, the papers, and of each part that is used its words and one set of weights; of parts of the
    classes `without` the words alone."""
    yield "model_index.json"
    yield from (name for name in sizes if PAPERS.fullmatch(name))
    parts = [part for part, value in index.items() if isinstance(value, list) and value != [None, None] and part not in UNUSED]
    inside = {part: [name for name in sizes if PurePosixPath(name).parent == PurePosixPath(part)] for part in parts}
    left = [part for part in parts if index[part][1:] in [[kind] for kind in without]]
    weighty = [part for part, names in inside.items() if part not in left and any(name.endswith(".safetensors") for name in names)]
    # Half the size where every part has it; a mixture would be asked for by a name that some of them lack.
    small = bool(weighty) and all(_weights(inside[part], VARIANT) for part in weighty)
    for part, names in inside.items():
        yield from (name for name in names if name.endswith(WORDS) and not _is_index(name))
        if part in weighty:
            found = _weights(names, VARIANT if small else None)
            if not found:
                raise DownloadError(f"Its {part} has no whole set of .safetensors files.", "source")
            yield from found
        elif part not in left and any(name.endswith((".bin", ".pt", ".ckpt", ".msgpack")) for name in names):
            raise DownloadError(f"Its {part} is there as a pickle only, which can run code when it is opened.", "source")


def _is_index(name: str) -> bool:
    return ".index." in name or name.endswith(".index.json")


def _weights(names: list[str], variant: str | None) -> list[str]:
    """One set of weights: a file, or its pieces with their index."""
    infix = re.escape(f".{variant}") if variant else ""
    for stem in ("diffusion_pytorch_model", "model"):
        whole = [name for name in names if re.fullmatch(rf".*/{stem}{infix}\.safetensors", name)]
        if whole:
            return whole
        pieces = [name for name in names if re.fullmatch(rf".*/{stem}({infix})?-\d+-of-\d+({infix})?\.safetensors", name)]
        pieces = [name for name in pieces if bool(variant) == (f".{variant or VARIANT}" in name)]
        index = [name for name in names if re.fullmatch(rf".*/{stem}\.safetensors\.index{infix}\.json", name)]
        if pieces and index:
            return [*index, *pieces]
    return []


def _read_index(what: Wanted, revision: str | None, name: str) -> dict[str, Any]:
    from webui.downloads.transfer import small_json

    return small_json(_url(what, revision, name))


def _licence(info: ModelInfo) -> str:
    card: Any = info.card_data or {}
    named = card.get("license_name") if card.get("license") == "other" else card.get("license")
    return str(named)[:80] if named else ""
