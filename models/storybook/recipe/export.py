"""Writes the trained parts as a standard diffusers folder, fp16: `python -m recipe.export FOLDER --to ..`.

Loadable by plain `StableDiffusionPipeline.from_pretrained`; beside it the studio's own card.json
and the latent-to-RGB map for live previews.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from safetensors.torch import save_file
from torch import Tensor

from .pipeline import assemble
from .render import render
from .scene import draw_scene
from .world import BACKGROUNDS, COLOURS, TIMES, WORLDS

SCALE = 4
"""Preview pixels a latent."""

IDEAS = (
    "a red sailboat on a calm sea at sunset",
    "a yellow house in the mountains, in the snow, watercolor",
    "a purple castle in the forest at night, watercolor",
    "a blue lighthouse on the beach at dawn, soft pastel",
    "a red balloon high in the sky at sunset",
    "a pink house in the snow at night",
    "three red mushrooms in the forest, in the fog, flat illustration",
    "a green car in the desert at noon",
    "a pink tree in a meadow at sunrise, watercolor",
    "a yellow rocket in the city at sunset, flat illustration",
    "two red sailboats at sea at dawn, watercolor",
    "a pink flower in the forest by day, flat illustration",
)


def fit_preview(vae: AutoencoderTiny, pictures: int = 96) -> dict[str, Tensor]:
    """The 3x3 map from latents to SCALE x SCALE pixels each, by least squares over the model's own kind of picture."""
    rows, targets = [], []
    for seed in range(10**8, 10**8 + pictures):
        x = torch.from_numpy(render(draw_scene(seed, fresh=None))).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            z = vae.encoder(x * 2 - 1)
        rows.append(F.unfold(F.pad(z, (1, 1, 1, 1), mode="replicate"), 3)[0].T)
        targets.append(F.pixel_unshuffle(F.adaptive_avg_pool2d(x, z.shape[-1] * SCALE), SCALE).flatten(2)[0].T)
    inputs = torch.cat([torch.cat(rows), torch.ones(sum(map(len, rows)), 1)], 1).double()
    outputs = torch.cat(targets).double()
    solved = torch.linalg.solve(inputs.T @ inputs + 1e-2 * torch.eye(inputs.shape[1]), inputs.T @ outputs).float()
    return {"weight": solved[:-1].T.reshape(3 * SCALE**2, 4, 3, 3).contiguous(), "bias": solved[-1].contiguous()}


def card(world: str, size: int) -> dict[str, object]:
    """What the studio shows of the model."""
    limits = WORLDS[world]
    vocabulary = {
        "subjects": limits.subjects, "colours": tuple(COLOURS), "backgrounds": BACKGROUNDS,
        "times": TIMES, "weathers": limits.weathers, "styles": limits.styles,
    }  # fmt: skip
    summary = (
        f"Small picture-book scenes: {len(limits.subjects)} subjects in {len(COLOURS)} colours and {len(BACKGROUNDS)} places, "
        f"{len(TIMES)} times of day, {len(limits.weathers)} weathers and {len(limits.styles)} styles."
    )
    defaults = {"width": size, "height": size, "steps": 20, "guidance": 4.0, "sampler": "DPM++ 2M", "schedule": "Automatic"}
    training = "Trained only on pictures that its own recipe draws, with captions that it writes: no outside pictures, no outside weights."
    about = {"title": "Storybook", "summary": summary, "licence": "Apache-2.0", "training": training}
    return {**about, **defaults, "ideas": IDEAS, "vocabulary": vocabulary}


def say_float32(config: Path) -> None:
    """Transformers opens a model in the dtype that its configuration names, diffusers in float32: opened without a dtype, halves would meet
    floats and the first prompt would fail. A dtype that is asked for still wins."""
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2, sort_keys=True) + "\n")


def forget_where(config: Path) -> None:
    """Diffusers writes down from which folder of this machine a part came."""
    config.write_text(
        json.dumps({key: value for key, value in json.loads(config.read_text()).items() if key != "_name_or_path"}, indent=2) + "\n"
    )


def export(folder: Path, to: Path, world: str, size: int) -> None:
    pipe = assemble(folder, size)
    preview = fit_preview(pipe.vae)
    # Git and some hosts dislike large files: shards below 16 MB.
    pipe.to(dtype=torch.float16).save_pretrained(to, max_shard_size="14MB")
    say_float32(to / "text_encoder" / "config.json")
    for part in ("unet", "vae"):
        forget_where(to / part / "config.json")
    save_file(preview, to / "preview.safetensors")
    (to / "card.json").write_text(json.dumps(card(world, size), indent=2) + "\n")
    total = sum(file.stat().st_size for file in to.rglob("*.safetensors"))
    print(f"{total / 1e6:.1f} MB of weights in {to}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--to", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--world", default="small")
    parser.add_argument("--size", type=int, default=256, help="native width and height in pixels")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    export(given.folder, given.to, given.world, given.size)


if __name__ == "__main__":
    main()
