"""Whether a model can make what is asked for: its family, the LoRAs and embeddings of the prompts, the VAE. Knows nothing of torch."""

from __future__ import annotations

from collections.abc import Mapping

from webui.engine import embeddings, loras, vaes
from webui.engine.catalogue import Model
from webui.engine.families import suits
from webui.request import Resolved


def judge(request: Resolved, model: Model, models: Mapping[str, Model]) -> Resolved:
    """Refuse what would fail later; the request as it will be made, its VAE by its whole name.

    Raises:
        InvalidRequest, ModelError: it cannot; the sentence says what it can.
    """
    suits(request, model.family)
    loras.check(request, models, model.family)
    texts = {"prompt": loras.tags(request.text)[0], "negative": request.negative_text}
    embeddings.check(texts, model, models)
    vae = vaes.chosen(request.vae, model, models)
    return request.model_copy(update={"vae": vae.name}) if vae else request
