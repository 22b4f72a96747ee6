"""The Create tab in a real browser: typed, watched, stopped, reloaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.fake import FakeWorker
from tests.panels.conftest import OpenPage
from webui.request import Request
from webui.studio import Studio

STATUS, PICTURE, STRIP = "#status-text", "#preview figure img", "#filmstrip .strip"
FINISHED = re.compile("^Finished")


def steps(page: Page, number: int) -> None:
    box = page.locator("#steps input[type=number]")
    box.fill(str(number))
    box.press("Tab")


def generate(page: Page) -> None:
    page.locator("#generate").click()


def finished(page: Page) -> None:
    expect(page.locator(STATUS)).to_have_text(FINISHED, timeout=60_000)


def test_a_prompt_becomes_a_picture_on_disk_and_every_frame_is_seen_on_the_way(page: Page, outputs: Path, worker: FakeWorker) -> None:
    page.locator("#prompt textarea").fill("a green fish")
    steps(page, 12)
    generate(page)
    picture = page.locator(PICTURE)
    seen = set()
    while not re.match("Finished", page.locator(STATUS).text_content() or ""):
        if picture.count():
            seen.add(picture.first.get_attribute("src"))
    assert len(seen) >= 4, "the preview changes while the picture is made"
    expect(picture).to_have_attribute("src", re.compile(r"^/pictures/.+a-green-fish\.png$"))
    assert len(list(outputs.glob("*/*-a-green-fish.png"))) == 1
    assert worker.submitted[0].prompt == "a green fish" and worker.submitted[0].steps == 12
    expect(page.locator(f"{STRIP} img")).to_have_count(12)
    assert picture.evaluate("picture => picture.naturalWidth") == 256


def test_what_a_first_step_waits_for_is_said(page: Page) -> None:
    page.locator("#prompt textarea").fill("compile it")
    generate(page)
    expect(page.locator(STATUS)).to_have_text("Compiling the model, once.")
    finished(page)


def test_the_filmstrip_is_scrubbed_afterwards(page: Page) -> None:
    generate(page)
    finished(page)
    final = page.locator(PICTURE).get_attribute("src")
    page.locator(f"{STRIP} button").nth(1).click()
    expect(page.locator(STATUS)).to_have_text("Step 2 of 6")
    second = page.locator(PICTURE).get_attribute("src")
    assert second != final
    page.locator(STRIP).press("ArrowLeft")
    expect(page.locator(STATUS)).to_have_text("Step 1 of 6")
    page.locator("#filmstrip .scrub").fill("5")
    expect(page.locator(STATUS)).to_have_text("Step 6 of 6")


def test_stop_ends_the_job_and_the_next_one_runs(page: Page, studio: Studio) -> None:
    steps(page, 150)
    generate(page)
    expect(page.locator(STATUS)).to_contain_text("of 150")
    page.locator("#stop").click()
    expect(page.locator(STATUS)).to_contain_text("Stopped")
    assert studio.latest()[0].last.kind == "cancelled"
    steps(page, 2)
    generate(page)
    finished(page)


def test_a_reload_in_mid_run_finds_settings_and_job_again(page: Page, studio: Studio) -> None:
    page.locator("#prompt textarea").fill("a blue house")
    steps(page, 40)
    generate(page)
    expect(page.locator(STATUS)).to_contain_text("of 40")
    page.reload()
    expect(page.locator(STATUS)).to_contain_text("of 40")
    expect(page.locator("#prompt textarea")).to_have_value("a blue house")
    expect(page.locator("#steps input[type=number]")).to_have_value("40")
    finished(page)
    expect(page.locator(f"{STRIP} img")).to_have_count(40)
    assert len(studio.latest()) == 1


def test_a_second_tab_follows_the_same_job(open_page: OpenPage) -> None:
    first = open_page()
    steps(first, 150)
    generate(first)
    expect(first.locator(STATUS)).to_contain_text("of 150")
    second = open_page()
    expect(second.locator(STATUS)).to_contain_text("of 150")
    second.locator("#stop").click()
    for tab in (first, second):
        expect(tab.locator(STATUS)).to_contain_text("Stopped")


def test_with_the_keyboard_alone(page: Page) -> None:
    page.locator("#prompt textarea").focus()
    page.keyboard.type(" and a moon")
    page.keyboard.press("Control+Enter")
    finished(page)
    steps(page, 150)
    page.keyboard.press("Control+Enter")
    expect(page.locator(STATUS)).to_contain_text("of 150")
    page.keyboard.press("Escape")
    expect(page.locator(STATUS)).to_contain_text("Stopped")


def test_a_key_that_is_held_or_belongs_to_a_word_is_no_press(page: Page, worker: FakeWorker) -> None:
    steps(page, 150)
    page.locator("#prompt textarea").focus()
    page.keyboard.down("Control")
    for _ in range(4):
        page.keyboard.down("Enter")  # from the second on it is a repetition
    page.keyboard.up("Enter")
    page.keyboard.up("Control")
    expect(page.locator(STATUS)).to_contain_text("of 150")
    composing = """init => document.activeElement.dispatchEvent(
        new KeyboardEvent('keydown', {...init, bubbles: true, cancelable: true, isComposing: true}))"""
    page.evaluate(composing, {"key": "Escape"})
    page.evaluate(composing, {"key": "Enter", "ctrlKey": True})
    page.wait_for_timeout(1000)
    expect(page.locator(STATUS)).to_contain_text("steps per second")
    assert len(worker.submitted) == 1
    page.keyboard.press("Escape")
    expect(page.locator(STATUS)).to_contain_text("Stopped")


def test_several_pictures_are_live_together(page: Page, studio: Studio) -> None:
    box = page.locator("#count input[type=number]")
    box.fill("4")
    box.press("Tab")
    steps(page, 30)
    generate(page)
    expect(page.locator(PICTURE)).to_have_count(4)
    counts = [re.findall(r"\d+", text) for text in page.locator("#preview figcaption").all_text_contents()]
    assert all(0 < int(i) < 30 for i, _ in counts), "all of them advance, none is done before the others begin"
    expect(page.locator(STATUS)).to_have_text("4 pictures finished.", timeout=60_000)
    seeds = [job.request.seed for job in studio.latest()]
    assert seeds == list(range(seeds[0], seeds[0] + 4))
    page.locator("#preview figure").nth(2).click()
    expect(page.locator("#status-detail")).to_contain_text(f"seed {seeds[2]}")


def test_a_kept_seed_makes_the_same_request_and_a_new_one_another(page: Page, worker: FakeWorker) -> None:
    for number, mode in enumerate(("New each time", "Keep", "New each time")):
        page.locator("#seed-mode").get_by_text(mode).click()
        generate(page)
        page.wait_for_timeout(300)
        finished(page)
        assert len(worker.submitted) == number + 1
    first, second, third = (request.seed for request in worker.submitted)
    assert first == second != third


@pytest.mark.parametrize(
    ("field", "value", "sentence"), [("width", "65", "Width must be a multiple of 8"), ("seed", "99999999999", "Seed must be")]
)
def test_a_wrong_value_is_a_sentence_and_nothing_typed_is_lost(
    page: Page, field: str, value: str, sentence: str, worker: FakeWorker
) -> None:
    page.locator("#prompt textarea").fill("kept words")
    box = page.locator(f"#{field} input[type=number]")
    box.fill(value)
    box.press("Tab")
    generate(page)
    expect(page.locator(STATUS)).to_contain_text(sentence)
    expect(page.locator("#prompt textarea")).to_have_value("kept words")
    assert worker.submitted == []


def test_a_failed_job_shows_its_sentence(page: Page) -> None:
    page.locator("#prompt textarea").fill("fail")
    generate(page)
    expect(page.locator(STATUS)).to_have_text("The fake engine was asked to fail.")


def test_pictures_that_failed_are_counted(page: Page, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    submit, unlucky = worker.submit, iter([False, True, False])
    monkeypatch.setattr(
        worker, "submit", lambda job, asked: submit(job, asked.model_copy(update={"prompt": "fail"}) if next(unlucky) else asked)
    )
    page.locator("#count input[type=number]").fill("3")
    page.locator("#count input[type=number]").press("Tab")
    generate(page)
    expect(page.locator(STATUS)).to_have_text("2 of 3 pictures are finished, 1 failed.", timeout=60_000)
    expect(page.locator(STATUS)).to_have_class(re.compile("error"))
    names = [figure.get_attribute("aria-label") for figure in page.locator("#preview figure").all()]
    assert names == ["Picture 1, finished", "Picture 2, failed", "Picture 3, finished"]
    page.locator("#preview figure").nth(1).click()
    expect(page.locator(STATUS)).to_have_text("2 of 3 pictures are finished, 1 failed. The fake engine was asked to fail.")


def test_the_death_of_the_engine_is_told_and_survived(page: Page, worker: FakeWorker, studio: Studio) -> None:
    steps(page, 30)
    generate(page)
    expect(page.locator(STATUS)).to_contain_text("of 30")
    worker.go_down()
    expect(page.locator(STATUS)).to_contain_text("The engine stopped")
    expect(page.locator("#engine-state")).to_contain_text("being started again")
    worker.come_up()
    finished(page)


def test_a_picture_that_is_begun_again_shows_none_of_the_dead_attempts_steps(page: Page, worker: FakeWorker) -> None:
    steps(page, 60)
    generate(page)
    expect(page.locator(f"{STRIP} img").nth(14)).to_be_attached()
    worker.go_down()
    expect(page.locator(STATUS)).to_contain_text("The engine stopped")
    worker.pace = 0.5
    worker.come_up()
    expect(page.locator(STATUS)).to_contain_text("Step 2 of 60")
    expect(page.locator(f"{STRIP} img")).to_have_count(2)
    page.locator("#stop").click()


def test_words_are_shown_as_words(page: Page) -> None:
    page.locator("#prompt textarea").fill("<img src=x onerror=alert(1)> ${1+1} {{2*2}}")
    generate(page)
    finished(page)
    assert page.locator("img[src=x]").count() == 0


def test_an_idea_is_one_click_and_tokens_are_counted(page: Page) -> None:
    page.get_by_role("button", name="a blue house in the snow").click()
    expect(page.locator("#prompt textarea")).to_have_value("a blue house in the snow")
    expect(page.locator("#tokens")).to_have_text("6 of 10 tokens")
    page.locator("#prompt textarea").fill("one (two:1.3) three four five six seven eight nine ten eleven")
    expect(page.locator("#tokens")).to_contain_text("11 tokens")
    expect(page.locator("#tokens")).to_have_text("11 tokens, in 2 windows of 10")


def test_only_schedules_that_work_are_offered(page: Page) -> None:
    # On a slow link: the list must not open before it is the other sampler's.
    page.evaluate(
        """() => {
        const ask = window.fetch;
        window.fetch = async (...about) => { await new Promise((done) => setTimeout(done, 400)); return ask(...about); };
        }"""
    )
    page.locator("#sampler input").click()
    page.get_by_role("option", name="Euler a", exact=True).click()
    page.locator("#schedule input").click()
    expect(page.get_by_role("option")).to_have_count(3)
    page.keyboard.press("Escape")


def test_on_a_phone_generate_is_above_the_fold_and_nothing_is_cut(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    button = page.locator("#generate").bounding_box()
    assert button is not None and button["y"] + button["height"] < 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    generate(page)
    finished(page)
    picture = page.locator("#preview figure").bounding_box()
    assert picture is not None and picture["x"] >= 0 and picture["x"] + picture["width"] <= 390


def test_on_a_desktop_every_control_is_in_sight(page: Page) -> None:
    for name in ("prompt", "negative", "steps", "guidance", "sampler", "schedule", "width", "height", "seed", "model", "count", "generate"):
        box = page.locator(f"#{name}").bounding_box()
        assert box is not None and box["y"] + box["height"] <= 900, name


def test_nothing_moves_while_frames_arrive(page: Page) -> None:
    watched = ("#generate", "#preview", "#status", "#filmstrip")
    before = [page.locator(one).bounding_box() for one in watched]
    steps(page, 20)
    generate(page)
    expect(page.locator(STATUS)).to_contain_text("of 20")
    assert [page.locator(one).bounding_box() for one in watched] == before
    finished(page)
    assert [page.locator(one).bounding_box() for one in watched] == before


def test_every_control_has_a_name_for_a_screen_reader(page: Page) -> None:
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, select')].filter(e => e.offsetParent)
        .filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() || e.title))
        .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


def test_a_page_of_another_site_cannot_press_generate(context: BrowserContext, address: str, worker: FakeWorker) -> None:
    page = context.new_page()
    page.route("http://evil.test/", lambda route: route.fulfill(body="<h1>evil</h1>", content_type="text/html"))
    page.goto("http://evil.test/")
    told = page.evaluate(
        """address => fetch(address + 'api/jobs', {method: 'POST', body: '{"prompt": "x"}', mode: 'no-cors'})
        .then(answer => answer.type, error => 'refused')""",
        address,
    )
    assert told in ("opaque", "refused") and worker.submitted == []
    page.close()


def test_the_ids_that_scripts_rely_on(page: Page) -> None:
    for name in (*Request.model_fields, "count", "generate", "stop", "preview", "filmstrip", "status"):
        expect(page.locator(f"#{name}")).to_have_count(1)
