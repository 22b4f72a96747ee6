"""What a file lacks that holds a denoiser alone (text encoders, tokenizers, autoencoder, scheduler) is lent by a folder of its family.

Whoever reads such a file, of any format, names its family and the parts that it `holds` in its `Model`; the shelf then looks for a folder
(`lender_for`), and gives the file's model with it (`lent`), or with the sentence that says what to fetch (`wanting`). The loader opens
the folder `Model.around` with the file's denoiser in the place of the folder's own (`opening.open_around`). Folders without a denoiser
lend too: they are what is fetched on request, much smaller than the whole. Knows nothing of torch.
"""

from __future__ import annotations

from collections.abc import Iterable

from webui.engine.catalogue import Model
from webui.engine.families import FAMILIES
from webui.engine.sources import source_of


def lends(folder: Model) -> bool:
    """Whether this is a folder that lends: a whole model, or one without its denoiser."""
    return folder.path.is_dir() and folder.kind in ("model", "parts") and (folder.usable or folder.kind == "parts")


def lender_for(model: Model, folders: Iterable[Model]) -> Model | None:
    """The folder that a file takes its missing parts from: of its own family before its kin, then by name.

    Args:
        model: a file that `holds` only some parts.
        folders: all that `lends`.
    """
    kin = (model.family, *FAMILIES[model.family].kin)
    fitting = [one for one in folders if one.family in kin and (not model.width or not one.width or one.width == model.width)]
    return min(fitting, key=lambda one: (kin.index(one.family), one.name), default=None)


def stands_alone(model: Model) -> bool:
    """Whether a file holds enough to do without a folder."""
    kind = FAMILIES[model.family].denoiser
    return kind is not None and bool(kind.alone) and set(kind.alone) <= set(model.holds)


def lent(model: Model, folder: Model) -> Model:
    """The file's model with the parts of the folder: as usable, and of another stamp, when the folder is another."""
    parts = {part: number for part, number in folder.parameters.items() if part not in model.holds}
    matrices = {part: number for part, number in folder.matrices.items() if part not in model.holds}
    weights, bar, rest = model.stamp.partition("|")
    changes = {
        "lender": folder.name, "latents": model.latents or folder.latents, "around": folder.path,
        "parameters": {**model.parameters, **parts}, "matrices": {**model.matrices, **matrices}, "reason": "", "fetch": "",
        "stamp": f"{weights}+{folder.stamp.partition('|')[0]}{bar}{rest}",
    }  # fmt: skip
    return model.model_copy(update=changes)


def wanting(model: Model) -> Model:
    """The file's model as long as there is no folder: what exactly it needs, where that is, and under which licence; or what it gains."""
    source = source_of(model.family, model.width)
    if stands_alone(model):
        summary = f"It reads prompts without T5. With a diffusers folder of {model.family} in models/ it takes T5 from there."
        return model.model_copy(update={"fetch": source.fetch, "summary": model.summary or summary})
    need = f"It holds {model.family}'s denoiser, and needs its {source.parts} beside it: about {source.size}, from {source.repository}"
    terms = f"licence {source.licence}" + (", after you have agreed to its makers' terms on its page there" if source.gated else "")
    how = (
        f"Fetch them in the Models tab, or with: webui models add {source.fetch}; or put a diffusers folder of {model.family} into models/."
    )
    more = f" {source.more}" if source.more else ""
    return model.model_copy(update={"reason": f"{need} ({terms}). {how}{more}", "fetch": source.fetch, "lender": "", "around": None})
