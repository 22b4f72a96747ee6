"""Takes the parts of an exported model as the start of more training: `python -m recipe.adopt MODEL FOLDER`.

Text encoder, tokenizer and autoencoder stay as they are, so that the U-Net goes on in the latents and words that it knows. The optimiser,
which is never published, starts anew.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextModel


def adopt(model: Path, folder: Path) -> None:
    """Copies the four parts, in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(model / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    for name, kind in (("vae", AutoencoderTiny), ("unet", UNet2DConditionModel)):
        kind.from_pretrained(model / name, torch_dtype=torch.float32).save_pretrained(folder / name)
    CLIPTextModel.from_pretrained(model / "text_encoder", dtype=torch.float32).save_pretrained(folder / "text_encoder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    adopt(given.model, given.folder)


if __name__ == "__main__":
    main()
