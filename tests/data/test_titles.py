"""A title for each part: short, different, taken from what the part says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspd_local.data.titles import lead_in, openings, titles


@pytest.mark.parametrize(
    ("part", "title"),
    [
        ("1. **Soil**: Look at it.", "Soil"),
        ("- **Soil.** Look at it.", "Soil"),
        ("2) __Soil type__ matters", "Soil type"),
        ("### 3. Data *Preparation*\n\nText", "Data Preparation"),
        ("- Soil: look at it", "Soil"),
        ("- Encryption - using strong keys", "Encryption"),
        ("**Q1: What is `x`?**\n\nA thing.", "Q1: What is x?"),
        ("**Q1:** What is x?", "Q1"),
        ("| Red | a colour |", "Red"),
        ("- [Soil](http://a.b/c): look", "Soil"),
        ("• Soil: look at it", "Soil"),
    ],
)
def test_what_a_part_calls_itself(part: str, title: str) -> None:
    assert lead_in(part) == title


@pytest.mark.parametrize(
    "part",
    [
        "- Look at http://example.org for more",
        "- Meet at 10:30 in the hall",
        "- `a: b` is a mapping",
        "- This is a sentence. And that: a list",
        "- one two three four five six seven eight nine ten eleven: too long",
        "- **one two three four five six seven eight nine ten eleven** is too long",
        "- ...: nothing",
    ],
)
def test_what_is_no_title(part: str) -> None:
    assert lead_in(part) is None


def test_first_words_where_nothing_else_is() -> None:
    parts = ["- Plant *cacti* in the sun, not in the shade.", "- Water them once in a month or so."]
    assert titles(parts) == ("Plant cacti in the sun", "Water them once in a")


def test_as_many_words_as_make_them_differ() -> None:
    same = "you should always think of "
    assert titles([f"- {same}red things", f"- {same}blue things"]) == (
        "you should always think of red",
        "you should always think of blue",
    )


def test_equal_titles_are_none() -> None:
    assert titles(["- Tip: do this", "- Tip: do this"]) is None
    assert titles(["- **Soil** a", "- **soil** b"]) == ("Soil a", "soil b")


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (["1. **Soil**: dig\n", "2. **Seeds**: sow"], ("1. **Soil**:", "2. **Seeds**:")),
        (["- **Soil.** Dig it.", "- **Seeds.** Sow"], ("- **Soil.**", "- **Seeds.**")),
        (["### 1. Soil\n\nDig", "### 2. Seeds\n\nSow"], ("### 1. Soil", "### 2. Seeds")),
        (["- Soil - dig it", "- Seeds: sow"], ("- Soil -", "- Seeds:")),
        (["| Red | a |", "| Blue | b |"], ("| Red", "| Blue")),
        (["1. Dig the soil with care, then wait", "2. Sow"], ("1. Dig the soil with care,", "2. Sow")),
        (["Q1: What is soil made of, mostly?", "Q2: Why?"], ("Q1: What is soil made of,", "Q2: Why?")),
        (["**Option A:** dig", "**Option B:** sow"], ("**Option A:** dig", "**Option B:** sow")),
        (["  - Soil: dig", "  - Seeds: sow"], ("  - Soil:", "  - Seeds:")),
        (["Day 1\nDig all the day", "Day 2\nSow"], ("Day 1", "Day 2")),
    ],
)
def test_openings_are_the_words_that_say_the_title(parts: list[str], found: tuple[str, ...]) -> None:
    assert openings(parts) == found


def test_no_opening_behind_a_blank_line_or_without_titles() -> None:
    assert openings(["\n- Soil: dig", "\n- Seeds: sow"]) is None
    assert openings(["\tSoil: dig", "\tSeeds: sow"]) is None
    assert openings(["- Tip: dig", "- Tip: dig"]) is None
    assert openings([]) is None


@given(st.lists(st.text(max_size=60), max_size=5))
def test_an_opening_begins_its_part(parts: list[str]) -> None:
    for part, opening in zip(parts, openings(parts) or parts, strict=True):
        assert part.startswith(opening)
