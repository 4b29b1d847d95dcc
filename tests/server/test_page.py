"""The page in a real browser, before the real server: branches grow at once, answers are compared.

Needs Debian's chromium; .ci/run installs it.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from served import TEXT, Running, running

from aspd_local.server import ServerConfig

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
PLAIN = re.sub(r"\s", "", TEXT)


@pytest.fixture(scope="module")
def slow(configured: Callable[..., ServerConfig]) -> Iterator[Running]:
    """A server whose steps take as long as a reader can see."""
    with running(configured()) as server:
        engine = server.inside.pool.entries["story"].engine
        assert engine is not None
        step = engine.model.step

        def slow_step() -> Any:
            time.sleep(0.15)
            return step()

        engine.model.step = slow_step  # type: ignore[method-assign]
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api.expect.set_options(timeout=30_000)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(slow: Running, browser: Any) -> Iterator[Any]:
    """A page that keeps to its server and says nothing on the console."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if _complains(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(30_000)
    page.goto(slow.address)
    sync_api.expect(page.locator("#state")).to_contain_text("ready")
    yield page
    page.context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith((slow.address, "data:"))] == []


def _complains(message: Any) -> bool:
    """Errors on the console, but for the browser's own line about the refusal that a test makes up."""
    return message.type == "error" and "503" not in message.text


def ask(page: Any, key: str = "Enter") -> None:
    page.fill("#question", "Hello")
    page.press("#question", key)


def finished(page: Any, n: int = 1) -> list[str]:
    sync_api.expect(page.locator('.answer[aria-busy="false"]')).to_have_count(n)
    return [re.sub(r"\s", "", text) for text in page.locator(".answer").all_inner_texts()]


def test_two_branches_grow_at_the_same_time(page: Any) -> None:
    ask(page)
    two = page.locator('[data-branch="1.2"]')
    sync_api.expect(two).to_contain_text(":t")
    first, second = page.locator("[data-branch] .text").all_inner_texts()[:2]  # at one moment
    assert ":o" in first
    assert "2!" not in second
    (text,) = finished(page)
    assert PLAIN in text
    assert "3branches" in text
    assert "timesasfastasserial(anestimate)" in text
    assert page.get_by_test_id("timeline").is_visible()
    assert "branches" in page.get_by_test_id("announcer").inner_text()


def test_one_branch_is_stopped_and_the_others_go_on(page: Any) -> None:
    ask(page)
    page.locator('[data-branch="1.2"] [data-action="stop-branch"]').click()
    (text,) = finished(page)
    assert "two→2!" not in text
    assert "So." in text


def test_answer_is_stopped_with_escape(page: Any) -> None:
    ask(page)
    page.locator('[data-branch="1.1"]').wait_for()
    page.keyboard.press("Escape")
    (text,) = finished(page)
    assert PLAIN not in text


def test_serial_and_parallel_side_by_side(page: Any) -> None:
    page.fill("#question", "Hello")
    page.click("#compare")
    parallel, serial = finished(page, 2)
    assert "3branches" in parallel
    assert "timesasfast" not in parallel  # both were written in the same steps
    assert "branches" not in serial.replace("nobranches", "")


def test_next_turn_sends_the_history(page: Any) -> None:
    ask(page)
    finished(page)
    with page.expect_request("**/v1/chat/completions") as asked:
        ask(page)
    said = asked.value.post_data_json["messages"]
    assert [message["role"] for message in said] == ["user", "assistant", "user"]
    assert said[1]["content"] == TEXT
    finished(page, 2)


def test_error_is_shown_and_nothing_is_lost(page: Any) -> None:
    page.route(
        "**/v1/chat/completions", lambda route: route.fulfill(status=503, json={"error": {"message": "full"}})
    )
    ask(page)
    sync_api.expect(page.locator(".error")).to_contain_text("full")
    page.unroute("**/v1/chat/completions")
    page.locator('[data-action="retry"]').click()
    (text,) = finished(page)
    assert PLAIN in text


def test_narrow_and_dark(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    ask(page)
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
