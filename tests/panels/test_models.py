"""The Models tab in a real browser: what there is, what it is called, into Create with it, and one more from a hub."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator

import pytest
import torch
from diffusers import FluxTransformer2DModel
from playwright.sync_api import Browser, Page, expect
from safetensors.torch import save_file

from tests.denoisers import write_denoiser
from tests.downloads.hub import CROSS, Hub, point, serving, weights
from tests.fake import write_model
from tests.families import FLUX
from tests.panels.conftest import OpenPage
from webui.settings import Settings
from webui.studio import Studio

UNNAMED = """() => [...document.querySelectorAll("#models :is(button, input, progress)")].filter(e => e.offsetParent)
.filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim())).map(e => e.outerHTML.slice(0, 200))"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Beside the fake model: a second one, LoRAs for it and for others, and what cannot be used."""
    folder = settings.models
    other = write_model(folder / "other")
    card = (other / "card.json").read_text().replace('"Fake"', '"Other"').replace('"steps": 6', '"steps": 9')
    (other / "card.json").write_text(card)
    (folder / "loras").mkdir()
    save_file({CROSS: torch.zeros(4, 768)}, folder / "loras" / "ink.safetensors", {"modelspec.trigger_phrase": "<b>in ink</b> & wash"})
    save_file({CROSS: torch.zeros(4, 2048)}, folder / "loras" / "grain.safetensors")
    save_file({"emb_params": torch.zeros(2, 768)}, folder / "ugly.safetensors")
    (folder / "<img src=x>.ckpt").write_bytes(b"PK\x03\x04")
    return settings


def _parts() -> dict[str, bytes]:
    """A repository of FLUX.1, as far as it is looked at before it is loaded."""
    index = {
        "_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }  # fmt: skip
    return {
        "model_index.json": json.dumps(index).encode(), "transformer/config.json": b"{}", "tokenizer/vocab.json": b"{}",
        "transformer/diffusion_pytorch_model.safetensors": weights(key="a"), "vae/config.json": b"{}",
        "vae/diffusion_pytorch_model.safetensors": weights(key="a"),
    }  # fmt: skip


PARTS = _parts()


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


@pytest.fixture
def models(page: Page) -> Page:
    """The tab."""
    tab(page, "Models")
    expect(page.locator("#models .card")).to_have_count(6)
    return page


def test_every_file_is_a_card_and_says_what_it_is_or_what_is_wrong(models: Page) -> None:
    expect(models.get_by_role("article", name="Fake")).to_contain_text("Stable Diffusion 1.x")
    expect(models.get_by_role("article", name="ink")).to_contain_text("LoRA for Stable Diffusion 1.x")
    expect(models.get_by_role("article", name="ugly")).to_contain_text("Embedding for Stable Diffusion 1.x")
    broken = models.get_by_role("article", name="<img src=x>.ckpt")
    expect(broken).to_contain_text("is a pickle, which can run code")
    expect(broken.get_by_role("button")).to_have_count(0)
    assert models.locator("img[src=x]").count() == 0
    expect(models.get_by_role("article", name="ink").locator(".hash")).to_have_text(re.compile("^[0-9a-f]{12}$"))
    models.get_by_label("Search models").fill("ink 1.x")
    expect(models.locator("#models .card")).to_have_count(1)
    models.get_by_label("Search models").fill("")
    models.get_by_label("LoRAs 2").check()
    expect(models.locator("#models .card")).to_have_count(2)
    models.evaluate(
        "document.addEventListener('copy', () => { window.copied = document.activeElement.value; });"
        "Object.defineProperty(window, 'isSecureContext', {value: false})"
    )
    models.get_by_role("button", name="in ink & wash").click()
    expect(models.get_by_role("button", name="Copied")).to_be_visible()
    assert models.evaluate("window.copied") == "in ink & wash"


def test_use_puts_it_into_create(models: Page) -> None:
    models.get_by_role("article", name="grain").get_by_role("button", name="Use").click()
    expect(models.locator("#models-said")).to_have_text(
        "grain is for Stable Diffusion XL models, and Fake is Stable Diffusion 1.x. Choose a model of its family first."
    )
    models.get_by_role("article", name="ink").get_by_role("button", name="Use").click()
    expect(models.locator("#prompt textarea")).to_have_value("a red sailboat on a calm sea at sunset <lora:ink:0.8>")
    tab(models, "Models")
    models.get_by_role("article", name="ugly").get_by_role("button", name="Use").click()
    expect(models.locator("#prompt textarea")).to_have_value("a red sailboat on a calm sea at sunset <lora:ink:0.8>, ugly")
    tab(models, "Models")
    models.get_by_role("article", name="Other").get_by_role("button", name="Use").click()
    expect(models.locator("#model input")).to_have_value("Other")
    expect(models.locator("#steps input[type=number]")).to_have_value("9")
    models.reload()
    expect(models.locator("#model input")).to_have_value("Other")


def test_a_model_that_is_dropped_in_can_be_chosen_without_a_reload(models: Page, settings: Settings) -> None:
    whole = write_model(settings.models.with_name("new"))
    (whole / "card.json").write_text((whole / "card.json").read_text().replace('"Fake"', '"Dropped in"'))
    shutil.move(whole, settings.models / "new")
    expect(models.get_by_role("article", name="Dropped in")).to_be_visible()
    for name, box in (("Compare", "#compare-model input"), ("Create", "#model input")):
        tab(models, name)
        expect(models.locator(box)).to_have_value("Fake")
        models.locator(box).click()
        models.get_by_role("option", name="Dropped in").click()
        expect(models.locator(box)).to_have_value("Dropped in")
    models.locator("#generate").click()
    expect(models.locator("#status-text")).to_have_text(re.compile("^Finished"))
    for name, box in (("Compare", "#compare-model input"), ("Create", "#model input")):
        tab(models, name)
        models.locator(box).click()
        models.get_by_role("option", name="Fake").click()
        expect(models.locator(box)).to_have_value("Fake")
    shutil.rmtree(settings.models / "new")
    tab(models, "Models")
    expect(models.get_by_role("article", name="Dropped in")).to_have_count(0)
    models.get_by_role("button", name="Refresh").click()
    expect(models.locator("#models-said")).to_have_text("Nothing has changed.")


def test_on_a_phone_everything_fits_and_has_a_name(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{address}#models")
    page.get_by_role("button", name="Add a model").click()
    expect(page.get_by_label("Hugging Face id or address")).to_be_focused()
    expect(page.locator("#models-add .starters button").first).to_be_visible()
    assert page.evaluate(UNNAMED) == [] and page.evaluate("document.documentElement.scrollWidth") <= 390
    page.keyboard.press("Escape")
    expect(page.locator("#models-add")).to_be_hidden()
    context.close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a LoRA."""
    hub = Hub()
    with serving(hub) as address:
        point(monkeypatch, address)
        hub.repository("ann/oil", {"oil.safetensors": weights(3_000_000)}, licence="cc0-1.0")
        yield hub


def test_a_model_is_added_from_the_hub_paused_and_gone_on_with(models: Page, hub: Hub, settings: Settings) -> None:
    models.get_by_role("button", name="Add a model").click()
    models.get_by_label("Hugging Face id or address").fill("ann/oil")
    models.get_by_role("button", name="Look").click()
    offer = models.locator("#models-add .offer")
    expect(offer).to_contain_text("6.0\u00a0MB · licence: cc0-1.0")
    assert not list(settings.models.rglob("*oil*"))
    hub.hold.clear()
    offer.get_by_role("button", name="Download").click()
    row = models.locator("#models-downloads li")
    expect(row).to_contain_text("of 6.0\u00a0MB")
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("paused")
    hub.hold.set()
    row.get_by_role("button", name="Resume").click()
    expect(row).to_contain_text("done")
    expect(models.get_by_role("article", name="oil", exact=True)).to_contain_text("cc0-1.0")
    row.get_by_role("button", name="Close").click()
    expect(row).to_have_count(0)


def test_what_a_file_lacks_is_fetched_from_its_card(models: Page, hub: Hub, settings: Settings) -> None:
    hub.repository("black-forest-labs/FLUX.1-schnell", PARTS)
    write_denoiser(settings.models / "flux dev.safetensors", FluxTransformer2DModel(**FLUX, guidance_embeds=True))
    card = models.get_by_role("article", name="flux dev")
    expect(card).to_contain_text("about 9.9 GB, from black-forest-labs/FLUX.1-schnell (licence Apache-2.0, after you have agreed")
    card.get_by_role("button", name="Fetch what it needs").click()
    offer = models.locator("#models-add .offer")
    expect(offer).to_contain_text("black-forest-labs/FLUX.1-schnell, without its denoiser")
    expect(offer).to_contain_text("licence: apache-2.0")
    assert not list(settings.models.rglob("*schnell*"))
    offer.get_by_role("button", name="Download").click()
    expect(models.get_by_role("article", name="FLUX.1-schnell parts")).to_contain_text("Parts for FLUX.1")
    expect(card).to_contain_text("Its other parts come from FLUX.1-schnell parts.")
    expect(card.get_by_role("button", name="Fetch what it needs")).to_have_count(0)
    expect(card.get_by_role("button", name="Use")).to_be_visible()


def test_a_guest_looks_and_changes_nothing(open_page: OpenPage, studio: Studio) -> None:
    page = open_page()
    me = {"id": "x", "name": "Ann", "colour": "teal", "role": "viewer", "may": "may look", "shade": "#16877c", "colours": {}}
    page.route("**/api/me", lambda route: route.fulfill(json=me))
    page.reload()
    expect(page.locator("#me")).to_contain_text("looking")
    tab(page, "Models")
    expect(page.get_by_role("article", name="ink")).to_be_visible()
    expect(page.get_by_role("button", name="Refresh")).to_have_count(0)
    expect(page.get_by_role("button", name="Add a model")).to_have_count(0)
