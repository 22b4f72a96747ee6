"""How long a save takes, and where the time goes. Run by hand: `python tests/bench/store_save.py`."""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from PIL import Image, ImageFilter

from webui.request import Defaults, Request
from webui.store import sheet
from webui.store.store import Store

STEPS = 20
ROUNDS = 7


def picture(side: int) -> Image.Image:
    """Soft shapes with a little grain, as a decoder makes them."""
    soft = Image.effect_noise((side // 8, side // 8), 200).resize((side, side), Image.Resampling.BICUBIC)
    grain = Image.effect_noise((side, side), 12)
    bands = [Image.blend(soft.rotate(90 * k), grain, 0.15) for k in range(3)]
    return Image.merge("RGB", bands).filter(ImageFilter.SMOOTH)


def jpeg(image: Image.Image) -> bytes:
    """As the engine sends previews."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def milliseconds(work: Callable[[], object]) -> float:
    """Median time of the work."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def main() -> None:
    """Print a row per size."""
    request = Request(prompt="a red sailboat on a calm sea at sunset").resolve(Defaults(), "bench")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        store = Store(Path(folder) / "outputs")
        store.check()
        for side in (256, 1024):
            image = picture(side)
            rgb, frames = image.tobytes(), [jpeg(image.resize((side // 2, side // 2)))] * STEPS
            at = datetime.now().astimezone()
            whole = milliseconds(lambda rgb=rgb, side=side, frames=frames, at=at: store.save(request, rgb, side, side, frames, 1.0, at))
            alone = milliseconds(lambda rgb=rgb, side=side, at=at: store.save(request, rgb, side, side, (), 1.0, at))
            name = store.save(request, rgb, side, side, frames, 1.0, at)
            file = store.path(name)
            joined = milliseconds(lambda frames=frames: sheet.join(frames))
            split = milliseconds(lambda name=name: store.frames(name))
            recipe = milliseconds(lambda name=name: store.recipe(name))
            size, steps = file.stat().st_size // 1000, file.with_suffix(".steps.jpg").stat().st_size // 1000
            print(
                f"{side}x{side}, {STEPS} frames of {side // 2}: save {whole:.0f} ms (picture alone {alone:.0f}, sheet {joined:.0f}); "
                f"frames back {split:.0f} ms; recipe {recipe:.2f} ms; {size} kB + {steps} kB"
            )


if __name__ == "__main__":
    main()
