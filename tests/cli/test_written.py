"""Text on a terminal that is taken back, and lines that go on after something stood below them."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text as Line
from terminal import Terminal

from aspd_local.cli.written import Written


def written(width: int = 20, height: int = 6) -> tuple[Written, Terminal, Console]:
    terminal = Terminal(height)
    console = Console(file=terminal, width=width, height=height, color_system=None, highlight=False)
    return Written(console), terminal, console


def test_what_is_taken_back_is_gone_and_the_rest_goes_on() -> None:
    it, terminal, _ = written()
    it.say("one two three four five six seven")
    assert it.take_back(len(" three four five six seven"))
    assert terminal.screen() == "one"
    it.say(" more")
    it.end()
    assert terminal.screen() == "one two more"


def test_nothing_is_taken_back_of_what_has_left_the_screen() -> None:
    it, terminal, _ = written(height=6)
    text = "".join(f"{n}\n" for n in range(8))
    it.say(text)
    assert it.take_back(len("3\n4\n5\n6\n7\n"))
    assert terminal.screen() == "0\n1\n2"
    it.say("3\n4\n5\n6\n7\n")
    assert not it.take_back(len("2\n3\n4\n5\n6\n7\n"))
    assert terminal.screen() + "\n" == text


def test_lines_that_were_drawn_below_have_moved_the_screen() -> None:
    it, terminal, _ = written(height=6)
    it.say("a\nb\nc\nd")
    it.end()
    terminal.write("\n" * 4 + "\x1b[4A")
    it.resume(4)
    it.say("!")
    assert not it.take_back(len("c\nd!"))
    assert it.take_back(1)
    it.end()
    assert terminal.screen() == "a\nb\nc\nd"


def test_a_line_that_cannot_be_reached_is_not_broken_twice() -> None:
    it, terminal, console = written()
    it.say("one")
    it.end()
    console.width = 10
    it.resume(0)
    it.say("\n\ntwo")
    it.end()
    assert terminal.screen() == "one\n\ntwo"


def test_what_stands_above_a_title_stays() -> None:
    it, terminal, _ = written()
    it.say("above")
    it.title(Line("Title"))
    it.say("below")
    assert not it.take_back(len("above" + "below"))
    assert it.take_back(len("below"))
    assert terminal.screen() == "above\nTitle"


def test_text_without_a_waiting_word_is_taken_back_code_point_by_code_point() -> None:
    it, terminal, _ = written()
    it.say("日本\x1b\rabc")
    assert it.take_back(len("\rabc"))
    it.end()
    assert terminal.screen() == "日本\ufffd"
