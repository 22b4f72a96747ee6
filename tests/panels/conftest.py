"""A real page over the fake engine, in a real headless Chromium."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.fake import FakeWorker
from webui.panels.page import build, look
from webui.server.app import create
from webui.server.serve import Server, hosts, listen
from webui.settings import Settings
from webui.studio import Studio

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")

OpenPage = Callable[..., Page]

# A busy machine takes its time; a wrong page is wrong for ever.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of the page; ended with them, since its driver keeps an event loop running in the thread."""
    if CHROMIUM is None:
        assert not os.environ.get("STEPWISE_REQUIRE_CHROMIUM"), "the gate needs Chromium: install Debian's package chromium"
        pytest.skip("no Chromium found: install it (Debian's package chromium) to run the browser tests")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def worker() -> FakeWorker:
    """Slow enough to be watched."""
    return FakeWorker(pace=0.08)


@pytest.fixture
def address(studio: Studio) -> Iterator[str]:
    """A real server over the studio, on a free port."""
    listener = listen(0)
    port = listener.getsockname()[1]
    app = create(studio, build, look(), hosts(port))
    server = Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1), studio.release)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(timeout=10)
    listener.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One person's browser: tabs of it share what it keeps."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def open_page(context: BrowserContext, address: str) -> Iterator[OpenPage]:
    """Opens the page in a new tab; at the end no tab may have written an error to its console."""
    errors: list[str] = []

    def opened(query: str = "") -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(address + query)
        page.wait_for_selector("#prompt textarea", state="attached")
        # Only now do its controls answer: the page has found out what there is to follow.
        page.wait_for_function("document.querySelector('#engine-state').textContent !== ''")
        return page

    yield opened
    assert errors == []


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The page in one tab."""
    return open_page()


@pytest.fixture
def outputs(settings: Settings) -> Path:
    """Where the pictures go."""
    return settings.outputs
