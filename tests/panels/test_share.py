"""Sharing in a real browser: the link, roles, other devices, other websites, links to settings. 127.0.0.2 stands for the local network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.fake import FakeWorker
from tests.panels.conftest import CHROMIUM, FLAGS
from tests.server.sharing import NAVIGATE, Shared, shared
from webui.errors import StorageError
from webui.studio import Studio

STATUS = "#status-text"
FINISHED = re.compile("^Finished")
RULES = "--host-resolver-rules=MAP evil.test 127.0.0.2, MAP atelier.local 127.0.0.2"

Device = Callable[..., BrowserContext]


@pytest.fixture(scope="module")
def wide_browser(browser: Browser) -> Iterator[Browser]:
    """A Chromium that finds two names on the network, as a name server would tell it."""
    wide = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, RULES])
    yield wide
    wide.close()


@pytest.fixture
def door(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    """A studio that can be shared, on a machine called atelier."""
    monkeypatch.setattr("socket.gethostname", lambda: "atelier")
    with shared(studio) as door:
        yield door


@pytest.fixture
def device(wide_browser: Browser) -> Iterator[Device]:
    """Makes another device: nothing of what one keeps is known to the next. At the end no page may have written an error to its console."""
    opened: list[BrowserContext] = []
    errors: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and message.page is not None and "elsewhere.test" not in message.page.url:
            errors.append(message.text)

    def make(**more: object) -> BrowserContext:
        context = wide_browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **more})  # type: ignore[arg-type]
        context.set_default_timeout(30_000)
        context.on("console", heard)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.close()
    # A browser writes refused requests to the console by itself.
    assert [text for text in errors if not re.search(r"status of (4\d\d|507)", text)] == []


def ready(context: BrowserContext, address: str) -> Page:
    """The page, once its controls answer."""
    page = context.new_page()
    page.goto(address)
    page.wait_for_function("document.querySelector('#engine-state')?.textContent")
    page.wait_for_selector("#me")
    return page


def links(door: Shared) -> dict[str, str]:
    return {role: row["url"] for role, row in door.share()["links"].items()}


def steps(page: Page, number: int) -> None:
    box = page.locator("#steps input[type=number]")
    box.fill(str(number))
    box.press("Tab")


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def test_link_sign_in_generate_reload_second_device_and_revoked_link(door: Shared, device: Device, studio: Studio) -> None:
    owner = ready(device(), f"http://127.0.0.1:{door.port}/")
    tab(owner, "Share")
    owner.get_by_role("switch", name="Share this studio").click()
    url = owner.get_by_label("Link: to make pictures", exact=True).input_value()
    assert urlsplit(url).hostname == "127.0.0.2"
    expect(owner.get_by_role("img", name="QR code of the link: to make pictures").locator("svg")).to_be_visible()

    desk = device()
    stranger = desk.new_page()
    stranger.goto(url.partition("?")[0])
    expect(stranger.get_by_text("This studio is private")).to_be_visible()
    stranger.get_by_label("Link").fill(url)
    stranger.get_by_role("button", name="Sign in").click()
    stranger.wait_for_selector("#welcome")
    assert "key=" not in stranger.url and "key=" not in stranger.evaluate("performance.getEntriesByType('navigation')[0].name")
    stranger.locator("#welcome input[type=text]").fill("Zoë")
    stranger.locator("#welcome").get_by_role("radio", name="teal").check()
    stranger.locator("#welcome").get_by_role("button", name="Save").click()
    expect(stranger.locator("#me")).to_contain_text("Zoë")
    assert stranger.evaluate("document.cookie") == "", "no script reads the session"

    stranger.locator("#prompt textarea").fill("a boat of Zoë's")
    steps(stranger, 150)
    stranger.locator("#generate").click()
    expect(stranger.locator(STATUS)).to_contain_text("of 150")
    stranger.reload()
    expect(stranger.locator(STATUS)).to_contain_text("of 150")
    expect(stranger.locator("#me")).to_contain_text("Zoë")

    tab(stranger, "Share")
    with stranger.expect_response("**/api/me/link") as answer:
        stranger.get_by_role("button", name="Go on on another device").click()
    phone = ready(device(viewport={"width": 390, "height": 844}), answer.value.json()["url"])
    expect(phone.locator("#me")).to_contain_text("Zoë")
    expect(phone.locator(STATUS)).to_contain_text("of 150")
    phone.locator("#stop").click()
    tab(stranger, "Create")
    for page in (phone, stranger):
        expect(page.locator(STATUS)).to_contain_text("Stopped")
    steps(phone, 3)
    phone.locator("#generate").click()
    expect(phone.locator(STATUS)).to_have_text(FINISHED)

    other = ready(device(), url)
    expect(other.locator("#me")).to_contain_text("Guest")
    expect(other.locator(STATUS)).to_have_text("")
    picture = phone.locator("#preview figure img").get_attribute("src")
    assert other.evaluate("path => fetch(path).then((answer) => answer.status)", picture) == 404
    phone.get_by_role("button", name="Private").click()
    expect(phone.get_by_role("button", name="Shown to the team")).to_be_visible()
    assert other.evaluate("path => fetch(path).then((answer) => answer.status)", picture) == 200

    tab(other, "Share")
    expect(other.locator("#share .wall img")).to_have_count(1)
    other.locator("#share .wall a").hover()
    expect(other.locator("#share .wall a")).to_have_attribute("title", "a red sailboat on a calm sea at sunset, by Zoë")
    tab(owner, "Create")
    tab(owner, "Share")
    expect(owner.locator("#share .people")).to_contain_text("Zoë")
    owner.get_by_role("button", name="New links").click()
    owner.get_by_role("button", name="Make new links").click()
    expect(owner.get_by_label("Link: to make pictures", exact=True)).not_to_have_value(url)
    for page in (stranger, phone, other):
        expect(page.get_by_text("This studio is private")).to_be_visible()
    late = device().new_page()
    late.goto(url)
    expect(late.get_by_text("This link is not valid")).to_be_visible()
    stranger.goto(owner.get_by_label("Link: to make pictures", exact=True).input_value())
    expect(stranger.locator("#me")).to_contain_text("Zoë")
    expect(owner.locator("#me")).to_contain_text("Owner")


def test_who_only_looks_cannot_make_pictures_even_by_hand(door: Shared, device: Device, worker: FakeWorker) -> None:
    page = ready(device(), links(door)["viewer"])
    expect(page.locator("#me")).to_contain_text("looking")
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_contain_text("Your link lets you look")
    told = page.evaluate(
        """() => fetch('/api/jobs', {method: 'POST', headers: {'content-type': 'application/json'}, body: '{"prompt": "x"}'})
        .then((answer) => answer.status)"""
    )
    assert told == 403
    tab(page, "Share")
    expect(page.locator("#share")).to_contain_text("You may look")
    expect(page.locator("#share input[type=password], #share .switch")).to_have_count(0)
    assert worker.submitted == []


def test_a_switch_keeps_the_focus_when_it_is_pressed(door: Shared, device: Device) -> None:
    page = ready(device(), f"http://127.0.0.1:{door.port}/")
    tab(page, "Share")
    for name, other in (("Share this studio", "true"), ("Show new pictures", "true"), ("Show new pictures", "false")):
        switch = page.get_by_role("switch", name=name)
        switch.focus()
        page.keyboard.press("Space")
        expect(switch).to_have_attribute("aria-checked", other)
        expect(switch).to_be_focused()


def test_escape_in_the_box_of_a_name_stops_no_picture(door: Shared, device: Device) -> None:
    page = ready(device(), links(door)["maker"])
    steps(page, 150)
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_contain_text("of 150")
    page.locator("#welcome input[type=text]").press("Escape")
    page.wait_for_timeout(1000)
    expect(page.locator(STATUS)).to_contain_text("steps per second")
    page.locator("#prompt textarea").press("Escape")
    expect(page.locator(STATUS)).to_contain_text("Stopped")


def test_who_signs_out_hears_that_the_browser_knows_them_still(door: Shared, device: Device) -> None:
    page = ready(device(), links(door)["viewer"])
    tab(page, "Share")
    leave = page.locator("#share .myself").get_by_role("button", name="Sign out")
    expect(leave).to_have_attribute("title", re.compile("in this browser later is you again"))


def test_a_full_disk_signs_people_out_and_the_page_says_so(door: Shared, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ready(device(), f"http://127.0.0.1:{door.port}/")
    with door.guest() as one, door.guest() as other:
        tab(page, "Share")
        monkeypatch.setattr(door.studio.access._register, "write", refuse)
        page.get_by_role("button", name=f"Sign out {one.get('/api/me').json()['name']}").click()
        notice = page.locator("#notice")
        expect(notice).to_contain_text("It is done, but only until the studio is started again")
        expect(notice).to_contain_text("The disk is full.")
        assert one.get("/api/me").status_code == 401 and other.get("/api/me").status_code == 200
        expect(page.get_by_text("Signed out", exact=True)).to_have_count(0)
        notice.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="New links").click()
        page.get_by_role("button", name="Make new links").click()
        expect(notice).to_contain_text("The disk is full.")
        assert other.get("/api/me").status_code == 401
        monkeypatch.undo()


def refuse(*_: object) -> None:
    raise StorageError("The disk is full.")


def test_the_password_is_asked_for_after_the_link(door: Shared, device: Device) -> None:
    owner = ready(device(), f"http://127.0.0.1:{door.port}/")
    url = links(door)["maker"]
    tab(owner, "Share")
    owner.get_by_label("Password for guests").fill("correct horse")
    owner.get_by_role("button", name="Set password").click()
    expect(owner.locator("#share")).to_contain_text("Guests are asked for a password")
    page = device().new_page()
    page.goto(url)
    expect(page.get_by_text("The link is right")).to_be_visible()
    assert page.url == url.partition("?")[0]
    page.get_by_label("Password").fill("wrong horse")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#welcome")


def test_another_website_can_neither_send_a_form_nor_read(door: Shared, device: Device, worker: FakeWorker) -> None:
    context = device()
    url = links(door)["maker"]
    ready(context, url)
    studio = url.partition("/?")[0]
    evil = context.new_page()
    form = f"""<form method=post enctype=text/plain action="{studio}/api/jobs"><input name='{{"prompt": "x", "a' value='": "b"}}'></form>
    <form method=post action="{studio}/sign-in"><input name=key value=x></form>"""
    evil.route("http://elsewhere.test/", lambda route: route.fulfill(body=form, content_type="text/html"))
    for number in (0, 1):
        evil.goto("http://elsewhere.test/")
        with evil.expect_response(f"{studio}/**") as answer:
            evil.evaluate("number => document.forms[number].submit()", number)
        assert answer.value.status == 403
        evil.wait_for_url(f"{studio}/**")
    evil.goto("http://elsewhere.test/")
    for path, options in (
        ("/api/me", "{credentials: 'include'}"),
        ("/api/jobs", "{method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}'}"),
        ("/api/jobs", "{method: 'POST', credentials: 'include', headers: {'content-type': 'application/json'}, body: '{}'}"),
    ):
        told = evil.evaluate(f"fetch('{studio}{path}', {options}).then((answer) => answer.type, () => 'refused')")
        assert told in ("opaque", "refused")
    framed = evil.evaluate(
        """address => new Promise((done) => { const frame = document.createElement('iframe'); frame.src = address;
        frame.onload = () => { let there = true; try { there = Boolean(frame.contentDocument); } catch { there = false; } done(there); };
        document.body.append(frame); })""",
        studio,
    )
    assert framed is False
    assert worker.submitted == []


def test_a_name_that_was_rebound_to_us_is_not_answered(door: Shared, device: Device) -> None:
    links(door)
    page = device().new_page()
    answer = page.goto(f"http://evil.test:{door.port}/")
    assert answer is not None and answer.status == 421 and "private" not in page.content()
    answer = page.goto(f"http://atelier.local:{door.port}/")
    assert answer is not None and answer.status == 401 and "This studio is private" in page.content()


def test_on_plain_http_links_can_be_copied_all_the_same(door: Shared, device: Device) -> None:
    url = links(door)["maker"].replace("127.0.0.2", "atelier.local")
    context = device()
    page = ready(context, url)
    assert page.evaluate("[window.isSecureContext, navigator.clipboard === undefined]") == [False, True]
    page.locator("#prompt textarea").fill("a boat & a 50% moon #1")
    page.evaluate(
        "document.addEventListener('copy', () => { window.copied = document.getSelection().toString() || document.activeElement.value; })"
    )
    page.locator("#recipe-link").click()
    expect(page.locator("#recipe-link")).to_have_text("Copied")
    copied = page.evaluate("window.copied")
    assert copied.startswith(f"http://atelier.local:{door.port}/#recipe=1&") and "a%20boat%20%26%20a%2050%25%20moon%20%231" in copied
    assert "key" not in copied
    page.locator("#prompt textarea").fill("another")
    steps(page, 33)
    second = ready(context, copied)
    expect(second.locator("#prompt textarea")).to_have_value("a boat & a 50% moon #1")
    expect(second.locator("#steps input[type=number]")).to_have_value("6")


def test_a_link_to_a_pictures_settings_makes_the_same_picture_for_a_teammate(door: Shared, device: Device, worker: FakeWorker) -> None:
    url = links(door)["maker"]
    page = ready(device(), url)
    page.locator("#prompt textarea").fill("a green fish")
    steps(page, 4)
    page.locator("#generate").click()
    expect(page.locator(STATUS)).to_have_text(FINISHED)
    page.evaluate(
        """() => { document.addEventListener('copy', () => { window.copied = document.activeElement.value; });
        Object.defineProperty(window, 'isSecureContext', {value: false}); }"""
    )
    page.get_by_role("button", name="Copy settings link").click()
    copied = urlsplit(page.evaluate("window.copied"))
    assert copied.fragment.startswith("recipe=1&prompt=a%20green%20fish")
    # The link to come in and the link to settings go together: the end of an address outlives the way over the sign-in.
    mate = ready(device(), f"{url}#{copied.fragment}")
    expect(mate.locator("#prompt textarea")).to_have_value("a green fish")
    expect(mate.locator("#seed input")).to_have_value(str(worker.submitted[0].seed))
    assert "recipe" not in mate.url
    mate.locator("#generate").click()
    expect(mate.locator(STATUS)).to_have_text(FINISHED)
    assert worker.submitted[0] == worker.submitted[1]
    steps(mate, 9)
    mate.reload()
    expect(mate.locator("#steps input[type=number]")).to_have_value("9")


def test_a_link_to_settings_opens_in_a_tab_that_shows_the_studio_already(door: Shared, device: Device) -> None:
    page = ready(device(), f"http://127.0.0.1:{door.port}/#share")
    expect(page.locator("#share .people")).to_be_visible()
    for number in (1, 2):
        with page.expect_event("load"):
            page.evaluate("end => { location.hash = end; }", f"recipe=1&prompt=boat%20{number}&steps=7")
        expect(page.locator("#prompt textarea")).to_have_value(f"boat {number}")
        expect(page.locator("#steps input[type=number]")).to_have_value("7")
        assert "recipe" not in page.url
        expect(page.locator("#generate")).to_be_visible()
    tab(page, "Share")
    page.evaluate("() => { location.hash = 'create'; }")
    expect(page.locator("#generate")).to_be_visible()


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        ("recipe=2&prompt=a", "newer version"),
        ("recipe=1&prompt=a&steps=0", "Steps must be"),
        ("recipe=1&steps=<img src=x>", "Steps must be"),
        ("recipe=1&prompt=a&model=none", "does not have the model none"),
        ("recipe=1&extra=1", "There is no setting called"),
        ("recipe=", "damaged"),
    ],
)
def test_a_link_that_cannot_be_opened_is_a_sentence(door: Shared, device: Device, end: str, sentence: str) -> None:
    page = ready(device(), f"http://127.0.0.1:{door.port}/#{end}")
    expect(page.locator("#notice")).to_contain_text(sentence)
    expect(page.locator("#prompt textarea")).not_to_have_value("")
    page.locator("#notice").get_by_role("button", name="Close").click()
    expect(page.locator("#notice")).to_have_count(0)
    assert page.locator("img[src=x]").count() == 0


def test_every_control_of_the_tab_has_a_name_and_fits_a_phone(door: Shared, device: Device) -> None:
    page = ready(device(viewport={"width": 390, "height": 844}), f"http://127.0.0.1:{door.port}/")
    links(door)
    tab(page, "Share")
    page.wait_for_selector("#share .card")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, select, [role=img]')].filter(e => e.offsetParent)
        .filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() || e.title))
        .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_browser_that_opened_the_studio_stays_its_owner_when_it_is_shared(door: Shared, device: Device) -> None:
    page = ready(device(), f"http://127.0.0.1:{door.port}/")
    links(door)
    page.reload()
    expect(page.locator("#me")).to_contain_text("Owner")
    fresh = device().new_page()
    answer = fresh.goto(f"http://127.0.0.1:{door.port}/")
    assert answer is not None and answer.status == 401
    expect(fresh.get_by_text("the owner's link")).to_be_visible()
    assert httpx.get(f"http://127.0.0.1:{door.port}/api/me", headers=NAVIGATE).status_code == 401
