"""What a person sees while an answer comes, and what a pipe gets."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable, Iterator

import pytest
from fake_model import answer, tell
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from terminal import Terminal

from aspd_local.cli.screen import FRAMES_PER_SECOND, LiveScreen, PlainScreen, Silent, open_screen, show
from aspd_local.events import Done, End, Event, Fork, Join, Text, Unfork, fold
from schedules import random_schedule

DRINKS = {"Tea": "Green or black, and always hot.", "Coffee": "Strong.", "Milk": "Cold."}
DRINKS_TEXT = """Three drinks:

**Tea**
Green or black, and always hot.

**Coffee**
Strong.

**Milk**
Cold.

Choose one."""
EVENTS = tell("Three drinks:", DRINKS, "\n\nChoose one.")


class Clock:
    """Goes on by `step` seconds with every look."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def live(
    width: int, height: int = 30, clock: Callable[[], float] | None = None
) -> tuple[LiveScreen, Terminal]:
    terminal = Terminal(height)
    console = Console(file=terminal, width=width, height=height, color_system=None, highlight=False)
    return LiveScreen(console, clock or Clock(1.0)), terminal


def test_the_story_of_these_tests_is_consistent() -> None:
    assert fold(EVENTS) == DRINKS_TEXT


def test_plain_text_comes_in_reading_order_and_ends_with_a_newline() -> None:
    file = io.StringIO()
    result = show(EVENTS, PlainScreen(file))
    assert file.getvalue() == DRINKS_TEXT + "\n"
    assert result is not None
    assert result.text == DRINKS_TEXT


def test_plain_text_keeps_a_newline_of_its_own() -> None:
    file = io.StringIO()
    show(tell("Yes.\n"), PlainScreen(file))
    assert file.getvalue() == "Yes.\n"


def test_plain_text_streams() -> None:
    file = io.StringIO()
    with PlainScreen(file) as screen:
        screen.feed(Text(None, 0, "Hel"))
        assert file.getvalue() == "Hel"


@pytest.mark.parametrize("width", [12, 40, 80, 200])
@pytest.mark.parametrize("height", [4, 24])
def test_in_the_end_the_terminal_shows_the_answer(width: int, height: int) -> None:
    screen, terminal = live(width, height)
    show(EVENTS, screen)
    assert terminal.screen().split() == DRINKS_TEXT.replace("**", "").split()
    assert terminal.widest <= width
    assert terminal.cursor_visible


def test_titles_and_paragraphs_stand_as_in_the_text() -> None:
    screen, terminal = live(80)
    show(EVENTS, screen)
    assert terminal.screen() == DRINKS_TEXT.replace("**", "")


def test_while_they_are_decoded_branches_stand_side_by_side() -> None:
    screen, terminal = live(80)
    with screen:
        for event in EVENTS:
            if isinstance(event, End):
                break
            screen.feed(event)
        lines = terminal.screen().split("\n")
    assert lines[0] == "Three drinks:"
    assert "1 Tea" in lines[1]
    assert "2 Coffee" in lines[1]
    assert "Green" in lines[2]
    assert "Strong." in lines[2]


def test_text_without_headings_goes_on_in_the_line_that_the_panes_have_broken() -> None:
    events = tell("One", {"A": " two", "B": " three"}, " four", headings=False)
    screen, terminal = live(80)
    show(events, screen)
    assert terminal.screen() == "One two three four"


def test_two_blocks() -> None:
    events = tell("First:", DRINKS, "\n\nSecond:", {"Bread": "Brown.", "Rice": "White."}, "\n\nDone.")
    screen, terminal = live(60)
    show(events, screen)
    assert terminal.screen() == fold(events).replace("**", "")


def test_an_answer_may_begin_with_a_block() -> None:
    events = tell(DRINKS)
    screen, terminal = live(60)
    show(events, screen)
    assert terminal.screen() == fold(events).replace("**", "")


def test_an_answer_cut_inside_a_block_keeps_what_was_said() -> None:
    events: list[Event] = [Fork(1, ("A", "B"), 0), Text("1.1", 0, "one"), Text("1.2", 0, "two")]
    events.append(Done(answer("onetwo", finish_reason="length")))
    screen, terminal = live(60)
    show(events, screen)
    assert terminal.screen() == "onetwo"


def test_an_error_inside_a_block_leaves_the_text_and_the_cursor() -> None:
    screen, terminal = live(60)

    def broken() -> Iterator[Event]:
        yield Text(None, 0, "Look: ")
        yield Fork(1, ("A", "B"), 6)
        yield Text("1.1", 0, "half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        show(broken(), screen)
    assert terminal.screen() == "Look: half"
    assert terminal.cursor_visible


# A list that the model has begun by itself, as `intrinsic` tells of it.
LISTED: list[Event] = [
    Text(None, 0, "Two drinks are left: 1. **Tea** is"),
    Fork(1, ("1. **Tea**", "2. **Milk**"), 21),
]
TITLES = ("1. **Tea**", "2. **Milk**", "3. **Rum**")


def shown(events: Iterable[Event], width: int = 80, height: int = 30) -> list[str]:
    """The lines that a person sees after these events, while more may come."""
    screen, terminal = live(width, height)
    screen.__enter__()
    for event in events:
        screen.feed(event)
    lines = terminal.screen().split("\n")
    screen.__exit__(None, None, None)
    return lines


def test_text_that_becomes_a_branch_moves_into_its_pane() -> None:
    lines = shown([*LISTED, Text("1.1", 13, " hot"), Text("1.2", 0, "\n2. **Milk** is cold")])
    assert lines[0] == "Two drinks are left:"
    assert [cell.strip() for cell in lines[2].split("│") if cell.strip()] == ["is hot", "is cold"]
    assert [line for line in lines if "is hot" in line] == [lines[2]]


def test_lines_that_move_leave_no_trace() -> None:
    said = "First:\n\n1. Tea\nis hot\nand green.\n"
    lines = shown([Text(None, 0, said), Fork(1, ("1. Tea", "2. Milk"), 8)])
    assert lines[:2] == ["First:", ""]
    assert lines[2].startswith("╭─ 1 Tea")
    assert lines[3].startswith("│ is hot")
    assert lines[4].startswith("│ and green.")
    assert len(lines) == 6


def test_a_block_that_grows_gets_more_panes() -> None:
    lines = shown(
        [*LISTED, Text("1.1", 13, " hot"), Fork(1, TITLES, 21), Text("1.3", 0, "\n3. **Rum** burns")]
    )
    drawn = "\n".join(lines)
    assert [drawn.count(title) for title in ("1 Tea", "2 Milk", "3 Rum")] == [1, 1, 1]
    assert "is hot" in drawn
    assert "burns" in drawn


def test_a_block_that_is_taken_back_leaves_no_pane_and_the_line_goes_on() -> None:
    early = [*LISTED, Text("1.1", 13, " hot"), Text("1.2", 0, "\n2. **Milk** is cold")]
    lines = shown([*early, Unfork(1), Text(None, 38, ", and good")])
    assert lines == ["Two drinks are left: 1. **Tea** is hot, and"]  # the last word waits
    assert shown([*early, Unfork(1), Fork(1, TITLES[:2], 34)])[0] == "Two drinks are left: 1. **Tea** is"


def test_an_answer_cut_in_a_list_keeps_all_that_was_written() -> None:
    screen, terminal = live(60)
    show([*LISTED, Text("1.1", 13, " hot"), Text("1.2", 0, "\n2. **Milk**")], screen)
    assert terminal.screen() == "Two drinks are left: 1. **Tea** is hot\n2. **Milk**"


def test_text_that_has_left_the_screen_stays_above_the_panes_and_is_written_once() -> None:
    said = "Look:\n" + "".join(f"{n}\n" for n in range(20)) + "and"
    events: list[Event] = [Text(None, 0, said), Fork(1, ("a", "b"), 6), Text("1.1", len(said) - 6, " so")]
    lines = shown(events, height=10)
    assert lines[:22] == [*said.split("\n")]
    assert "on" not in lines
    ends: list[Event] = [Text("1.2", 0, " on."), End("1.1", "stop"), End("1.2", "stop"), Join(1)]
    screen, terminal = live(80, 10)
    show([*events, *ends, Text(None, 6, " Done.")], screen)
    assert terminal.screen() == said + " so on. Done."


@pytest.mark.parametrize("taken_back", [False, True])
def test_after_a_change_of_width_all_text_is_there_once(taken_back: bool) -> None:
    terminal = Terminal()
    console = Console(file=terminal, width=60, height=30, color_system=None, highlight=False)
    screen = LiveScreen(console, Clock(1.0))
    with screen:
        for event in LISTED:
            screen.feed(event)
        console.width = 40
        screen.feed(Text("1.1", 13, "\nhot"))
        screen.feed(Unfork(1) if taken_back else Join(1))
        screen.feed(Fork(1, ("a", "b"), 23) if taken_back else Fork(2, ("a", "b"), 21))
    assert terminal.screen().split() == ["Two", "drinks", "are", "left:", "1.", "**Tea**", "is", "hot"]


@given(dice=st.randoms(use_true_random=False), width=st.integers(8, 60), height=st.integers(4, 30))
def test_in_the_end_a_terminal_of_any_size_shows_the_text(
    dice: random.Random, width: int, height: int
) -> None:
    told = random_schedule(dice, ("a", "bc", " ", " d", "\n", "日", "é", "\t", "\r", "**"))
    screen, terminal = live(width, height)
    show(told.events, screen)
    plain, wanted = live(width, height)
    show([Text(None, 0, told.text or " ")], plain)
    assert "".join(terminal.screen().split()) == "".join(wanted.screen().split())
    assert terminal.widest <= width
    if height > 20:  # else a line that the panes have broken may have scrolled away
        assert terminal.screen() == wanted.screen()
    assert terminal.cursor_visible


def test_escape_sequences_do_not_reach_the_terminal() -> None:
    screen, terminal = live(60)  # a Terminal refuses codes that it does not know
    show(tell("\x1b[2Jgone?", {"A\x1b[H": "\x1b[5m", "B": "b"}), screen)
    assert "gone?" in terminal.screen()


@pytest.mark.parametrize(("seconds", "at_most"), [(0.001, 3), (10.0, 200)])
def test_frames_are_drawn_no_faster_than_a_person_sees(
    monkeypatch: pytest.MonkeyPatch, seconds: float, at_most: int
) -> None:
    frames = 0
    screen, _ = live(80, clock=Clock(seconds / 200))
    draw = screen._draw

    def count() -> None:
        nonlocal frames
        frames += 1
        draw()

    monkeypatch.setattr(screen, "_draw", count)
    with screen:
        screen.feed(Fork(1, ("A", "B"), 0))
        for offset in range(200):
            screen.feed(Text("1.1", offset, "a"))
        screen.feed(End("1.1", "stop"))
    assert frames <= min(at_most, 2 * seconds * FRAMES_PER_SECOND + 3)
    assert frames >= 2


def test_a_terminal_gets_panes() -> None:
    assert isinstance(open_screen(Terminal()), LiveScreen)


def test_a_dumb_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_screen(Terminal()), PlainScreen)


def test_a_file_gets_plain_text() -> None:
    assert isinstance(open_screen(io.StringIO()), PlainScreen)


def test_the_first_event_is_announced_once() -> None:
    calls: list[int] = []
    show(EVENTS, Silent(), on_first=lambda: calls.append(1))
    assert calls == [1]
