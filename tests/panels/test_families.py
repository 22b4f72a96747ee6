"""Models of two families in a real browser: each shows what it has, and nothing else."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.fake import FakeWorker, give_vae, write_few_steps, write_loras, write_vaes
from tests.panels.conftest import OpenPage
from webui.settings import Settings
from webui.studio import Studio

FINISHED = re.compile("^Finished")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Beside the model of the first family lies one of another, and LoRAs and VAEs for the first."""
    give_vae(settings.models / "fake")
    write_vaes(settings.models / "vae", 4, "anime", "sharp")
    write_vaes(settings.models / "vae", 16, "for another family")
    write_few_steps(settings.models / "few")
    write_loras(settings.models / "loras", 768, "ink", "paper cut")
    write_loras(settings.models / "loras", 2048, "for another family")
    return settings


def choose(page: Page, title: str, prefix: str = "") -> None:
    page.locator(f"#{prefix}model input").click()
    page.get_by_role("option", name=title, exact=True).click()
    expect(page.locator("li[role=option]")).to_have_count(0)


def offered(page: Page, control: str) -> list[str]:
    """What a list offers."""
    options = page.locator("li[role=option]")
    expect(options).to_have_count(0)  # the list before has closed
    page.locator(f"#{control} input").click()
    options.first.wait_for()
    names = [re.sub(r"^\W*", "", text).strip() for text in options.all_text_contents()]
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    return names


@pytest.mark.parametrize("prefix", ["", "compare-"])
def test_what_a_family_lacks_is_not_shown_and_comes_back_with_the_other(page: Page, prefix: str) -> None:
    if prefix:
        page.get_by_role("tab", name="Compare").click()
    negative, guidance, width = (page.locator(f"#{prefix}{name}") for name in ("negative", "guidance", "width"))
    negative.locator("textarea").fill("blurry")
    guidance.locator("input[type=number]").fill("9")
    guidance.locator("input[type=number]").press("Tab")
    width.locator("input").fill("264")
    width.locator("input").press("Tab")
    choose(page, "Few steps", prefix)
    expect(negative).to_be_hidden()
    expect(guidance).to_be_hidden()
    expect(width.locator("input")).to_have_attribute("step", "16")
    expect(width.locator("input")).to_have_value("256")
    expect(page.locator(f"#{prefix}sampler input")).to_have_value("Euler")
    assert offered(page, f"{prefix}sampler") == ["Euler", "LCM", "UniPC"]
    assert offered(page, f"{prefix}schedule") == ["Automatic", "Karras", "Exponential", "Beta"]
    choose(page, "Fake", prefix)
    expect(negative.locator("textarea")).to_have_value("blurry")
    expect(guidance.locator("input[type=number]")).to_have_value("9")
    expect(width.locator("input")).to_have_attribute("step", "8")
    expect(page.locator(f"#{prefix}sampler input")).to_have_value("DPM++ 2M")
    assert len(offered(page, f"{prefix}sampler")) == 19


def test_what_is_out_of_sight_is_not_asked_for(page: Page, worker: FakeWorker) -> None:
    page.locator("#negative textarea").fill("blurry")
    choose(page, "Few steps")
    expect(page.locator("#negative")).to_be_hidden()
    page.locator("#generate").click()
    expect(page.locator("#status-text")).to_have_text(FINISHED, timeout=60_000)
    (asked,) = worker.submitted
    assert (asked.model, asked.negative, asked.guidance, asked.sampler, asked.steps) == ("few", "", 1.0, "Euler", 4)


def test_after_a_reload_the_page_shows_what_the_chosen_model_has(page: Page) -> None:
    choose(page, "Few steps")
    expect(page.locator("#negative")).to_be_hidden()
    page.reload()
    expect(page.locator("#model input")).to_have_value("Few steps")
    expect(page.locator("#negative")).to_be_hidden()
    expect(page.locator("#guidance")).to_be_hidden()
    assert offered(page, "sampler") == ["Euler", "LCM", "UniPC"]


def test_where_models_are_compared_everything_is_offered_that_one_of_them_has(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    choose(page, "Few steps", "compare-")
    expect(page.locator("#compare-negative")).to_be_hidden()
    page.locator("#compare-columns input").click()
    page.get_by_role("option", name="Model", exact=True).click()
    expect(page.locator("#compare-negative")).to_be_visible()
    assert len(offered(page, "compare-sampler")) == 19
    page.locator("#compare-columns input").click()
    page.get_by_role("option", name="Sampler", exact=True).click()
    expect(page.locator("#compare-columns-values .token")).to_have_count(3)
    expect(page.locator("#compare-negative")).to_be_hidden()


def test_a_negative_prompt_without_effect_looks_like_it(page: Page) -> None:
    number = page.locator("#guidance input[type=number]")
    expect(page.locator("#negative")).not_to_have_class(re.compile("unheard"))
    number.fill("1")
    number.press("Tab")
    expect(page.locator("#negative")).to_have_class(re.compile("unheard"))


def test_loras_are_a_list_and_words_of_the_prompt_which_stay_the_same(page: Page, worker: FakeWorker) -> None:
    prompt, rows = page.locator("#prompt textarea"), page.locator("#loras li")
    prompt.fill("a boat")
    expect(page.locator("#loras option")).to_have_text(["ink", "paper cut"])
    page.get_by_role("combobox", name="LoRA to add").select_option("paper cut")
    page.get_by_role("button", name="Add LoRA").click()
    expect(prompt).to_have_value("a boat <lora:paper cut:0.8>")
    slider = page.get_by_role("slider", name="Weight of paper cut")
    expect(slider).to_be_focused()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(prompt).to_have_value("a boat <lora:paper cut:0.95>")
    # And the other way round.
    prompt.fill("a boat <lora:paper cut:-1.5>, <lora:ink:0.3:0.5> <lora:gone:7>")
    expect(rows).to_have_count(3)
    expect(slider).to_have_value("-1.5")
    expect(page.locator("#loras output")).to_have_text(["-1.5", "0.5", "7"])
    expect(rows.nth(2)).to_have_class("missing")
    page.get_by_role("slider", name="Weight of ink").fill("1")
    expect(prompt).to_have_value("a boat <lora:paper cut:-1.5>, <lora:ink:0.3:1> <lora:gone:7>")
    page.get_by_role("button", name="Remove gone").click()
    page.get_by_role("button", name="Remove paper cut").press("Enter")
    expect(prompt).to_have_value("a boat, <lora:ink:0.3:1>")
    expect(page.get_by_role("button", name="Remove ink")).to_be_focused()
    page.locator("#generate").click()
    expect(page.locator("#status-text")).to_have_text(FINISHED, timeout=60_000)
    assert worker.submitted[0].prompt == "a boat, <lora:ink:0.3:1>"
    choose(page, "Few steps")
    expect(rows.first).to_have_class("missing")


def test_there_is_no_list_of_loras_where_there_is_none(page: Page, studio: Studio) -> None:
    choose(page, "Few steps")
    expect(page.locator("#loras")).to_be_hidden()
    assert list(studio.loras("few")) == [] and list(studio.loras("fake")) == ["ink", "paper cut"]


def test_the_list_survives_a_reload(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#prompt textarea").fill("a boat <lora:ink:0.3>")
    expect(page.locator("#loras output")).to_have_text("0.3")
    page.reload()
    expect(page.locator("#loras output")).to_have_text("0.3")


def pick(page: Page, title: str) -> None:
    page.locator("h1").click()  # a list that has the focus does not open again
    page.locator("#vae input").click()
    page.get_by_role("option", name=title, exact=True).click()
    expect(page.locator("li[role=option]")).to_have_count(0)


def test_a_vae_is_chosen_used_kept_and_gone_with_a_model_that_it_does_not_fit(page: Page, worker: FakeWorker) -> None:
    vae = page.locator("#vae input")
    expect(vae).to_have_value("Automatic")
    assert offered(page, "vae") == ["Automatic", "anime", "sharp"]
    pick(page, "sharp")
    page.locator("#generate").click()
    expect(page.locator("#status-text")).to_have_text(FINISHED)
    assert worker.submitted[-1].vae == "vae/sharp.safetensors"
    expect(page.locator("#status-detail")).to_contain_text("VAE sharp.safetensors")
    page.reload()
    expect(vae).to_have_value("sharp")
    page.locator("#to-compare").click()
    expect(page.locator("#compare-vae input")).to_have_value("sharp")
    page.get_by_role("tab", name="Create").click()
    choose(page, "Few steps")
    expect(page.locator("#vae")).to_be_hidden()
    with page.expect_response(re.compile("/gradio_api/run/")):
        page.locator("#generate").click()
    expect(page.locator("#status-text")).to_have_text(FINISHED)
    last = worker.submitted[-1]
    assert last.model == "few" and last.vae is None
    choose(page, "Fake")
    expect(vae).to_have_value("Automatic")


def test_a_vae_that_is_dropped_in_can_be_chosen_and_one_that_goes_is_chosen_no_longer(
    page: Page, studio: Studio, settings: Settings
) -> None:
    pick(page, "sharp")
    (settings.models / "vae" / "sharp.safetensors").unlink()
    write_vaes(settings.models / "vae", 4, "new one")
    studio.stock.refresh()
    expect(page.locator("#vae input")).to_have_value("Automatic")
    assert offered(page, "vae") == ["Automatic", "anime", "new one"]
