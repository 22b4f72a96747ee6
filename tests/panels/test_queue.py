"""The queue in the masthead: everybody sees who waits, and one's own waiting pictures can be moved and removed."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.fake import ANN
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
