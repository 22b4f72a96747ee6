"""How long ten thousand files take to be listed: small ones, and LoRAs with headers of true size; cold, from the ledger, and unchanged.

python tests/bench/models_scan.py [FILES]
"""

from __future__ import annotations

import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from webui.engine.stock import Stock

FILES = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000

LAYERS = 264
"""Layers of a LoRA for the U-Net and the text encoder of Stable Diffusion 1.x, three tensors each."""


def file_of(tensors: int) -> bytes:
    """A whole .safetensors file whose tensors are tiny: its header is what takes time."""
    header, end = {}, 0
    for number in range(tensors):
        name = f"lora_unet_down_blocks_{number % 4}_attentions_1_transformer_blocks_0_attn2_to_k_{number}.lora_down.weight"
        header[name] = {
            "dtype": "F16",
            "shape": [1, 768 if number < 10 else 4],
            "data_offsets": [end, end := end + (1536 if number < 10 else 8)],
        }
    text = json.dumps(header | {"__metadata__": {"ss_tag_frequency": json.dumps({"10_x": {f"tag {k}": k for k in range(200)}})}}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def timed(words: str, do: Callable[[], object]) -> None:
    """Say how long it takes."""
    began, used = time.perf_counter(), time.process_time()
    do()
    print(f"{words}: {time.perf_counter() - began:.2f} s, of these {time.process_time() - used:.2f} s of computing")


for kind, tensors in (("small headers", 1), (f"LoRAs of {3 * LAYERS} tensors", 3 * LAYERS)):
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "0.safetensors"
        whole.write_bytes(file_of(tensors))
        then = time.time() - 1000
        os.utime(whole, (then, then))
        for number in range(FILES - 1):
            folder = Path(place) / f"shelf {number // 100}"
            folder.mkdir(exist_ok=True)
            (folder / f"{number}.safetensors").hardlink_to(whole)
        ledger = Path(place).parent / f"{Path(place).name}.sqlite"
        stocks: list[Stock] = []
        time.sleep(2.1)  # folders that changed just now are looked at twice
        print(f"{FILES} files, {kind}, {whole.stat().st_size / 1000:.0f} kB each")
        timed("  cold", lambda: stocks.append(Stock([Path(place)], ledger)))  # noqa: B023
        stocks.pop().close()
        timed("  at the next start", lambda: stocks.append(Stock([Path(place)], ledger)))  # noqa: B023
        timed("  Refresh, nothing changed", stocks[0].refresh)
        time.sleep(1.1)
        timed("  a list is opened, nothing changed", stocks[0].models)
        stocks.pop().close()
        for file in ledger.parent.glob(ledger.name + "*"):
            file.unlink()
