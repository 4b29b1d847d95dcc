"""What a person sees while an answer comes, and what a pipe gets."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from fake_model import answer, tell
from rich.console import Console
from terminal import Terminal

from aspd_local.cli.screen import FRAMES_PER_SECOND, LiveScreen, PlainScreen, Silent, open_screen, show
from aspd_local.events import Done, End, Event, Fork, Text, fold

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
    terminal = Terminal()
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


def test_text_without_headings_breaks_the_line_once_before_the_panes() -> None:
    events = tell("One", {"A": " two", "B": " three"}, " four", headings=False)
    screen, terminal = live(80)
    show(events, screen)
    assert terminal.screen() == "One\n two three four"


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
    events: list[Event] = [Fork(1, ("A", "B")), Text("1.1", 0, "one"), Text("1.2", 0, "two")]
    events.append(Done(answer("onetwo", finish_reason="length")))
    screen, terminal = live(60)
    show(events, screen)
    assert terminal.screen() == "onetwo"


def test_an_error_inside_a_block_leaves_the_text_and_the_cursor() -> None:
    screen, terminal = live(60)

    def broken() -> Iterator[Event]:
        yield Text(None, 0, "Look: ")
        yield Fork(1, ("A", "B"))
        yield Text("1.1", 0, "half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        show(broken(), screen)
    assert terminal.screen() == "Look:\nhalf"
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
        screen.feed(Fork(1, ("A", "B")))
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
