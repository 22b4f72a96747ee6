"""Ctrl+C with a page open in a browser and a job running: `python tests/bench/server_exit.py [ROUNDS]`. At most 3 s.

Starts the studio as a person does, presses Generate in Chromium, waits for a preview, and sends the signal.
"""

from __future__ import annotations

import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
PORT = 17985


def main() -> None:
    """Print each round's seconds, the exit status and whatever was complained about."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    took = []
    with sync_playwright() as play, tempfile.TemporaryDirectory() as folder:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for number in range(rounds):
            how = (signal.SIGINT, signal.SIGTERM)[number % 2]
            command = [sys.executable, "-m", "webui", "--no-browser", "--port", str(PORT), "--outputs", f"{folder}/{number}"]
            studio = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
            assert studio.stdout is not None
            page = browser.new_page()
            page.goto(studio.stdout.readline().strip())
            page.locator("#steps input[type=number]").fill("150")
            page.locator("#steps input[type=number]").press("Tab")
            page.locator("#generate").click()
            page.wait_for_selector("#preview img", timeout=300_000)
            began = time.monotonic()
            studio.send_signal(how)
            _, complaints = studio.communicate(timeout=120)
            took.append(time.monotonic() - began)
            print(f"{how.name}: {took[-1]:.2f} s, status {studio.returncode}, {complaints.strip() or 'nothing said'}", flush=True)
            page.close()
        browser.close()
    print(f"median {statistics.median(took):.2f} s, longest {max(took):.2f} s")


if __name__ == "__main__":
    main()
