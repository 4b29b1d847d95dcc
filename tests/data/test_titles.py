"""A title for each part: short, different, taken from what the part says of itself."""

from __future__ import annotations

import pytest

from aspd_local.data.titles import lead_in, titles


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
