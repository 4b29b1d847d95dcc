"""The written rule for visible faults."""

from __future__ import annotations

import pytest
from made import attempt, branches

from aspd_local.eval import faults

GOOD = (
    "Here is how:\n\n1. **Soil**: Dig the soil in spring and let it rest.\n"
    "2. **Seeds**: Sow them in rows and keep them wet.\n"
    "3. **Light**: Give them sun from May on.\n\nGood luck!"
)


def test_a_good_list_has_none() -> None:
    assert faults(attempt(GOOD)) == ()
    assert (
        faults(
            attempt(
                GOOD, parts=branches(("1. **Soil**:", " Dig the soil."), ("2. **Seeds**:", " Sow them now."))
            )
        )
        == ()
    )
    assert faults(attempt("")) == ()


@pytest.mark.parametrize(
    "text",
    [
        "You should ask a doctor. " * 3,
        "- You should ask a doctor.\n- It hurts.\n1. You should ask a doctor.\nYou should ASK a doctor.",
        " ".join(f"a{i} b{i} c{i} d{i} e{i} f{i} g{i} h{i} i{i} j{i}" for i in [0, 1, 2, 3, 0, 1, 2, 3])
        + ".",
    ],
)
def test_what_is_said_again_and_again(text: str) -> None:
    assert faults(attempt(text)) == ("repetition",)


def test_what_is_said_twice_is_none() -> None:
    assert faults(attempt("You should ask a doctor. " * 2)) == ()
    assert faults(attempt("No, no, no, no. Yes. Yes. Yes.")) == ()


def test_a_part_that_says_nothing() -> None:
    text = GOOD.replace(" Sow them in rows and keep them wet.", "")
    assert faults(attempt(text)) == ("empty part",)
    assert faults(attempt("- Name: Bo\n- Age: 12\n- Dig\n- Sow")) == ()
    parts = branches(("Soil", "Dig the soil."), ("Seeds", " "))
    assert faults(attempt("Well.", parts=parts)) == ("empty part",)


def test_a_part_that_answers_another_title() -> None:
    text = (
        "1. **Morning coffee**: Evening walks are good for you.\n"
        "2. **Evening walks**: Evening walks calm the mind.\n"
    )
    assert faults(attempt(text)) == ("other title",)
    own = text.replace("Evening walks are good", "Coffee before the evening walks is good")
    assert faults(attempt(own)) == ()


def test_a_text_that_stops_in_a_sentence() -> None:
    long = "This sentence goes on for more than a dozen words and then it just"
    assert faults(attempt(long)) == ("cut",)
    assert faults(attempt(f"{long} ends.")) == ()
    assert faults(attempt("A title without a full stop")) == ()
    assert faults(attempt("Done.", finish_reason="length")) == ("cut",)
    assert faults(attempt("Done.", parts=branches(("A", "one two three."), reason="length"))) == ("cut",)


def test_a_part_that_stops_where_its_siblings_do_not() -> None:
    parts = branches(("A", "One two three."), ("B", "One two three."), ("C", "- "), ("D", "One two three."))
    assert faults(attempt("Done.", parts=parts)) == ("empty part",)
    parts = branches(("A", "One two three."), ("B", "One two three."), ("C", "One two three"))
    assert faults(attempt("Done.", parts=parts)) == ("cut",)
    parts = branches(("A", "one two three"), ("B", "one two three"), ("C", "One two three."))
    assert faults(attempt("Done.", parts=parts)) == ()  # a list without full stops
