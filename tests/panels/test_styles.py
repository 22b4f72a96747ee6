"""Styles on the page: chosen, kept over a reload, saved and deleted by the owner; and what was drawn is shown."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.fake import FakeWorker
from tests.panels.conftest import OpenPage
from webui.prompts.styles import Style
from webui.settings import Settings
from webui.studio import Studio

STATUS, FINISHED = "#status-text", re.compile("^Finished")


@pytest.fixture
def studio(studio: Studio) -> Studio:
    """With two styles and a wildcard."""
    studio.words.styles.save(Style(name="Ink", prompt="ink drawing of {prompt}", negative="colour"))
    studio.words.styles.save(Style(name="Soft, warm", prompt="soft light"))
    folder = studio.settings.models.parent / "wildcards"
    folder.mkdir()
    (folder / "sky.txt").write_text("red sky\nblue sky\n")
    return studio


def choose(page: Page, name: str, box: str = "#styles") -> None:
    page.locator(f"{box} input").click()
    page.get_by_role("option", name=name, exact=True).click()
    page.locator("h1").click()


def chips(page: Page, box: str = "#styles") -> list[str]:
    return [text.strip() for text in page.locator(f"{box} .token").all_text_contents()]


def generated(page: Page) -> None:
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_have_text(FINISHED)


def test_styles_are_chosen_used_and_kept_over_a_reload(page: Page, worker: FakeWorker) -> None:
    page.locator("#prompt textarea").fill("a fox")
    choose(page, "Soft, warm")
    choose(page, "Ink")
    expect(page.locator("#tokens")).to_have_text("8 of 10 tokens")
    generated(page)
    request = worker.submitted[-1]
    assert request.styles == ("Soft, warm", "Ink") and request.prompt == "a fox"
    assert request.text == "ink drawing of a fox, soft light" and request.negative_text == "colour"
    expect(page.locator("#status-detail")).to_contain_text("ink drawing of a fox, soft light")
    page.reload()
    expect(page.locator("#styles .token")).to_have_count(2)
    assert chips(page) == ["Soft, warm", "Ink"]


def test_a_link_to_settings_brings_its_styles(page: Page, open_page: OpenPage) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    choose(page, "Soft, warm")
    page.locator("#recipe-link").click()
    expect(page.locator("#recipe-link")).to_have_text("Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    other = page.context.browser.new_context().new_page()  # type: ignore[union-attr]
    other.goto(link)
    expect(other.locator("#styles .token")).to_have_text("Soft, warm")
    other.context.close()


def test_what_is_drawn_is_shown_and_counted_as_a_sample(page: Page, worker: FakeWorker) -> None:
    page.locator("#prompt textarea").fill("a {big|small} fox, __sky__")
    expect(page.locator("#tokens")).to_have_text(re.compile(r"^about \d of 10 tokens"))
    generated(page)
    assert worker.submitted[-1].prompt == "a {big|small} fox, __sky__"
    expect(page.locator("#status-detail")).to_contain_text(worker.submitted[-1].text)
    expect(page.locator("#preview img")).to_have_attribute("alt", re.compile(re.escape(worker.submitted[-1].text)))
    page.locator("#prompt textarea").fill("a __skies__")
    expect(page.locator("#tokens")).to_contain_text("There is no wildcard called 'skies'. Did you mean: sky?")
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_contain_text("Did you mean: sky?")


def test_the_owner_saves_and_deletes(page: Page, studio: Studio) -> None:
    page.locator("#prompt textarea").fill("etching of {prompt}")
    page.locator("#styles-edit").click()
    keeper = page.locator("#styles-keeper")
    expect(keeper.locator("textarea[name=prompt]")).to_have_value("etching of {prompt}")
    keeper.get_by_role("button", name="Save").click()
    assert keeper.locator("[name=name]").evaluate("box => box.validity.valueMissing"), "nothing is sent without a name"
    keeper.locator("[name=name]").fill("Etching")
    keeper.get_by_role("button", name="Save").click()
    expect(keeper.get_by_role("status")).to_contain_text("Saved")
    assert studio.words.styles.all()["Etching"].prompt == "etching of {prompt}"
    keeper.locator("select").select_option("Ink")
    expect(keeper.locator("textarea[name=negative]")).to_have_value("colour")
    keeper.get_by_role("button", name="Delete").click()
    expect(keeper.get_by_role("status")).to_contain_text("Ink is deleted.")
    assert list(studio.words.styles.all()) == ["Soft, warm", "Etching"]
    page.keyboard.press("Escape")
    expect(keeper).to_be_hidden()
    page.locator("#styles input").click()
    expect(page.get_by_role("option")).to_contain_text(["Soft, warm", "Etching"])


def test_escape_closes_the_styles_and_lets_the_picture_be(page: Page, studio: Studio) -> None:
    page.locator("#steps input[type=number]").fill("150")
    page.locator("#steps input[type=number]").press("Tab")
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_contain_text("of 150")
    keeper = page.locator("#styles-keeper")
    page.locator("#styles-edit").click()
    expect(keeper.locator("select")).to_be_focused()
    page.keyboard.press("Escape")
    expect(keeper).to_be_hidden()
    page.wait_for_timeout(1000)
    assert not studio.latest()[0].done
    page.keyboard.press("Escape")
    expect(page.locator(STATUS)).to_contain_text("Stopped")


def test_escape_on_another_tab_does_not_mean_the_styles(page: Page) -> None:
    page.locator("#styles-edit").click()
    expect(page.locator("#styles-keeper select")).to_be_focused()
    page.get_by_role("tab", name="Compare").click()
    page.keyboard.press("Escape")
    expect(page.locator("#styles-keeper")).not_to_have_attribute("hidden", "")


def test_styles_are_gone_through_with_the_arrow_keys(page: Page) -> None:
    page.locator("#styles-edit").click()
    which = page.locator("#styles-keeper select")
    expect(which).to_be_focused()
    for name in ("Ink", "Soft, warm"):
        page.keyboard.press("ArrowDown")
        expect(which).to_have_value(name)
        expect(which).to_be_focused()


def test_a_style_that_is_deleted_is_chosen_no_longer(page: Page) -> None:
    choose(page, "Ink")
    choose(page, "Soft, warm")
    page.locator("#styles-edit").click()
    page.locator("#styles-keeper select").select_option("Ink")
    page.locator("#styles-keeper").get_by_role("button", name="Delete").click()
    expect(page.locator("#styles .token")).to_have_count(1)
    expect(page.locator("#styles .token")).to_have_text("Soft, warm")


def test_a_damaged_file_leaves_the_page_as_it_is_and_says_so_where_styles_are_kept(
    settings: Settings, studio: Studio, context: BrowserContext, address: str
) -> None:
    (settings.models.parent / "styles.csv").write_bytes(b"\xff\xff")
    page = context.new_page()  # its console says that the studio refused something
    page.goto(address)
    page.wait_for_function("document.querySelector('#engine-state')?.textContent")
    generated(page)
    page.locator("#styles-edit").click()
    expect(page.locator("#styles-keeper").get_by_role("status")).to_contain_text("styles.csv is not UTF-8")


def test_compare_hears_of_styles_at_once_and_nobody_sees_an_empty_choice(page: Page, studio: Studio) -> None:
    def make(name: str) -> None:
        keeper = page.locator("#styles-keeper")
        keeper.locator("[name=name]").fill(name)
        keeper.locator("textarea[name=prompt]").fill("soft")
        keeper.get_by_role("button", name="Save").click()
        expect(keeper.get_by_role("status")).to_contain_text("Saved")

    for name in ("Ink", "Soft, warm"):
        studio.words.styles.delete(name)
    page.reload()
    expect(page.locator("#styles")).to_be_hidden()
    expect(page.locator("#styles-edit")).to_have_text("Make a style", use_inner_text=True)
    page.locator("#styles-edit").click()
    make("First")  # before Compare was ever opened
    expect(page.locator("#styles")).to_be_visible()
    expect(page.locator("#styles-edit")).to_have_text("Edit styles", use_inner_text=True)
    page.get_by_role("tab", name="Compare").click()
    choose(page, "First", "#compare-styles")
    page.get_by_role("tab", name="Create").click()
    make("Second")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Compare").click()
    choose(page, "Second", "#compare-styles")
    assert chips(page, "#compare-styles") == ["First", "Second"]
    for name in ("First", "Second"):
        studio.words.styles.delete(name)
    page.reload()
    expect(page.locator("#compare-styles")).to_be_hidden()


def test_settings_with_styles_go_to_compare_and_those_without_take_them_away(page: Page, studio: Studio) -> None:
    choose(page, "Ink")
    page.locator("#to-compare").click()
    expect(page.locator("#compare-styles .token")).to_have_text("Ink")
    page.get_by_role("tab", name="Create").click()
    page.locator("#styles .token .token-remove").click()
    generated(page)
    page.locator("#status-file").get_by_role("button", name="Compare").click()
    expect(page.locator("#compare-styles .token")).to_have_count(0)
