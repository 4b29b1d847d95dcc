"""Which words a part could have taken over from an earlier sibling."""

from __future__ import annotations

import pytest

from aspd_local.data.words import taken_over, words_of_tokens


def words(parts: list[str], titles: list[str]) -> list[list[str]]:
    places = taken_over(parts, titles)
    return [[part[begin:end] for begin, end in found] for part, found in zip(parts, places, strict=True)]


def test_words_of_earlier_siblings_are_found_and_those_of_later_ones_not() -> None:
    parts = ["Saw the oak board.", "Glue a board.", "Paint a chair, then the oak."]
    assert words(parts, ["Saw the", "Glue a", "Paint a"]) == [[], ["board"], ["a", "the", "oak"]]


def test_wording_of_all_parts_is_left_out_in_either_case() -> None:
    parts = ["The cat of Bram.", "the dog of Bram.", "A hen: THE bird of Bram."]
    assert words(parts, ["The cat", "the dog", "A hen"]) == [[], [], []]


def test_what_a_part_calls_itself_is_known_to_all() -> None:
    parts = [
        "- **Salt**: It is like oil.",
        "- **Oil**: It carries salt in it like water.",
        "- **Air**: Nothing.",
    ]
    assert words(parts, ["Salt", "Oil", "Air"]) == [[], ["It", "it", "like"], []]


def test_a_title_of_first_words_is_no_name() -> None:
    parts = ["Rent takes 1134 away.", "From 1134 one pays.", "Nothing is left."]
    assert words(parts, ["Rent takes 1134 away", "From 1134 one pays", "Nothing is left"]) == [
        [],
        ["1134"],
        [],
    ]


def test_tokens_are_told_from_each_other_by_their_bytes() -> None:
    text = "na\u00efve Zo\u00eb's 42!"
    places = [(0, 5), (6, 11), (12, 14)]
    pieces = [b"na", b"\xc3", b"\xafve", b" Zo", b"\xc3\xab", b"'s", b" ", b"4", b"2!"]
    assert words_of_tokens(text, pieces, places) == (0, 0, 0, 1, 1, 1, -1, 2, 2)
    assert words_of_tokens(text, pieces, places[1:2]) == (-1, -1, -1, 0, 0, 0, -1, -1, -1)
    assert words_of_tokens(text, pieces, []) == (-1,) * 9


@pytest.mark.parametrize("first", [[b" a"], [b" ", b"a"]])
def test_a_space_of_the_tokenizer_is_left_out(first: list[bytes]) -> None:
    assert words_of_tokens("a bc", [*first, b" bc"], [(2, 4)]) == (*(-1 for _ in first), 0)
