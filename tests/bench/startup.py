"""Start-up against the bare libraries: `python tests/bench/startup.py [ROUNDS]`, from the checkout, on an idle machine.

1. From `webui` to a page that answers, against a Gradio hello-world: at most 1.3 times.
2. From `webui generate` to a finished picture, cold, against a plain diffusers script that loads the same model: at most 1.1 times.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "storybook"

HELLO = """
import os
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr
gr.Interface(lambda name: "hello " + name, "text", "text").launch(server_port={port}, quiet=True)
"""

SCRIPT = f"""
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
pipe = StableDiffusionPipeline.from_pretrained({str(MODEL)!r}, local_files_only=True, safety_checker=None, dtype=torch.float32)
pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
picture = pipe("a red sailboat", num_inference_steps=20, guidance_scale=4.0, generator=torch.Generator().manual_seed(1)).images[0]
picture.save("plain.png")
"""


def answers(command: list[str], port: int) -> float:
    """Seconds from the start of the command to a page at the port."""
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT) as server:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                    if page.status == 200:
                        break
            except OSError:
                time.sleep(0.02)
        took = time.monotonic() - began
        server.send_signal(signal.SIGINT)
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
    return took


def finishes(command: list[str], folder: str) -> float:
    """Seconds that the command takes."""
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    return time.monotonic() - began


def report(what: str, ours: list[float], bare: list[float]) -> None:
    """Medians and their ratio."""
    mine, theirs = statistics.median(ours), statistics.median(bare)
    print(f"{what}: {mine:.2f} s against {theirs:.2f} s, {mine / theirs:.2f} x")


def main() -> None:
    """Interleaved rounds, so that a busy moment hits both sides."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    page: tuple[list[float], list[float]] = ([], [])
    picture: tuple[list[float], list[float]] = ([], [])
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            port = 17860 + 2 * number
            outputs = ["--outputs", f"{folder}/outputs"]
            page[0].append(answers([sys.executable, "-m", "webui", "--no-browser", "--port", str(port), *outputs], port))
            page[1].append(answers([sys.executable, "-c", HELLO.format(port=port + 1)], port + 1))
            ours = ["generate", "a red sailboat", "--steps", "20", "--seed", "1", "--models", str(MODEL.parent), "-o", f"{folder}/ours.png"]
            picture[0].append(finishes([sys.executable, "-m", "webui", *ours], folder))
            picture[1].append(finishes([sys.executable, "-c", SCRIPT], folder))
    report("a page that answers", *page)
    report("the first picture, cold", *picture)


if __name__ == "__main__":
    main()
