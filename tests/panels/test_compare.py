"""The Compare tab in a real browser: cells that are live together, looked at, moved through time, found again."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import APIResponse, BrowserContext, Page, Route, expect

from tests.fake import FakeWorker
from tests.panels.conftest import OpenPage
from webui.comparisons.comparisons import MANY_CELLS
from webui.people import OWNER
from webui.studio import Studio

STATUS, CELL, CAPTION = "#compare-status-text", "#compare-sheet .cell", "#compare-sheet figcaption"
PICTURES = f"{CELL} .frame img"
ALL_FINISHED = re.compile(r"^All \d+ cells are finished\.$")

WATCH = """() => new Promise((done) => {
    const seen = [], began = performance.now();
    const look = () => {
        const cells = [...document.querySelectorAll('#compare-sheet .cell')];
        const source = (cell) => cell.querySelector('img') && cell.querySelector('img').src.slice(-80);
        seen.push(cells.map((cell) => [cell.querySelector('figcaption').textContent, source(cell)]));
        const over = document.querySelector('#compare-status-text').textContent.startsWith('All') || performance.now() - began > 20000;
        if (over) done(seen); else requestAnimationFrame(look);
    };
    look();
})"""


@pytest.fixture
def tab(open_page: OpenPage) -> Page:
    """The Compare tab, laid out."""
    return opened(open_page)


def opened(open_page: OpenPage) -> Page:
    page = open_page("#compare")
    expect(page.locator("#compare-size")).to_contain_text("cells")
    return page


def chips(page: Page, *values: str, axis: str = "columns") -> None:
    """Put these in place of what the chips say."""
    box = page.locator(f"#compare-{axis}-values input")
    box.click()
    for _ in page.locator(f"#compare-{axis}-values .token").all():
        box.press("Backspace")
    for value in values:
        box.fill(value)
        box.press("Enter")
    box.press("Escape")


def vary(page: Page, axis: str, field: str) -> None:
    page.locator(f"#compare-{axis} input").click()
    page.get_by_role("option", name=field, exact=True).click()


def generate(page: Page) -> None:
    page.locator("#compare-generate").click()


def finished(page: Page) -> None:
    expect(page.locator(STATUS)).to_have_text(ALL_FINISHED, timeout=60_000)


def under_way(page: Page, steps: int) -> None:
    """The last cell, a run of so many steps, has made a few of them."""
    expect(page.locator(CAPTION).last).to_have_text(re.compile(rf"^([2-9]|\d\d+) of {steps}$"))


def captions(page: Page) -> list[str]:
    return page.locator(CAPTION).all_text_contents()


def made(page: Page, *steps: str) -> None:
    """A finished comparison of these step counts."""
    chips(page, *steps)
    generate(page)
    finished(page)


def chosen(page: Page, number: int) -> None:
    expect(page.locator(f"{CELL}[aria-selected=true]")).to_have_attribute("data-number", str(number))


def test_all_cells_are_live_together_from_their_first_step(tab: Page, studio: Studio, worker: FakeWorker) -> None:
    worker.pace = 0.1  # a browser on a busy machine draws a few times a second
    generate(tab)
    expect(tab.locator(PICTURES)).to_have_count(4)
    moments = tab.evaluate(WATCH)
    counts = [[int(caption.split()[0]) for caption, _ in moment] for moment in moments]
    totals = (4, 8, 16, 32)
    assert any(all(0 < i < n for i, n in zip(moment, totals, strict=True)) for moment in counts), "all of them are on their way at once"
    assert all(len({moment[k][1] for moment in moments}) >= 3 for k in range(4)), "every cell is seen changing"
    assert captions(tab) == ["4 of 4", "8 of 8", "16 of 16", "32 of 32"]
    for picture in tab.locator(PICTURES).all():
        expect(picture).to_have_attribute("src", re.compile("^/pictures/"))
    entry = studio.comparisons.of(OWNER)[0][0]
    requests = [job.request for job in studio.group(entry.id)]
    assert [request.steps for request in requests] == [4, 8, 16, 32] and len({request.seed for request in requests}) == 1


def test_one_scrubber_moves_every_timeline_by_step_or_by_share(tab: Page) -> None:
    made(tab, "4", "8", "16")
    tab.locator("#compare-scrub").fill("3")
    expect(tab.locator(CAPTION)).to_have_text(["3 of 4", "3 of 8", "3 of 16"])
    third = [picture.get_attribute("src") for picture in tab.locator(PICTURES).all()]
    assert len(set(third)) == 3 and all(source and source.startswith("data:image/jpeg") for source in third)
    tab.get_by_text("by share").click()
    tab.locator("#compare-scrub").fill("50")
    expect(tab.locator(CAPTION)).to_have_text(["2 of 4", "4 of 8", "8 of 16"])
    tab.locator("#compare-scrub").fill("100")
    expect(tab.locator(CAPTION)).to_have_text(["4 of 4", "8 of 8", "16 of 16"])
    expect(tab.locator(PICTURES).first).to_have_attribute("src", re.compile("^/pictures/"))


def test_play_runs_through_all_timelines_and_pauses(tab: Page) -> None:
    made(tab, "4", "40")
    tab.locator("#compare-cell-0").focus()
    tab.keyboard.press(" ")
    expect(tab.locator("#compare-play")).to_have_attribute("aria-pressed", "true")
    expect(tab.locator(CAPTION).last).to_have_text(re.compile(r"^([2-9]|[12]\d) of 40$"))
    tab.keyboard.press(" ")
    expect(tab.locator("#compare-play")).to_have_attribute("aria-pressed", "false")
    there = captions(tab)
    assert there[1] != "40 of 40"
    tab.wait_for_timeout(400)
    assert captions(tab) == there
    tab.locator("#compare-play").click()
    expect(tab.locator("#compare-moment")).to_have_text("Finished")
    expect(tab.locator("#compare-play")).to_have_attribute("aria-pressed", "false")


def test_scrubbing_while_it_runs_holds_still_and_its_end_is_live_again(tab: Page) -> None:
    chips(tab, "120", "150")
    generate(tab)
    under_way(tab, 150)
    tab.locator("#compare-scrub").fill("1")
    expect(tab.locator(CAPTION)).to_have_text(["1 of 120", "1 of 150"])
    tab.wait_for_timeout(500)
    assert captions(tab) == ["1 of 120", "1 of 150"]
    tab.locator("#compare-scrub").press("End")
    expect(tab.locator("#compare-moment")).to_have_text("Live")
    expect(tab.locator(CAPTION).first).not_to_have_text("1 of 120")
    tab.locator("#compare-stop").click()
    expect(tab.locator(STATUS)).to_contain_text("2 stopped")


def test_two_cells_under_a_slider(tab: Page) -> None:
    made(tab, "2", "3", "4")
    sources = [picture.get_attribute("src") or "" for picture in tab.locator(PICTURES).all()]
    tab.get_by_text("A|B", exact=True).click()
    under = tab.locator("#compare-slider img")
    expect(under.first).to_have_attribute("src", re.compile(re.escape(sources[0])))
    expect(under.last).to_have_attribute("src", re.compile(re.escape(sources[2])))
    tab.locator("#compare-b").select_option(label="3 steps")
    expect(under.last).to_have_attribute("src", re.compile(re.escape(sources[1])))
    expect(tab.locator("#compare-sides")).to_contain_text("B: 3 steps")
    tab.locator("#compare-divide").fill("20")
    expect(under.last).to_have_attribute("style", re.compile(r"clip-path: inset\(0px 0px 0px \d"))
    box = tab.locator("#compare-slider [data-testid=slider]").bounding_box()
    frame = tab.locator("#compare-slider").bounding_box()
    assert box and frame
    clip = under.last.evaluate("picture => picture.style.clipPath")
    middle = frame["y"] + frame["height"] / 2
    tab.mouse.move(box["x"] + box["width"] / 2, middle)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 140, middle, steps=4)
    tab.mouse.up()
    tab.wait_for_function("before => document.querySelectorAll('#compare-slider img')[1].style.clipPath !== before", arg=clip)
    tab.keyboard.press("Escape")
    expect(tab.locator("#compare-sheet")).to_be_visible()


def test_the_difference_from_a_chosen_reference(tab: Page) -> None:
    made(tab, "2", "3", "4")
    tab.locator("#compare-cell-0").focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("a")
    tab.keyboard.press("d")
    sources = tab.locator(PICTURES)
    expect(sources.nth(0)).to_have_attribute("src", re.compile(r"/difference\.png\?a=1&b=0$"))
    expect(sources.nth(1)).to_have_attribute("src", re.compile("^/pictures/"))
    expect(sources.nth(2)).to_have_attribute("src", re.compile(r"/difference\.png\?a=1&b=2$"))
    assert sources.nth(2).evaluate("picture => picture.decode().then(() => picture.naturalWidth)") == 256
    expect(tab.locator(CAPTION).first).to_have_text("difference from A")
    tab.locator("#compare-difference").click()
    expect(sources.nth(0)).to_have_attribute("src", re.compile("^/pictures/"))


def test_with_the_keyboard_alone(tab: Page) -> None:
    chips(tab, "2", "3", "4", "5", "6", "7", "8")
    tab.keyboard.press("Control+Enter")
    finished(tab)
    tab.locator("#compare-cell-0").focus()
    for key, number in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowLeft", 0), ("ArrowLeft", 0)):
        tab.keyboard.press(key)
        chosen(tab, number)
    columns = int(tab.locator("#compare-sheet").evaluate("sheet => sheet.style.getPropertyValue('--columns')"))
    assert 1 < columns < 7, "seven cells take more than one line"
    tab.keyboard.press("ArrowDown")
    chosen(tab, columns)
    tab.keyboard.press("ArrowUp")
    chosen(tab, 0)
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("b")
    expect(tab.locator(".badges").nth(1)).to_have_text("B")
    tab.keyboard.press("Enter")
    large = tab.locator("#compare-large figcaption")
    expect(large).to_contain_text("3 steps")
    tab.keyboard.press("f")
    expect(large).to_contain_text("2 steps")
    tab.keyboard.press("f")
    expect(large).to_contain_text("3 steps")
    tab.keyboard.press("ArrowRight")
    expect(large).to_contain_text("4 steps")
    tab.keyboard.press("Escape")
    expect(tab.locator("#compare-cell-2")).to_be_focused()


def test_zoom_and_pan_are_one_for_all_cells(tab: Page) -> None:
    made(tab, "2", "3", "4")
    transforms = "() => [...document.querySelectorAll('#compare-sheet .frame img')].map((one) => getComputedStyle(one).transform)"
    tab.locator("#compare-cell-0").focus()
    tab.keyboard.press("+")
    expect(tab.locator("#compare-zoom")).to_have_text("150 %")
    zoomed = tab.evaluate(transforms)
    assert len(set(zoomed)) == 1 and zoomed[0].startswith("matrix(1.5")
    box = tab.locator("#compare-cell-1 .frame").bounding_box()
    assert box
    tab.mouse.move(box["x"] + 50, box["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 90, box["y"] + 80, steps=4)
    tab.mouse.up()
    panned = tab.evaluate(transforms)
    assert len(set(panned)) == 1 and panned != zoomed
    expect(tab.locator("#compare-sheet")).to_be_visible()  # a drag is no click
    tab.keyboard.press("0")
    expect(tab.locator("#compare-zoom")).to_have_text("100 %")


def test_step_k_of_one_run_is_another_question(tab: Page) -> None:
    made(tab, "2", "4", "8")
    expect(tab.locator("#compare-why")).to_have_text(
        "A run of 2 takes all of the noise away in 2 steps; step 2 of a run of 8 still has 6 to go, so the two are different pictures."
    )
    tab.locator("#compare-scrub").fill("4")
    expect(tab.locator(CAPTION).last).to_have_text("4 of 8")
    frame = tab.locator(PICTURES).last.get_attribute("src")
    tab.get_by_text("Step k of one run").click()
    expect(tab.locator(CAPTION)).to_have_text(["step 2 of one run of 8", "step 4 of one run of 8", "step 8 of one run of 8"])
    expect(tab.locator(PICTURES).nth(1)).to_have_attribute("src", frame or "")
    expect(tab.locator("#compare-scrub")).to_be_disabled()
    tab.evaluate(
        """() => { const { jobs, follow } = stepwise.comparison;
        follow([{ ...jobs().at(-1), kind: 'failed', frames: [], picture: null, reason: 'Lost.' }]);
        stepwise.compare.draw(); }"""
    )
    expect(tab.locator(CAPTION)).to_have_text(["step 2 of one run of 4", "step 4 of one run of 4", "no step 8 in one run of 4"])
    expect(tab.locator(f"{CELL} .sentence:visible")).to_have_text(["Lost."])
    tab.get_by_text("Finished in k steps").click()
    expect(tab.locator(CAPTION).first).to_have_text("2 of 2")
    # As after a restart, which does not know how far it came.
    tab.evaluate(
        """() => { const { jobs, follow } = stepwise.comparison;
        follow([{ ...jobs()[0], kind: 'cancelled', frames: [], picture: null, i: 0 }]);
        stepwise.compare.draw(); }"""
    )
    expect(tab.locator(f"{CELL} .sentence").first).to_have_text("Stopped.")


def test_a_reload_in_mid_run_comes_back_to_it(tab: Page, studio: Studio) -> None:
    chips(tab, "120", "150")
    tab.locator("#compare-prompt textarea").fill("a blue house")
    generate(tab)
    under_way(tab, 150)
    tab.reload()
    under_way(tab, 150)
    expect(tab.locator("#compare-prompt textarea")).to_have_value("a blue house")
    expect(tab.locator("#compare-columns-values .token")).to_have_text(["120", "150"])
    assert not studio.comparisons.of(OWNER)[0][1]
    before = tab.locator(PICTURES).last.get_attribute("src")
    tab.wait_for_function("before => [...document.querySelectorAll('#compare-sheet img')].pop().src !== before", arg=before)
    tab.locator("#compare-stop").click()
    expect(tab.locator(STATUS)).to_contain_text("2 stopped")
    tab.locator("#compare-scrub").fill("1")
    expect(tab.locator(CAPTION)).to_have_text(["1 of 120", "1 of 150"])  # frames from before the reload are there too
    assert len(studio.comparisons.of(OWNER)) == 1


def test_a_second_tab_follows_and_stops_the_same_comparison(open_page: OpenPage) -> None:
    first = opened(open_page)
    chips(first, "120", "150")
    generate(first)
    under_way(first, 150)
    second = opened(open_page)
    under_way(second, 150)
    second.locator("#compare-stop").click()
    for page in (first, second):
        expect(page.locator(STATUS)).to_have_text("0 of 2 cells are finished, 2 stopped.")


def test_a_cell_that_fails_says_why_and_the_others_finish(tab: Page) -> None:
    vary(tab, "columns", "Prompt")
    lines = tab.locator("#compare-columns-lines textarea")
    expect(lines).not_to_have_value("")  # it has come, with the prompt as its first line: nobody types sooner
    lines.fill("a fox\nfail\na boat, at sea")
    expect(tab.locator("#compare-size")).to_contain_text("3 cells")
    generate(tab)
    expect(tab.locator(STATUS)).to_have_text("2 of 3 cells are finished, 1 failed.")
    expect(tab.locator("#compare-cell-1 .sentence")).to_have_text("The fake engine was asked to fail.")
    expect(tab.locator("#compare-cell-1")).to_have_attribute("aria-label", "fail, The fake engine was asked to fail.")
    expect(tab.locator("#compare-cell-2 .head")).to_have_text("a boat, at sea")
    expect(tab.locator(f"{CELL} .sentence:visible")).to_have_count(1)


def test_a_sampler_that_refuses_its_settings_costs_its_own_cell_only(tab: Page) -> None:
    vary(tab, "columns", "Sampler")
    chips(tab, "Euler", "Euler a")
    tab.locator("#compare-schedule input").click()
    tab.get_by_role("option", name="Karras", exact=True).click()
    generate(tab)
    expect(tab.locator(STATUS)).to_have_text("1 of 2 cells is finished, 1 failed.")
    expect(tab.locator("#compare-cell-1 .sentence")).to_contain_text("Euler a")


def test_two_axes_make_a_grid_with_heads(tab: Page, worker: FakeWorker) -> None:
    chips(tab, "2", "3")
    vary(tab, "rows", "Guidance")
    chips(tab, "1-3", axis="rows")
    expect(tab.locator("#compare-size")).to_contain_text("6 cells, 15 steps")
    generate(tab)
    finished(tab)
    expect(tab.locator("#compare-sheet .column-head")).to_have_text(["2 steps", "3 steps"])
    expect(tab.locator("#compare-sheet .row-head")).to_have_text(["Guidance 1", "Guidance 2", "Guidance 3"])
    boxes = [box for cell in tab.locator(CELL).all() if (box := cell.bounding_box())]
    assert len({round(box["x"]) for box in boxes}) == 2 and len({round(box["y"]) for box in boxes}) == 3
    tab.locator("#compare-cell-0").focus()
    tab.keyboard.press("ArrowDown")
    chosen(tab, 2)
    assert {(request.steps, request.guidance) for request in worker.submitted} == {(s, g) for s in (2, 3) for g in (1.0, 2.0, 3.0)}
    expect(tab.locator("#compare-curve .rows button")).to_have_count(3)


def test_a_large_job_asks_in_the_page_first(tab: Page, worker: FakeWorker) -> None:
    chips(tab, f"1-{MANY_CELLS + 1}")
    expect(tab.locator("#compare-size")).to_contain_text(f"{MANY_CELLS + 1} cells")
    generate(tab)
    question = tab.locator("#compare-question")
    expect(question).to_contain_text(f"{MANY_CELLS + 1} cells, 153 steps in all")
    assert worker.submitted == []
    tab.get_by_role("button", name="Not now").click()
    expect(question).to_be_hidden()
    generate(tab)
    tab.get_by_role("button", name="Run it").click()
    expect(tab.locator(CELL)).to_have_count(MANY_CELLS + 1)
    finished(tab)
    assert len(worker.submitted) == MANY_CELLS + 1


@pytest.mark.parametrize(("typed", "sentence"), [("0", "from 1 to 150"), ("abc", "abc"), ("40-4", "backwards")])
def test_a_wrong_value_is_a_sentence_before_anything_runs(tab: Page, typed: str, sentence: str, worker: FakeWorker) -> None:
    chips(tab, "4", typed)
    expect(tab.locator("#compare-size")).to_contain_text(sentence)
    generate(tab)
    expect(tab.locator(STATUS)).to_contain_text(sentence)
    assert worker.submitted == []


def test_the_curve_has_the_pictures_on_it_and_says_its_sentence(tab: Page) -> None:
    made(tab, "2", "4", "8")
    expect(tab.locator("#compare-curve .verdict")).to_contain_text("2 steps may be more than enough")
    expect(tab.locator("#compare-curve .thumb")).to_have_count(3)
    expect(tab.locator("#compare-curve polyline")).to_have_count(2)
    tab.get_by_role("button", name="4 steps: SSIM 1.000").click()
    expect(tab.locator("#compare-large figcaption")).to_contain_text("4 steps")


def test_a_column_more_runs_only_what_is_new(tab: Page, worker: FakeWorker) -> None:
    made(tab, "2", "4")
    tab.locator("#compare-add input").fill("6, 8")
    tab.get_by_role("button", name="Add", exact=True).click()
    expect(tab.locator(CELL)).to_have_count(4)
    finished(tab)
    assert [request.steps for request in worker.submitted] == [2, 4, 6, 8]
    assert len({request.seed for request in worker.submitted}) == 1


def test_a_column_that_is_there_already_is_refused(context: BrowserContext, address: str, worker: FakeWorker) -> None:
    page = context.new_page()  # the browser itself writes refused requests to the console
    page.goto(f"{address}#compare")
    expect(page.locator("#compare-size")).to_contain_text("cells")
    made(page, "2", "4")
    page.locator("#compare-add input").fill("4")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(STATUS)).to_contain_text("twice")
    expect(page.locator(CELL)).to_have_count(2)
    assert len(worker.submitted) == 2
    page.locator("#compare-add input").fill("3")
    page.get_by_role("button", name="Add", exact=True).click()
    finished(page)  # a column that is taken answers the refusal of the one before


def test_columns_that_are_added_meanwhile_are_neither_missed_nor_lost(tab: Page, studio: Studio) -> None:
    late: list[tuple[Route, APIResponse]] = []
    asked: list[str] = []

    def hold(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 2:
            late.append((route, route.fetch()))  # what it was before the column was added
        else:
            route.continue_()

    tab.route("**/api/comparisons/*", hold)
    chips(tab, "2")
    generate(tab)
    expect(tab.locator(STATUS)).to_have_text("Finished.")
    tab.locator("#compare-add input").fill("3")
    tab.get_by_role("button", name="Add", exact=True).click()
    expect(tab.locator(CAPTION)).to_have_text(["2 of 2", "3 of 3"])
    route, answer = late.pop()
    route.fulfill(response=answer)
    tab.wait_for_timeout(200)
    expect(tab.locator(CELL)).to_have_count(2)
    tab.locator("#compare-add input").fill("30")
    tab.get_by_role("button", name="Add", exact=True).click()
    under_way(tab, 30)
    studio.comparisons.extend(asked[0].rpartition("/")[2], [4], OWNER)  # as another window does
    expect(tab.locator(CAPTION)).to_have_text(["2 of 2", "3 of 3", "30 of 30", "4 of 4"])
    finished(tab)


def test_an_earlier_comparison_opens_as_it_was_runs_again_and_lends_its_settings(tab: Page, worker: FakeWorker) -> None:
    tab.locator("#compare-prompt textarea").fill("the first")
    made(tab, "3", "5")
    tab.locator("#compare-prompt textarea").fill("the second")
    made(tab, "2", "4")
    expect(tab.locator("#compare-earlier option")).to_have_count(3)
    tab.locator("#compare-earlier").select_option(index=2)
    expect(tab.locator(CAPTION)).to_have_text(["3 of 3", "5 of 5"])
    newest, oldest = (option.get_attribute("value") for option in tab.locator("#compare-earlier option").all()[1:])
    late: list[Route] = []
    tab.route(f"**/api/comparisons/{newest}", lambda route: late.append(route))
    with tab.expect_request(f"**/api/comparisons/{newest}"):
        tab.locator("#compare-earlier").select_option(newest)
    with tab.expect_response(f"**/api/comparisons/{oldest}"):
        tab.locator("#compare-earlier").select_option(oldest)
    with tab.expect_response(f"**/api/comparisons/{newest}"):
        late.pop().continue_()
    tab.wait_for_timeout(100)
    assert captions(tab) == ["3 of 3", "5 of 5"], "the one chosen last is shown, though the other comes later"
    tab.locator("#compare-scrub").fill("1")
    expect(tab.locator(CAPTION)).to_have_text(["1 of 3", "1 of 5"])
    expect(tab.locator("#compare-prompt textarea")).to_have_value("the second")
    tab.locator("#compare-use").click()
    expect(tab.locator("#compare-prompt textarea")).to_have_value("the first")
    expect(tab.locator("#compare-columns-values .token")).to_have_text(["3", "5"])
    before = len(worker.submitted)
    tab.locator("#compare-again").click()
    expect(tab.locator("#compare-earlier option")).to_have_count(4)
    finished(tab)
    assert [(request.prompt, request.steps) for request in worker.submitted[before:]] == [("the first", 3), ("the first", 5)]
    assert worker.submitted[before].seed == worker.submitted[0].seed


def test_an_empty_last_line_is_lent_with_the_other_negative_prompts(tab: Page, worker: FakeWorker) -> None:
    vary(tab, "columns", "Negative prompt")
    expect(tab.locator("#compare-size")).to_contain_text("write at least one value")  # the box has come, empty: nobody types sooner
    lines = tab.locator("#compare-columns-lines textarea")
    lines.fill("blurry\n\n")
    expect(tab.locator("#compare-size")).to_contain_text("2 cells")
    generate(tab)
    finished(tab)
    lines.fill("something else")
    expect(tab.locator("#compare-size")).to_contain_text("1 cell")
    tab.locator("#compare-use").click()
    expect(lines).to_have_value("blurry\n\n")
    generate(tab)
    expect(tab.locator("#compare-earlier option")).to_have_count(3)
    finished(tab)
    assert [request.negative for request in worker.submitted] == ["blurry", ""] * 2


def test_create_sends_its_settings_and_a_picture_sends_its_own(page: Page, worker: FakeWorker) -> None:
    page.locator("#prompt textarea").fill("a green fish")
    page.locator("#to-compare").click()
    expect(page.locator("#compare-prompt textarea")).to_have_value("a green fish")
    page.get_by_role("tab", name="Create").click()
    page.locator("#generate").click()
    expect(page.locator("#status-text")).to_have_text(re.compile("^Finished"))
    page.locator("#status-file").get_by_role("button", name="Compare").click()
    expect(page.locator("#compare-seed input")).to_have_value(str(worker.submitted[0].seed))
    made(page, "2", "3")
    assert {request.seed for request in worker.submitted} == {worker.submitted[0].seed}


def test_the_files_to_take_away(tab: Page) -> None:
    chips(tab, "2", "150")
    generate(tab)
    files = tab.locator("#compare-away .sheet-files")
    expect(files.get_by_role("link")).to_have_text(["Contact sheet"])
    expect(files).to_contain_text("as soon as all have ended")
    tab.locator("#compare-stop").click()
    expect(files.get_by_role("link")).to_have_count(3)
    expect(tab.locator("#compare-cell-1")).to_have_attribute("aria-label", "150 steps, B, stopped")
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Picture", exact=True).click()
    assert download.value.suggested_filename.endswith(".png")
    for name in ("Contact sheet", "From noise to picture", "Animation, WebP", "Animation, GIF"):
        for link in tab.get_by_role("link", name=name).all():
            answer = tab.request.get(tab.url.partition("#")[0].rstrip("/") + (link.get_attribute("href") or ""))
            assert answer.ok and len(answer.body()) > 100, name


def test_one_connection_at_a_time_and_none_when_all_is_told(open_page: OpenPage, context: BrowserContext) -> None:
    context.add_init_script(
        """window.streams = []; const Plain = EventSource;
        window.EventSource = class extends Plain { constructor(url) { super(url); streams.push(this); } };"""
    )
    page = opened(open_page)
    count = "() => streams.filter((one) => one.url.includes('/api/groups/') && one.readyState < 2).length"
    chips(page, "40", "50")
    generate(page)
    under_way(page, 50)
    assert page.evaluate(count) == 1
    page.get_by_role("tab", name="Create").click()
    page.wait_for_function(f"({count})() === 0")
    page.get_by_role("tab", name="Compare").click()
    finished(page)
    page.wait_for_function(f"({count})() === 0")


def test_nothing_moves_while_frames_arrive(tab: Page) -> None:
    made(tab, "2", "3")
    watched = ("#compare-generate", "#compare-well", "#compare-scrub", "#compare-status", "#compare-curve", "#compare-earlier")
    chips(tab, "40", "50")
    generate(tab)
    under_way(tab, 50)
    before = [tab.locator(one).bounding_box() for one in watched]
    tab.wait_for_timeout(500)
    assert [tab.locator(one).bounding_box() for one in watched] == before
    finished(tab)
    assert [tab.locator(one).bounding_box() for one in watched] == before


def test_at_phone_width_cells_are_swiped(tab: Page) -> None:
    tab.set_viewport_size({"width": 390, "height": 844})
    button = tab.locator("#compare-generate").bounding_box()
    assert button and button["y"] + button["height"] < 844
    made(tab, "2", "3", "4")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    sheet = tab.locator("#compare-sheet")
    first = tab.locator("#compare-cell-0").bounding_box()
    assert first and first["x"] >= 0 and first["x"] + first["width"] <= 390 and first["width"] > 280
    assert sheet.evaluate("sheet => getComputedStyle(sheet).scrollSnapType").startswith("x")
    sheet.scroll_into_view_if_needed()
    sheet.evaluate("sheet => sheet.scrollBy({left: 200, behavior: 'smooth'})")
    expect(tab.locator("#compare-cell-1")).to_have_attribute("aria-selected", "true")
    middle = tab.locator("#compare-cell-1").bounding_box()
    assert middle and abs(middle["x"] + middle["width"] / 2 - 195) < 12, "it snaps to the middle"
    tab.locator("#compare-cell-1").click()
    large = tab.locator("#compare-large .frame").bounding_box()
    assert large and large["x"] >= 0 and large["x"] + large["width"] <= 390


def test_every_control_has_a_name_and_is_reached_with_the_tab_key(tab: Page) -> None:
    made(tab, "2", "3")
    unnamed = tab.evaluate(
        """() => [...document.querySelectorAll('#compare :is(button, input, textarea, select, a)')].filter(e => e.offsetParent)
        .filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() || e.title))
        .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []
    names = [
        "prompt",
        "columns",
        "rows",
        "generate",
        "earlier",
        "again",
        "use",
        "cell-0",
        "a",
        "b",
        "flip",
        "difference",
        "in",
        "out",
        "zoom",
        "full",
        "play",
        "scrub",
    ]
    wanted = {f"compare-{name}" for name in names}
    tab.locator("#compare-prompt textarea").focus()
    reached = set()
    for _ in range(90):
        reached.add(
            tab.evaluate(
                "wanted => document.activeElement.closest(wanted.map((id) => '#' + id).join(','))?.id || document.activeElement.name || ''",
                sorted(wanted),
            )
        )
        tab.keyboard.press("Tab")
    assert wanted | {"compare-look", "compare-by"} <= reached
