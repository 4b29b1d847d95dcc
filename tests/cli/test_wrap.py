"""Lines broken at words, and control characters that no terminal sees."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from aspd_local.cli.wrap import Wrapper, fit, harmless, n_words

words = st.text(st.sampled_from("ab—é日本 \n\t👍"), max_size=80)


def wrap(text: str, width: int) -> str:
    wrapper = Wrapper(width)
    return wrapper.feed(text) + wrapper.flush()


@given(words, st.integers(2, 30))
def test_no_line_is_wider_than_the_width(text: str, width: int) -> None:
    assert all(cell_len(line) <= width for line in wrap(text, width).split("\n"))


@given(words, st.integers(2, 30))
def test_nothing_but_white_space_changes(text: str, width: int) -> None:
    assert "".join(wrap(text, width).split()) == "".join(text.split())


@given(words, st.integers(2, 30), st.data())
def test_pieces_do_not_matter(text: str, width: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    wrapper = Wrapper(width)
    shown = wrapper.feed(text[:cut])
    assert wrapper.waiting() == wrapper.waiting()
    shown += wrapper.feed(text[cut:]) + wrapper.flush()
    assert shown == wrap(text, width)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two", "three"]),
        ("    code stays", ["    code", "stays"]),
        ("abcdefghijkl", ["abcdefgh", "ijkl"]),
        ("x abcdefghijkl", ["x", "abcdefgh", "ijkl"]),
        ("日本語日本語", ["日本語日", "本語"]),
        ("a\tb", ["a", "b"]),
        ("a\n\nb", ["a", "", "b"]),
        ("exactly8 x", ["exactly8", "x"]),
    ],
)
def test_lines_break_at_words(text: str, lines: list[str]) -> None:
    assert wrap(text, 8).split("\n") == lines


def test_the_last_word_waits_until_it_is_complete() -> None:
    wrapper = Wrapper(10)
    assert wrapper.feed("Hello wor") == "Hello"
    assert wrapper.waiting() == " wor"
    assert wrapper.feed("ldly ") == "\nworldly"


@given(st.text())
def test_no_control_character_passes(text: str) -> None:
    assert {c for c in harmless(text) if unicodedata.category(c) == "Cc"} <= {"\n", "\t"}


def test_an_escape_sequence_is_made_visible() -> None:
    assert harmless("a\x1b[31mb\r\n\tc") == "a\ufffd[31mb\n\tc"


@given(words, st.integers(0, 20))
def test_fit_fills_or_cuts_to_the_width(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width


def test_fit_shows_that_it_cut() -> None:
    assert fit("Prioritise tasks", 8) == "Priorit…"


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("", 0),
        ("one two  three\n", 3),
        ("- one - two", 4),
        ("请给出三个建议。", 7),
        ("我用Python编程。", 5),
        ("ウォーキング", 6),
        ("건강을 유지하는 조언", 3),
        ("日本 and 한국", 4),
    ],
)
def test_words_are_counted_in_every_script(text: str, n: int) -> None:
    assert n_words(text) == n
