"""The panes of a block: what is drawn, in any size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from aspd_local.cli.panes import ASCII, Grid, Panes, arrange, name
from aspd_local.events import End, Fork, Join, Text


def block(*titles: str) -> Panes:
    return Panes(Fork(1, titles, 0))


def say(panes: Panes, branch: int, text: str) -> None:
    panes.feed(Text(f"1.{branch}", 0, text))


def drawn(panes: Panes, width: int, height: int) -> list[str]:
    return [line.plain for line in panes.draw(width, height)]


@given(
    n=st.integers(1, 16),
    width=st.integers(12, 200),
    height=st.integers(1, 60),
    bodies=st.lists(st.text(st.sampled_from("ab é日👍\n\t\x1b"), max_size=300), max_size=16),
    over=st.sets(st.integers(1, 16)),
)
def test_a_drawing_fills_the_width_and_keeps_to_the_height(
    n: int, width: int, height: int, bodies: list[str], over: set[int]
) -> None:
    panes = block(*(f"Title {i} of the block, 日本" for i in range(n)))
    for branch, body in enumerate(bodies[:n], 1):
        say(panes, branch, body)
    for branch in over & set(range(1, n + 1)):
        panes.feed(End(f"1.{branch}", "stop"))
    lines = drawn(panes, width, height)
    assert len(lines) <= height
    assert {cell_len(line) for line in lines} == {width}
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize(
    ("n", "width", "height", "rows"),
    [
        (2, 80, 24, (2,)),
        (3, 80, 24, (2, 1)),
        (3, 100, 24, (3,)),
        (4, 80, 24, (2, 2)),
        (4, 200, 50, (4,)),
        (4, 40, 24, (1, 1, 1, 1)),
        (6, 40, 24, (2, 2, 2)),
        (8, 80, 24, (2, 2, 2, 2)),
        (16, 80, 24, (4, 4, 4, 4)),
    ],
)
def test_panes_stand_in_as_few_rows_as_read_well(
    n: int, width: int, height: int, rows: tuple[int, ...]
) -> None:
    assert arrange(n, width, height) == Grid(rows=rows, height=height // len(rows))


def test_a_small_terminal_gets_a_line_for_each_branch() -> None:
    assert arrange(8, 30, 24) is None
    panes = block("Tea", "Coffee", "Milk")
    say(panes, 1, "Green tea is brewed for two minutes")
    panes.feed(End("1.2", "stop"))
    assert drawn(panes, 30, 3) == [
        "  1 Tea: rewed for two minutes",
        "✓ 2 Coffee:                   ",
        "  3 Milk:                     ",
    ]


def test_where_lines_are_short_those_still_being_written_come_first() -> None:
    panes = block("Tea", "Coffee", "Milk")
    panes.feed(End("1.1", "stop"))
    assert [line.split(":")[0].strip() for line in drawn(panes, 30, 2)] == ["2 Coffee", "… and 2 more"]


def test_two_branches_stand_side_by_side() -> None:
    panes = block("Tea", "Coffee")
    say(panes, 1, "**Tea**\nGreen, black and many other kinds of tea.")
    say(panes, 2, "\n\n**Coffee**\nStrong.")
    panes.feed(End("1.2", "stop"))
    assert drawn(panes, 60, 20) == [
        "╭─ 1 Tea ────────────────────╮╭─ 2 Coffee ─────────────────╮",
        "│ Green, black and many      ││ Strong.                    │",
        "│ other kinds of tea.        ││                            │",
        "╰────────────────── 8 words ─╯╰───────────────── 1 word ✓ ─╯",
    ]


def test_without_unicode_boxes_are_ascii() -> None:
    panes = block("Tea", "Coffee")
    panes.feed(End("1.1", "stop"))
    assert all(line.plain.isascii() for line in panes.draw(60, 20, ASCII))


def test_a_tall_branch_shows_its_last_lines() -> None:
    panes = block("Numbers", "Nothing")
    for number in range(100):
        say(panes, 1, f"{number}\n")
    lines = drawn(panes, 60, 10)
    assert len(lines) == 10
    assert lines[-2].startswith("│ 99 ")
    assert lines[1].startswith("│ 92 ")


def test_a_pane_does_not_shrink_when_a_word_moves() -> None:
    panes = block("A", "B")
    say(panes, 1, "one\ntwo\nthree")
    before = len(drawn(panes, 60, 20))
    assert len(drawn(panes, 120, 20)) == before


def test_other_width_wraps_again() -> None:
    panes = block("A", "B")
    say(panes, 1, "one two three four five six seven")
    drawn(panes, 60, 20)
    assert drawn(panes, 100, 20)[1].startswith("│ one two three four five six seven ")


def test_a_word_split_over_events_is_not_broken() -> None:
    panes = block("A", "B")
    for piece in ("extra", "ordi", "nary"):
        say(panes, 1, piece)
        drawn(panes, 60, 20)
    assert drawn(panes, 60, 20)[1].startswith("│ extraordinary ")


@pytest.mark.parametrize(
    "text",
    ["\n\n**A**\nsays **A** twice", "**A**\n", "no heading", " leading space", "\n\n", "", "**B**\nother"],
)
def test_the_parts_of_a_branch_are_its_text(text: str) -> None:
    panes = block("A", "B")
    say(panes, 1, text)
    lead, heading, body = panes.panes[0].split()
    assert lead + heading + body == text
    assert heading == ("**A**\n" if text.lstrip().startswith("**A**\n") else "")


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("  1. **Soil**:", "Soil"),
        ("- Soil -", "Soil"),
        ("## 2. Soil", "Soil"),
        ("| Soil", "Soil"),
        ("C#", "C#"),
        ("-", "-"),
    ],
)
def test_the_title_of_a_pane_has_no_marks(title: str, shown: str) -> None:
    assert name(title) == shown


def test_a_title_that_opens_its_branch_is_not_said_twice() -> None:
    panes = Panes(Fork(1, ("1. **Soil**:", "2. **Seeds**:"), 0))
    panes.feed(Text("1.1", 0, "1. **Soil**: Dig"))
    assert panes.panes[0].split() == ("", "1. **Soil**:", " Dig")
    top, said = drawn(panes, 80, 5)[:2]
    assert "1 Soil ─" in top
    assert "2 Seeds ─" in top
    assert said.startswith("│ Dig ")


def test_other_events_change_nothing() -> None:
    panes = block("A", "B")
    before = drawn(panes, 60, 20)
    for event in (Text(None, 0, "trunk"), Join(1)):
        panes.feed(event)
    assert drawn(panes, 60, 20) == before
