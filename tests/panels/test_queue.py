"""The queue in the masthead: everybody sees who waits, and one's own waiting pictures can be moved and removed."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.fake import ANN, FakeWorker
from tests.panels.conftest import OpenPage
from webui.events import Cancelled
from webui.request import Request
from webui.studio import Studio

LONG = Request(prompt="a red sailboat", steps=150, model="fake")


def test_the_queue_is_seen_moved_and_shortened(open_page: OpenPage, studio: Studio) -> None:
    page = open_page()
    queue = page.locator("#queue")
    expect(queue).to_be_hidden()
    mine = [studio.submit([LONG.model_copy(update={"prompt": f"picture {k}"})])[0] for k in range(10)]
    studio.submit([LONG.model_copy(update={"prompt": "ann's"})], ANN)
    expect(queue.locator("summary")).to_have_text("9 running, 2 waiting")
    queue.locator("summary").click()
    expect(queue.locator("li")).to_have_count(11)
    assert [text for text in queue.locator("li .words").all_inner_texts() if "picture" in text][-2:] == ["picture 8", "picture 9"]
    queue.get_by_role("button", name="Earlier").click()
    expect(queue.locator("li .words").nth(9)).to_have_text("picture 9")
    queue.get_by_role("button", name="Remove").last.click()
    expect(queue.locator("summary")).to_have_text("9 running, 1 waiting")
    assert isinstance(mine[8].wait(10), Cancelled)
    studio.cancel([job.id for job in mine])


def test_the_focus_stays_while_steps_are_counted_and_rows_change(page: Page, studio: Studio, worker: FakeWorker) -> None:
    worker.pace = 0.2
    mine = [studio.submit([LONG.model_copy(update={"prompt": f"picture {k}"})])[0] for k in range(11)]
    queue = page.locator("#queue")
    expect(queue.locator("summary")).to_have_text("8 running, 3 waiting")
    queue.locator("summary").click()
    remove = queue.locator("li", has_text="picture 10").get_by_role("button", name="Remove")
    remove.focus()
    counted = queue.locator("li .place").first
    for _ in range(2):
        before = counted.inner_text()
        expect(counted).not_to_have_text(before)
        expect(counted).to_have_text(re.compile(r"^\d+ of 150$"))
        expect(remove).to_be_focused()
    studio.cancel([mine[8].id])
    expect(queue.locator("li")).to_have_count(10)
    expect(remove).to_be_focused()
    studio.cancel([job.id for job in mine])


def test_on_a_phone_the_list_is_in_sight(page: Page, studio: Studio) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    mine = studio.submit([LONG.model_copy(update={"prompt": "a red sailboat on a calm sea at sunset, in oil"})] * 10)
    queue = page.locator("#queue")
    queue.locator("summary").click()
    expect(queue.locator("ol")).to_be_visible()
    rows, head = queue.locator("ol").bounding_box(), queue.locator("summary").bounding_box()
    assert rows and head and rows["x"] >= 0 and rows["x"] + rows["width"] <= 390
    assert rows["y"] >= head["y"] + head["height"], "what closes it again stays in reach"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    studio.cancel([job.id for job in mine])


def test_what_the_disk_refuses_can_be_downloaded(open_page: OpenPage, studio: Studio) -> None:
    page = open_page()
    day = studio.settings.outputs
    kept = day.rename(day.with_name("elsewhere"))
    page.locator("#generate").click()
    with page.expect_download() as download:
        page.locator("#status-file a", has_text="Download").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    kept.rename(day)
    expect(page.locator("#status-text")).to_contain_text("Finished")


def test_each_picture_that_the_disk_refuses_has_its_own_download(page: Page, studio: Studio) -> None:
    day = studio.settings.outputs
    kept = day.rename(day.with_name("elsewhere"))
    page.locator("#count input[type=number]").fill("2")
    page.locator("#count input[type=number]").press("Tab")
    page.locator("#generate").click()
    link = page.locator("#status-file a", has_text="Download")
    expect(link).to_be_visible()
    first, second = studio.latest()
    expect(link).to_have_attribute("href", f"/api/jobs/{first.id}/picture")
    page.locator("#preview figure").nth(1).click()
    expect(link).to_have_attribute("href", f"/api/jobs/{second.id}/picture")
    kept.rename(day)
    expect(page.locator("#status-text")).to_have_text("2 pictures finished.")
