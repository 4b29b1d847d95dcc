"""Right answers."""

from __future__ import annotations

import pytest

from aspd_local.eval import Question
from aspd_local.eval.exact import final_number, right_share


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("So it is 12.", "12"),
        ("#### 1,234", "1,234"),
        ("The answer is 7. That is 3 more than 4.", "7"),
        (r"\boxed{-3.5} in 2 steps", "-3.5"),
        ("Total: $18 for 3", "18"),
        ("first 1 then 2", "2"),
        ("none", None),
        ("in 2020, 15 came", "15"),
    ],
)
def test_the_number_that_a_text_ends_with(text: str, number: str | None) -> None:
    assert final_number(text) == number


@pytest.mark.parametrize(
    ("right", "text", "share"),
    [
        ("18", "#### 18.00", 1),
        ("1234", "It is 1,234.", 1),
        ("18", "It is 180", 0),
        ("18", "none", 0),
        ("-3", "\N{MINUS SIGN}3", 1),
    ],
)
def test_numbers_are_compared_by_value(right: str, text: str, share: float) -> None:
    assert right_share(Question(key="1", category="", turns=("?",), number=right), text) == share


def test_facts_are_whole_words() -> None:
    question = Question(key="1", category="", turns=("?",), facts=(("1,200", "1200"), ("Anna Bo",), ("12",)))
    assert right_share(question, "In **1200** lived anna\nBO, 120 of them.") == pytest.approx(2 / 3)
    assert right_share(question, "1,200 annas: Anna Bo's 12") == 1
    assert right_share(question, "Annabo 12000") == 0


def test_nothing_known_is_neither_right_nor_wrong() -> None:
    assert right_share(Question(key="1", category="", turns=("?",)), "12") is None
