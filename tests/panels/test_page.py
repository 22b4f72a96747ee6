"""The Create tab where things go wrong, or where there is more than one of them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.fake import CARD, FakeWorker, write_model
from tests.panels.conftest import OpenPage
from webui.settings import Settings
from webui.studio import Studio

STATUS, PICTURE, STRIP, ANNOUNCED = "#status-text", "#preview figure img", "#filmstrip .strip", "#announcement"
FINISHED = re.compile("^Finished")
HOSTILE = "a fox <img src=x onerror=alert(1)> ${1+1} 'quoted' \"twice\""


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> FakeWorker:
    """Slow enough to be watched; with `False` as its parameter, not ready yet."""
    return FakeWorker(pace=0.08, ready=getattr(request, "param", True))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Two models; the first by name is the one of a fresh page."""
    other = write_model(settings.models / "other")
    card = json.loads(CARD) | {"title": "Other <b>model</b>", "width": 384, "steps": 9, "sampler": "Euler a", "ideas": [HOSTILE]}
    (other / "card.json").write_text(json.dumps(card))
    (other / "text_encoder" / "config.json").write_text('{"max_position_embeddings": 7}')
    return settings


def number(page: Page, control: str, value: object) -> None:
    box = page.locator(f"#{control} input[type=number]")
    box.fill(str(value))
    box.press("Tab")


def choose(page: Page, control: str, option: str) -> None:
    page.locator(f"#{control} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def running(page: Page, steps: int = 150) -> None:
    number(page, "steps", steps)
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_contain_text(f"of {steps}")


@pytest.mark.parametrize(
    ("control", "value", "sentence"),
    [
        ("width", 5000, "Width must be a whole number from 64 to 2048."),
        ("seed", -1, "Seed must be a whole number from 0 to 4294967295."),
        ("height", 64.5, "Height must be a whole number from 64 to 2048."),
    ],
)
def test_a_value_out_of_bounds_is_our_sentence_at_its_control(page: Page, control: str, value: float, sentence: str) -> None:
    number(page, control, value)
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_have_text(sentence)
    expect(page.locator(ANNOUNCED)).to_have_text(sentence)
    expect(page.locator(f"#{control} input")).to_have_attribute("aria-invalid", "true")
    number(page, control, 128)
    expect(page.locator("[aria-invalid]")).to_have_count(0)
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_have_text(FINISHED)


def test_a_refusal_stays_while_another_picture_is_made(page: Page) -> None:
    running(page)
    number(page, "width", 65)
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_contain_text("Width must be")
    frames = page.locator(f"{STRIP} img").count()
    expect(page.locator(f"{STRIP} img").nth(frames + 3)).to_be_attached()
    expect(page.locator(STATUS)).to_contain_text("Width must be")
    number(page, "width", 64)
    expect(page.locator(STATUS)).to_contain_text("of 150")


def test_a_studio_that_does_not_answer_costs_nothing_that_was_typed(context: BrowserContext, address: str, studio: Studio) -> None:
    page = context.new_page()  # the browser itself writes refused connections to the console
    page.goto(address)
    expect(page.locator("#engine-state")).to_contain_text("Ready")
    page.locator("#prompt textarea").fill("kept words")
    page.route("**/*", lambda route: route.abort())
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_contain_text("The studio does not answer")
    expect(page.get_by_test_id("toast-body")).to_be_hidden()
    with page.expect_event("load"):  # Gradio loads the page again once there is an answer
        page.unroute("**/*")
    expect(page.locator("#engine-state")).to_contain_text("Ready")
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_have_text(FINISHED)
    assert studio.latest()[0].request.prompt == "kept words"


@pytest.mark.parametrize("worker", [False], indirect=True)
def test_a_page_works_before_the_engine_does(page: Page, worker: FakeWorker) -> None:
    expect(page.locator("#engine-state")).to_have_text("The engine is starting.")
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_have_text("The engine is starting.")
    worker.come_up()
    expect(page.locator(STATUS)).to_have_text(FINISHED)


def test_another_model_brings_its_own_defaults_and_ideas(page: Page, worker: FakeWorker) -> None:
    number(page, "guidance", 9)
    choose(page, "model", "Other <b>model</b>")
    expect(page.locator("#steps input[type=number]")).to_have_value("9")
    expect(page.locator("#width input")).to_have_value("384")
    expect(page.locator("#sampler input")).to_have_value("Euler a")
    expect(page.locator("#guidance input[type=number]")).to_have_value("9")
    expect(page.locator("#tokens")).to_contain_text("windows of 5")
    expect(page.locator("#ideas button:visible")).to_have_count(1)
    page.locator("#ideas button:visible").click()
    expect(page.locator("#prompt textarea")).to_have_value(HOSTILE)
    page.get_by_role("button", name="Wide").click()
    expect(page.locator("#width input")).to_have_value("480")
    page.reload()
    expect(page.locator("#model input")).to_have_value("Other <b>model</b>")
    expect(page.locator("#ideas button:visible")).to_have_text(HOSTILE)
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_have_text(FINISHED)
    assert worker.submitted[0].model == "other" and worker.submitted[0].prompt == HOSTILE
    assert page.locator("img[src=x]").count() == 0


def test_escape_closes_a_list_and_only_then_stops(page: Page, studio: Studio) -> None:
    running(page)
    page.locator("#sampler input").click()
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("option", name="Heun")).to_have_count(0)
    assert not studio.latest()[0].done
    page.keyboard.press("Escape")
    expect(page.locator(STATUS)).to_contain_text("Stopped")


def test_stop_right_after_generate_stops_that_picture(page: Page, studio: Studio) -> None:
    number(page, "steps", 150)
    page.evaluate("['#generate', '#stop'].forEach((button) => document.querySelector(button).click())")
    expect(page.locator(STATUS)).to_contain_text("Stopped")
    assert studio.latest()[0].last.kind == "cancelled"


def test_a_tab_that_shows_nothing_of_another_persons_job_does_not_stop_it(open_page: OpenPage, studio: Studio) -> None:
    first, second = open_page(), open_page()
    running(first)
    theirs = studio.latest()[0]
    running(second, 140)
    second.locator("#stop").click()
    expect(second.locator(STATUS)).to_contain_text("Stopped")
    assert not theirs.done
    first.locator("#stop").click()
    expect(first.locator(STATUS)).to_contain_text("Stopped")


def test_no_moment_without_a_picture_between_two_frames(page: Page) -> None:
    def late(route: Route) -> None:
        time.sleep(0.3)
        route.continue_()

    page.route("**/pictures/**", late)
    running(page, 20)
    expect(page.locator(PICTURE)).to_have_count(1)
    blank = page.evaluate(
        """() => new Promise((done) => { let blank = 0; const look = () => {
        const picture = document.querySelector('#preview figure img');
        if (!picture.complete || !picture.naturalWidth) blank += 1;
        const ended = document.querySelector('#status-text').textContent.startsWith('Finished') && picture.src.includes('/pictures/');
        if (ended && picture.naturalWidth) done(blank); else requestAnimationFrame(look); }; look(); })"""
    )
    assert blank == 0


def test_an_earlier_step_stays_in_sight_while_later_ones_are_made(page: Page) -> None:
    running(page, 60)
    expect(page.locator(f"{STRIP} img").nth(5)).to_be_attached()
    page.locator(f"{STRIP} button").nth(1).click()
    second = page.locator(f"{STRIP} img").nth(1).get_attribute("src")
    expect(page.locator(PICTURE)).to_have_attribute("src", second or "")
    expect(page.locator(f"{STRIP} img").nth(20)).to_be_attached()
    expect(page.locator(PICTURE)).to_have_attribute("src", second or "")
    expect(page.locator("#preview figcaption")).to_have_text("step 2 of 60")
    page.locator(STRIP).press("End")
    expect(page.locator("#preview figcaption")).to_be_hidden()
    page.locator(STRIP).press("Home")
    expect(page.locator(STRIP)).to_have_attribute("aria-activedescendant", "frame-1")


def test_a_screen_reader_hears_a_few_sentences_not_every_step(page: Page) -> None:
    page.evaluate(
        """() => { window.heard = []; const line = document.querySelector('#announcement');
        new MutationObserver(() => heard.push(line.textContent)).observe(line, {childList: true, characterData: true, subtree: true}); }"""
    )
    running(page, 40)
    expect(page.locator(STATUS)).to_have_text(FINISHED)
    heard = page.evaluate("heard")
    assert heard[-1].startswith("Finished") and "50 percent" in heard and len(heard) <= 9
    assert page.locator("[aria-live]").filter(has=page.locator(STATUS)).count() == 0


def test_the_finished_picture_is_named_and_can_be_downloaded(page: Page, outputs: Path) -> None:
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_have_text(FINISHED)
    picture = next(outputs.glob("*/*.png"))
    expect(page.locator("#status-file")).to_contain_text(f"outputs/{picture.parent.name}/{picture.name}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == picture.name
    assert Path(download.value.path()).read_bytes() == picture.read_bytes()


@pytest.mark.parametrize(("query", "scheme"), [("", "light"), ("", "dark"), ("?__theme=dark", "light")])
def test_what_surrounds_the_picture_is_grey_in_light_and_dark(
    open_page: OpenPage, context: BrowserContext, query: str, scheme: str
) -> None:
    page = open_page()
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(page.url + query)
    expect(page.locator("#engine-state")).to_contain_text("Ready")
    shades = page.evaluate("['#preview .stage', 'body'].map(place => getComputedStyle(document.querySelector(place)).backgroundColor)")
    for shade in shades:
        red, green, blue = (int(part) for part in re.findall(r"\d+", shade)[:3])
        assert red == green == blue
        assert (red < 60) == (scheme == "dark" or bool(query))


def test_several_pictures_fit_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    number(page, "count", 4)
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_have_text("4 pictures finished.")
    boxes = [box for figure in page.locator("#preview figure").all() if (box := figure.bounding_box())]
    assert len({round(box["width"]) for box in boxes}) == 1 and all(0 <= box["x"] <= 390 - box["width"] for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_everything_is_reached_with_the_tab_key_and_shows_that_it_has_the_focus(page: Page) -> None:
    page.locator("#prompt textarea").focus()
    fields = ("prompt", "negative", "steps", "guidance", "seed", "seed-mode", "sampler", "schedule", "width", "height", "model", "count")
    wanted = {*fields, "generate", "stop", "shape-wide"}
    reached, ringless = set(), set()
    for _ in range(60):
        name, ringed = page.evaluate(
            """wanted => {
            const focused = document.activeElement, ring = (one) => one && getComputedStyle(one).outlineStyle !== 'none';
            const block = focused.closest(wanted.map((id) => '#' + id).join(','));
            return [block ? block.id : '', ring(focused) || ring(focused.closest('.wrap-inner')) || ring(focused.closest('label'))]; }""",
            sorted(wanted),
        )
        reached.add(name)
        if not ringed:
            ringless.add(name)
        page.keyboard.press("Tab")
    assert wanted <= reached
    assert ringless <= {""}


def test_a_stream_that_there_is_no_room_for_says_so_and_goes_on_by_itself(context: BrowserContext, address: str) -> None:
    page = context.new_page()  # its console says that the stream was refused
    page.goto(address)
    page.wait_for_function("document.querySelector('#engine-state')?.textContent")
    full = {"error": {"code": "too_many", "message": "You have 64 connections to the studio open."}}
    page.route("**/api/groups/*/events", lambda route: route.fulfill(status=429, json=full))
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_have_text(f"{full['error']['message']} It goes on by itself as soon as there is room.")
    page.unroute("**/api/groups/*/events")
    expect(page.locator(STATUS)).to_have_text(FINISHED)
