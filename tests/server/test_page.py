"""The page in a real browser, before the real server: branches grow at once, answers are compared.

Needs Debian's chromium; .ci/run installs it.
"""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import TEXT, Running, running

from aspd_local import Event, Fork, Join, Text, Unfork
from aspd_local.server import ServerConfig
from aspd_local.server.bodies import Naming, event_body
from aspd_local.server.loop import Timed
from aspd_local.server.sending import data_line
from schedules import random_schedule

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


def test_page_works_behind_a_proxy_with_a_prefix(slow: Running, browser: Any) -> None:
    page = browser.new_context().new_page()
    prefixed = f"{slow.address}/tools/aspd/"
    page.route(
        f"{prefixed}**",
        lambda route: route.continue_(url=route.request.url.replace(prefixed, slow.address + "/")),
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(prefixed)
    ask(page)
    (text,) = finished(page)
    assert PLAIN in text
    assert [url for url in asked if not url.startswith((prefixed, "data:"))] == []
    page.context.close()


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


# --- streams that the test tells, event by event ---------------------------------------------------------

STUB = """() => {
  const real = window.fetch;
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    start(controller) {
      window.tell = (text) => (text ? controller.enqueue(encoder.encode(text)) : controller.close());
    },
  });
  window.fetch = (path, options) => {
    if (!path.startsWith("v1/chat/completions")) return real(path, options);
    return Promise.resolve(new Response(path.endsWith("/control") ? "{}" : body));
  };
}"""

NAMING = Naming("chat", "id", "story", 0)
LISTED = (
    Text(None, 0, "Two drinks:\n\n1. **Tea** is"),
    Fork(1, ("1. **Tea**", "2. **Milk**"), 13),
    Text("1.1", 13, " hot"),
    Text("1.2", 0, "\n2. **Milk** is cold"),
)


class Told:
    """An answer that the page has asked for, told by the test."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._seconds = 0.0
        page.evaluate(STUB)
        ask(page)

    def tell(self, *events: Event) -> None:
        for event in events:
            self._seconds += 0.1
            said = {"v": 1, "number": 1, "events": [event_body(Timed(event, self._seconds))]}
            self._send(data_line(NAMING.chunk(NAMING.delta(0, "", None, None), aspd=said)))

    def end(self) -> None:
        facts = {"v": 1, "protocol": "intrinsic", "fallback": None, "tokens": 9, "steps": 5, "blocks": []}
        self._send(data_line(NAMING.chunk(NAMING.delta(0, "", None, "stop"), aspd=facts)))
        self._send(b"")

    def _send(self, line: bytes) -> None:
        self._page.evaluate("text => window.tell(text)", line.decode())


def columns(page: Any, n: int) -> list[str]:
    """The text of each column, once there are n."""
    sync_api.expect(page.locator("[data-branch]")).to_have_count(n)
    return list(page.locator("[data-branch] .text").all_inner_texts())


def test_text_that_becomes_a_branch_moves_into_its_column(page: Any) -> None:
    told = Told(page)
    told.tell(LISTED[0])
    trunk = page.locator(".body > .text")
    sync_api.expect(trunk).to_contain_text("Tea is")
    told.tell(*LISTED[1:])
    sync_api.expect(page.locator('[data-branch="1.2"]')).to_contain_text("cold")
    first, second = columns(page, 2)
    assert "Tea is hot" in first
    assert "Milk is cold" in second
    assert trunk.inner_text() == "Two drinks:"
    told.tell(Join(1), Text(None, 13, "\n\nChoose."))
    told.end()
    (text,) = finished(page)
    assert re.search(r"Twodrinks:Teaishot.*Milkiscold.*Choose\.", text)
    assert page.locator('[data-from="1.1"]').inner_text() == "Tea is hot"


def test_a_block_that_begins_the_answer_leaves_no_empty_text_above_it(page: Any) -> None:
    told = Told(page)
    told.tell(Text(None, 0, "1. Tea"), Fork(1, ("1. Tea", "2. Milk"), 0))
    assert "Tea" in columns(page, 2)[0]
    assert page.locator(".body > .text").count() == 0
    told.end()
    finished(page)


def test_a_block_that_grows_gets_more_columns(page: Any) -> None:
    told = Told(page)
    told.tell(*LISTED)
    columns(page, 2)
    sync_api.expect(page.get_by_test_id("announcer")).to_contain_text("Forked into 2 branches.")
    told.tell(Fork(1, ("1. **Tea**", "2. **Milk**", "3. **Rum**"), 13), Text("1.3", 0, "\n3. **Rum** burns"))
    sync_api.expect(page.locator('[data-branch="1.3"]')).to_contain_text("burns")
    first, second, _ = columns(page, 3)
    assert "Tea is hot" in first
    assert "Milk is cold" in second
    assert page.locator("[data-branch] h4").all_inner_texts() == ["Tea", "Milk", "Rum"]
    assert "Forked" not in page.get_by_test_id("announcer").inner_text()
    told.end()
    finished(page)


def test_a_block_that_is_taken_back_is_trunk_again(page: Any) -> None:
    told = Told(page)
    told.tell(*LISTED)
    columns(page, 2)
    page.locator('[data-branch="1.2"] [data-action="stop-branch"]').click()
    sync_api.expect(page.locator('[data-branch="1.2"] [data-action="stop-branch"]')).to_have_text("Stopping")
    told.tell(Unfork(1), Text(None, 30, ", and good."))
    sync_api.expect(page.locator(".body > .text")).to_contain_text("Tea is hot, and good.")
    assert columns(page, 0) == []
    told.tell(Fork(1, ("a", "b"), 35), Text("1.2", 0, "other"))
    first, _ = columns(page, 2)
    assert first == "good."
    assert page.locator('[data-branch="1.2"] [data-action="stop-branch"]').inner_text() == "Stop"
    told.tell(Join(1))
    told.end()
    (text,) = finished(page)
    assert "Milk" not in text
    assert "Teaishot,andgood.other" in text


@pytest.mark.parametrize("width", [1280, 390])
def test_all_branches_are_in_sight_at_every_width(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    told = Told(page)
    titles = tuple(f"{n}. **Drink {n}**" for n in range(1, 7))
    told.tell(Text(None, 0, titles[0]), Fork(1, titles, 0))
    told.tell(*(Text(f"1.{n}", 0, f"\n{title} is wet") for n, title in enumerate(titles[1:], 2)))
    columns(page, 6)
    for box in (each.bounding_box() for each in page.locator("[data-branch]").all()):
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert page.evaluate(
        "(() => { const b = document.querySelector('.block'); return b.scrollWidth <= b.clientWidth; })()"
    )
    told.end()
    finished(page)


def test_chat_is_kept_and_opened_again(page: Any) -> None:
    ask(page)
    finished(page)
    page.reload()
    (text,) = finished(page)
    assert PLAIN in text
    page.click("#new-chat")
    assert page.locator(".answer").count() == 0
    page.click("#chats-open")
    row = page.locator("#chat-list li")
    assert row.locator("input").input_value() == "Hello"
    row.locator("input").fill("My chat")
    row.locator("input").blur()
    with page.expect_download() as saved:
        row.locator('[data-do="export"]').click()
    assert saved.value.suggested_filename == "My chat.md"
    exported = Path(saved.value.path()).read_text(encoding="utf-8")
    assert exported.startswith("# My chat\n\n## Hello\n\n")
    assert TEXT in exported
    row.locator('[data-do="open"]').click()
    assert len(finished(page)) == 1
    with page.expect_request("**/v1/chat/completions") as asked:
        ask(page)
    assert asked.value.post_data_json["messages"][1]["content"] == TEXT
    finished(page, 2)
    page.click("#chats-open")
    assert row.locator("input").input_value() == "My chat"
    row.locator('[data-do="delete"]').click()
    row.locator('[data-do="delete"]').click()
    sync_api.expect(page.locator("#chat-list")).to_contain_text("No chat was kept yet")
    page.click("#chats-close")
    assert page.locator(".answer").count() == 0
    page.reload()
    sync_api.expect(page.locator("#state")).to_contain_text("ready")
    assert page.locator(".answer").count() == 0


def test_edited_question_takes_the_place_of_the_old_one(page: Any) -> None:
    for n in (1, 2):
        ask(page)
        finished(page, n)
    page.locator('[data-action="edit"]').first.click()
    assert page.input_value("#question") == "Hello"
    page.keyboard.press("Escape")
    assert page.input_value("#question") == ""
    assert page.locator(".answer").count() == 2
    page.locator('[data-action="edit"]').first.click()
    page.fill("#question", "Goodbye")
    with page.expect_request("**/v1/chat/completions") as asked:
        page.press("#question", "Enter")
    assert asked.value.post_data_json["messages"] == [{"role": "user", "content": "Goodbye"}]
    finished(page)
    assert page.locator(".question").all_inner_texts() == ["Goodbye"]


def test_answer_is_regenerated(page: Any) -> None:
    ask(page)
    finished(page)
    with page.expect_request("**/v1/chat/completions") as asked:
        page.get_by_text("Regenerate").click()
    assert asked.value.post_data_json["messages"] == [{"role": "user", "content": "Hello"}]
    (text,) = finished(page)
    assert PLAIN in text
    assert re.search(r"[\d.]+tokensasecond", text)


def test_text_file_becomes_part_of_the_question(page: Any) -> None:
    page.fill("#question", "What is this?")
    page.set_input_files("#file", {"name": "a.py", "mimeType": "text/plain", "buffer": b"x = '```'\n"})
    sync_api.expect(page.locator("#question")).to_have_value(
        "What is this?\n\na.py:\n````\nx = '```'\n````\n"
    )
    page.set_input_files("#file", {"name": "b.bin", "mimeType": "text/plain", "buffer": b"\0\1"})
    sync_api.expect(page.locator("#keys")).to_contain_text("not a text")


def test_model_that_has_to_be_loaded_is_said_to_be(page: Any) -> None:
    listed = {"data": [{"id": "story", "aspd": {"loaded": False}}]}
    page.route("**/v1/models", lambda route: route.fulfill(json=listed))
    told = Told(page)
    sync_api.expect(page.get_by_test_id("summary")).to_contain_text("Loading the model")
    listed["data"][0]["aspd"] = {"loaded": True}
    sync_api.expect(page.get_by_test_id("summary")).to_contain_text("Reading the question")
    told.tell(Text(None, 0, "Tea"))
    told.end()
    finished(page)


def test_model_is_chosen_in_sight(page: Any) -> None:
    assert page.locator("#header #model").input_value() == "story"
    assert page.locator("#model").is_visible()


def test_page_folds_any_schedule_into_the_text(page: Any) -> None:
    dice = random.Random(9)
    told = [random_schedule(dice) for _ in range(300)]
    events = [[event_body(Timed(event, float(n))) for n, event in enumerate(each.events)] for each in told]
    script = """async (told) => {
      const { newAnswer, stretchesOf, takeEvent, textOf } = await import("/page/answer.js");
      return told.map((events) => {
        const answer = newAnswer();
        events.forEach((event) => takeEvent(answer, event));
        return [textOf(answer), stretchesOf(answer).map((stretch) => stretch.text).join("")];
      });
    }"""
    assert page.evaluate(script, events) == [[each.text, each.text] for each in told]


# --- what answers are made of -----------------------------------------------------------------------------

RICH = r"""# Drinks

| Drink | Price |
|:------|------:|
| Tea   | $2    |
| *Rum* | $14   |

> Both are **wet**,
> and $x_1 \ne x_2$.

- [x] boil water
- [ ] wait

```python
def pour(cup):
    return cup + 1  # <b>full</b>
```

$$
\fcolorbox{red}{white}{a} = \frac{1}{2}
$$

So \(a^2\) costs $5 or $10, see [here](https://example.org/?a=1&b=2 "A page") and https://example.org/b.
"""


def answered(page: Any, text: str) -> Any:
    """The drawn text of an answer that is over."""
    told = Told(page)
    told.tell(Text(None, 0, text))
    told.end()
    finished(page)
    return page.locator(".body > .text")


def test_table_is_a_table_with_its_alignment(page: Any) -> None:
    drawn = answered(page, RICH)
    assert drawn.locator("table th").all_inner_texts() == ["Drink", "Price"]
    assert drawn.locator("table td").all_inner_texts() == ["Tea", "$2", "Rum", "$14"]
    aligned = "cells => cells.map((cell) => getComputedStyle(cell).textAlign)"
    assert drawn.locator("table td").evaluate_all(aligned) == ["left", "right"] * 2


def test_quote_task_list_and_heading(page: Any) -> None:
    drawn = answered(page, RICH)
    assert drawn.locator("blockquote strong").inner_text() == "wet"
    assert drawn.locator("h3").inner_text() == "Drinks"
    boxes = drawn.locator("li input[type=checkbox]")
    assert boxes.evaluate_all("boxes => boxes.map((box) => [box.checked, box.disabled])") == [
        [True, True],
        [False, True],
    ]
    assert [text.strip() for text in drawn.locator("li").all_inner_texts()] == ["boil water", "wait"]


def test_code_is_highlighted_and_copied_as_it_was_written(page: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    drawn = answered(page, RICH)
    assert drawn.locator(".code .hljs-keyword").all_inner_texts() == ["def", "return"]
    assert drawn.locator(".code .hljs-comment").inner_text() == "# <b>full</b>"
    plain, keyword = (
        drawn.locator(place).first.evaluate("node => getComputedStyle(node).color")
        for place in [".code code", ".code .hljs-keyword"]
    )
    assert plain != keyword
    drawn.locator('[data-action="copy-code"]').click()
    sync_api.expect(page.get_by_test_id("announcer")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "def pour(cup):\n    return cup + 1  # <b>full</b>\n"


def test_code_of_an_unknown_language_stays_as_it_is(page: Any) -> None:
    drawn = answered(page, "```nosuch\ndef <i>\n```")
    assert drawn.locator("code").inner_html() == "def &lt;i&gt;\n"


def test_formulas_become_mathml_and_prices_stay_prices(page: Any) -> None:
    drawn = answered(page, RICH + "\n\\[ \\sum_i i \\]\n\n```math\ny^3\n```\n")
    assert drawn.locator("math").count() == 5
    assert drawn.locator("math[display=block]").count() == 3
    assert drawn.locator("math[display=block] mfrac").first.evaluate("node => node.textContent") == "12"
    assert "costs $5 or $10, see" in drawn.inner_text()
    spaced = answered_again(page, "$n \\log n$ and $\\sin(x)$").locator("math")
    in_order = "math => [...math.querySelectorAll('mi, mspace')].map((node) => node.localName)"
    assert spaced.first.evaluate(in_order) == ["mi", "mspace", "mi", "mspace", "mi"]
    assert spaced.last.evaluate(in_order) == ["mi", "mi"]
    unfinished = answered_again(page, "$$\n\\frac{1}{")
    assert unfinished.locator("code").inner_text() == "\\frac{1}{"


def answered_again(page: Any, text: str) -> Any:
    page.click("#new-chat")
    return answered(page, text)


def test_links_lead_out_and_only_where_a_link_may(page: Any) -> None:
    drawn = answered(page, RICH)
    links = drawn.locator("a")
    assert links.evaluate_all("links => links.map(({ href, target, rel }) => [href, target, rel])") == [
        ["https://example.org/?a=1&b=2", "_blank", "noopener noreferrer"],
        ["https://example.org/b", "_blank", "noopener noreferrer"],
    ]


HOSTILE = """<script>window.hit = 1</script><img src=x onerror="window.hit = 2">

[one](javascript:window.hit=3) [two](JaVaScRiPt&colon;window.hit=4)
[three](data:text/html,<script>window.hit=5</script>)
[four](vbscript:x) [five](//evil.example/) <javascript:window.hit=6>

![far](https://evil.example/pixel.png) ![near](data:image/svg+xml,<svg/onload=window.hit=7>)

```"><script>window.hit=8</script>
<script>window.hit=9</script>
```

$\\href{javascript:window.hit=10}{x}$ $\\htmlStyle{color:red}{y}$ $\\includegraphics{https://evil.example/a.png}$

$\\text{</math><script>window.hit=11</script><style>*{display:none}</style>}$

| <svg onload=window.hit=12> | <style>*{display:none}</style> |
|--|--|
| <iframe src=https://evil.example> | <form action=https://evil.example><button>x</button></form> |
"""


def test_hostile_answer_is_only_text(page: Any) -> None:
    """The page's own check adds: nothing on the console, nothing asked of anybody else."""
    drawn = answered(page, HOSTILE)
    assert "<script>window.hit = 1</script>" in drawn.inner_text()
    assert "[one](javascript:window.hit=3)" in drawn.inner_text()
    assert (
        drawn.locator("script, img, svg, iframe, form, style, [style], [onload], [onerror], [id]").count()
        == 0
    )
    assert drawn.locator("button").all_inner_texts() == ["Copy"]
    links = drawn.locator("a").evaluate_all("links => links.map((link) => [link.href, link.innerText])")
    assert links == [
        ["https://evil.example/pixel.png", "far"],
        *[["https://evil.example/", "https://evil.example"]] * 2,
    ]
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None


def test_every_beginning_of_an_answer_is_drawn(page: Any) -> None:
    """A table, code or formula is often half there. The end is as if it had come at once."""
    script = """async (text) => {
      const { markdown } = await import("/page/markdown.js");
      const { make, morph } = await import("/page/dom.js");
      const shown = make("div");
      for (let n = 0; n <= text.length; n += 1) morph(shown, make("div", {}, ...markdown(text.slice(0, n))));
      document.querySelector("#log").append(shown);
      return [shown.outerHTML, shown.isEqualNode(make("div", {}, ...markdown(text)))];
    }"""
    streamed, as_at_once = page.evaluate(script, RICH)
    assert as_at_once
    for tag in ["table", "math", "code", "blockquote", "input", "a "]:
        assert f"<{tag}" in streamed


def test_places_of_blocks_and_items_are_those_of_the_text(page: Any) -> None:
    text = "One\r\n\r\n  two\n\n1. a\n   - deep\n2. b\n\n• c\n  • d\n\n```\nx\n```\n"
    text += "| t |\n|---|\n\n$$\ny\n$$\n---\n> q"
    script = """async (text) => {
      const { markdown } = await import("/page/markdown.js");
      const marked = [];
      markdown(text, (node, at) => marked.push([node.localName, node.className, text.slice(at, at + 4)]));
      return marked;
    }"""
    assert page.evaluate(script, text) == [
        ["p", "", "One\r"],
        ["p", "", "two\n"],
        ["li", "", "1. a"],
        ["li", "", "2. b"],
        ["li", "", "• c\n"],
        ["div", "code", "```\n"],
        ["div", "table", "| t "],
        ["p", "formula", "$$\ny"],
        ["hr", "", "---\n"],
        ["blockquote", "", "> q"],
    ]


def test_items_keep_the_numbers_that_were_written(page: Any) -> None:
    drawn = answered(page, "3. a\n\n```\nx\n```\n\n4. b\n4. c")
    assert drawn.locator("li").evaluate_all("items => items.map((item) => item.value)") == [3, 4, 4]


def test_joined_branches_keep_their_colours_whatever_they_are_made_of(page: Any) -> None:
    branches = [
        "1. **Tea**\n\n   ```c\n   int tea;\n   ```\n",
        "\n### Milk\n\n| a |\n|---|\n| b |\n",
        "\n$$\nx\n$$\n",
        "\n```c\nint rum;\n```\n",
    ]
    told = Told(page)
    told.tell(Text(None, 0, "Four:\n\n"), Fork(1, ("Tea", "Milk", "x", "Rum"), 7))
    told.tell(*(Text(f"1.{n}", 0, text) for n, text in enumerate(branches, 1)))
    columns(page, 4)
    sync_api.expect(page.locator('[data-branch="1.4"] .code')).to_contain_text("int rum;")
    assert page.locator('[data-branch="1.2"] table td').inner_text() == "b"
    assert page.locator('[data-branch="1.3"] math').count() == 1
    told.tell(Join(1), Text(None, 7, "\nDone."))
    told.end()
    finished(page)
    marked = page.locator("[data-from]").evaluate_all(
        "nodes => nodes.map((node) => "
        "[node.dataset.from, node.dataset.hue, node.className || node.localName])"
    )
    assert marked == [
        ["1.1", "0", "li"],
        ["1.2", "1", "h5"],
        ["1.2", "1", "table"],
        ["1.3", "2", "formula"],
        ["1.4", "3", "code"],
    ]
