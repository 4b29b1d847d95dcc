"""Metrics, by hand; the page, whole and harmless."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from aspd_local import DataError
from aspd_local.data import Config
from aspd_local.data.build import build
from aspd_local.data.checkpoint import Target
from aspd_local.data.metrics import Metrics, bound, parallelism
from aspd_local.data.page import bars
from aspd_local.data.record import BlockCounts, Counts, Record
from aspd_local.data.report import nth, records, report

WORDS = "has a text of its own that is long enough for a part"
COUNTS = Counts(unit="words", total=100, blocks=(BlockCounts(branches=(20, 30, 10), titles=(1, 2, 3)),))


def record(counts: Counts) -> Record:
    return Record(
        prompt="p", messages=({"role": "user", "content": "p"},), answer="", structure=(), counts=counts
    )


def test_metrics_of_one_block_by_hand() -> None:
    assert parallelism(COUNTS) == 0.6
    assert bound(COUNTS) == 100 / (40 + 30 + 6)
    serial = Counts(unit="words", total=50, blocks=())
    assert (parallelism(serial), bound(serial)) == (0, 1)


def test_metrics_of_a_set_by_hand() -> None:
    metrics = Metrics()
    metrics.add(record(COUNTS))
    metrics.add(record(Counts(unit="words", total=50, blocks=())))
    assert (metrics.ppd, metrics.abn, metrics.dp) == (0.5, 3, 0.6)
    assert metrics.dp_all == 60 / 150
    assert metrics.efficiency == pytest.approx(54 / 60)
    assert metrics.straggler_loss == pytest.approx(1 - 20 / 30)
    assert metrics.bound_all == pytest.approx((100 / 76 + 1) / 2)
    assert metrics.bound_parallel == pytest.approx(100 / 76)
    assert metrics.branch_bins == {0: 2, 1: 1}


def test_nothing_is_zero() -> None:
    metrics = Metrics()
    assert (metrics.ppd, metrics.abn, metrics.dp, metrics.efficiency, metrics.bound_all) == (0, 0, 0, 0, 0)


@pytest.fixture
def data(write: Callable[..., Path], tmp_path: Path) -> Path:
    def answer(i: int) -> str:
        items = f"- **Aa** {WORDS}\n- **B<b>** {WORDS}\n- **Cc** {WORDS}"
        return f"<b>{i}</b>:\n\n{items}\n\nDone & <script>x</script>."

    rows = [{"prompt": f"Q{i} <i>?", "answer": answer(i) if i % 2 else "No."} for i in range(70)]
    out = tmp_path / "out.jsonl"
    build(write(*rows), Target(path=out), Config())
    return out


class Page(HTMLParser):
    """Counts elements and remembers what is loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: dict[str, int] = {}
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] = self.elements.get(tag, 0) + 1
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag in ("div", "details", "figure", "table", "svg", "summary", "h4"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("div", "details", "figure", "table", "svg", "summary", "h4"):
            assert self.open.pop() == tag


def test_page_is_whole_and_needs_nothing_else(data: Path) -> None:
    text = report(data)
    page = Page(text)
    assert page.open == []
    assert page.loaded == []
    assert page.elements["details"] == 20
    assert page.elements["svg"] == 5
    assert "url(" not in text
    assert "@import" not in text


def test_texts_cannot_become_markup(data: Path) -> None:
    page = Page(report(data))
    assert "script" not in page.elements
    assert "i" not in page.elements
    assert page.elements["b"] == 12  # those of the cards


def test_figures_are_on_the_page(data: Path) -> None:
    text = report(data)
    assert "<b>50.0%</b>proportion of parallel data" in text
    assert "<b>3.00</b>branches per block" in text
    assert "70 examples, lengths in words" in text


def test_examples_are_drawn_by_seed(data: Path) -> None:
    def numbers(text: str) -> list[int]:
        return [int(number) for number in re.findall(r"<summary>(\d+)\.", text)]

    first = numbers(report(data))
    assert first == numbers(report(data))
    assert first != numbers(report(data, seed=1))
    assert first == sorted(first)
    assert all(number % 2 == 0 for number in first)  # those with a block


def test_other_files_are_errors_with_their_line(data: Path, tmp_path: Path) -> None:
    with data.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(DataError, match="no line of `aspd data build`") as error:
        list(records(data))
    assert error.value.source == f"{data}:71"
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(DataError, match="it holds no example"):
        report(empty)


def test_nth_counts_from_one(data: Path) -> None:
    assert nth(data, 1).question == "Q0 <i>?"
    assert nth(data, 70).question == "Q69 <i>?"
    with pytest.raises(DataError, match="no example 71"):
        nth(data, 71)


def test_bars_are_as_high_as_their_counts() -> None:
    heights = [
        float(height)
        for height in re.findall(r"<rect [^>]*height=([\d.]+)", bars("x", [("a", 10), ("b", 5)]))
    ]
    assert heights == [112.0, 56.0]
    assert "none" in bars("x", [])
