"""What the words of a part say about its siblings."""

from __future__ import annotations

import pytest

from aspd_local.data.example import Kind
from aspd_local.data.lexical import find_references
from aspd_local.data.mentions import names, numbers

PARTS = ("1. Oak: It grows slowly and lives long.", "2. Birch: It grows fast and dies young.")


def reasons(second: str, *, before: str = "Tell me about trees.", kind: Kind = "bulleted") -> set[str]:
    parts = [PARTS[0], second]
    return {each.reason for each in find_references(before, parts, ("Oak", "Second"), kind)}


def test_parts_that_stand_alone_have_none() -> None:
    assert find_references("Tell me about trees.", PARTS, ("Oak", "Birch"), "numbered") == []


@pytest.mark.parametrize(
    "part",
    [
        "2. Birch: As mentioned above, trees need light.",
        "2. Birch: Use the result of step 1 here.",
        "2. Birch: Unlike the latter, it is white.",
        "2. Birch: Take the previous example.",
        "2. Birch: Divide this number by two.",
        "2. Birch: Water it once you have planted it.",
        "2. Birch: the same procedure as with fir",
        "2. Birch: Ask a forester if you are still in doubt.",
        "2. Birch: Plant it where it is warm; or do the opposite.",
        "2. Birch: It is another tree of the north.",
        "2. Birch: Something even more beautiful.",
    ],
)
def test_references(part: str) -> None:
    assert reasons(part) == {"refers to a sibling"}


@pytest.mark.parametrize(
    "part",
    [
        "2. Then cut the wood.",
        "- Similarly, birch is light.",
        "2. **Wood**: Next, cut it.",
        "- However, no.",
        "- Others prefer birch.",
        "- Birch, another tree, is white.",
        "- You could also burn birch.",
        "- Nevertheless, oak is hard.",
        "- Birch is also white.",
        "3. Overall, trees are good.",
        "2. **Wood**: In contrast, this burns.",
        "2. **Wood**: You can also burn it.",
    ],
)
def test_continuations(part: str) -> None:
    assert "starts as a continuation" in reasons(part)


@pytest.mark.parametrize("part", ["2. It is white and thin.", "- These are white.", "2. This: a birch"])
def test_pronouns_at_the_start(part: str) -> None:
    assert "starts with a pronoun" in reasons(part)


def test_pronoun_behind_a_title_speaks_of_the_title() -> None:
    assert reasons("2. **Birch**: It is white. This helps in winter.") == set()


@pytest.mark.parametrize(
    "part",
    [
        "2. Birch: Like oak, it is a tree.",
        "- Birch: It is lighter than Oak.",
        "- Birch: a tree similar to the oak",
        "- Birch: Like oaks, it is a tree.",
    ],
)
def test_comparisons_with_what_a_sibling_is_called(part: str) -> None:
    parts = ["1. Oak: It lives long.", part]
    found = find_references("Q", parts, ("Oak", "Birch"), "numbered")
    assert {each.reason for each in found} == {"compares with a sibling"}
    assert find_references("Q", [PARTS[0], part.replace("ak", "lm")], ("Oak", "Birch"), "numbered") == []


def test_things_may_have_opposites_and_be_compared_with_others() -> None:
    assert reasons("2. **Birch**: It is the opposite of fir, and lighter than iron or oaken wood.") == set()


def test_things_that_only_a_sibling_can_have_named() -> None:
    assert reasons("2. Birch: See a forester if it dies despite these measures.") == {"refers to a sibling"}
    assert reasons("2. Birch: These leaves are small. Such trees are rare, and those forests too.") == set()
    assert reasons("2. Birch: Its leaves are small, and these leaves fall early.") == set()
    assert reasons("2. Birch: It is rare these days among such trees.") == set()


def test_first_part_may_say_anything() -> None:
    assert find_references("Q", ["- However, it is so.", "- Birch is white."], ("a", "b"), "bulleted") == []


def test_enumerations_may_begin_with_finally() -> None:
    parts = ["First, oak is hard.", "Finally, birch is light."]
    assert find_references("Q", parts, ("a", "b"), "ordinal") == []
    assert find_references("Q", parts, ("a", "b"), "bulleted") != []


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        ("What is wood?\n\nFollow these steps:", "numbered"),
        ("How do I build a shelf?\n\nLike so:", "numbered"),
        ("Q\n\nThe recipe for it:", "headings"),
    ],
)
def test_procedures(before: str, kind: Kind) -> None:
    parts = ["1. Choose some wood you like.", "2. Glue boards together."]
    (found,) = find_references(before, parts, ("Choose some wood", "Glue boards"), kind)
    assert found.reason == "ordered procedure"


def test_numbered_steps_are_a_procedure_and_options_are_none() -> None:
    steps = ["**Step 1:** Oak is hard.", "**Step 2:** Birch is light."]
    options = ["**Option 1:** Oak is hard.", "**Option 2:** Birch is light."]
    assert [each.reason for each in find_references("Q", steps, ("a", "b"), "label")] == ["ordered procedure"]
    assert find_references("Q", options, ("a", "b"), "label") == []


# --- names and numbers ----------------------------------------------------------------------------


def shared(first: str, second: str, before: str = "Q", titles: tuple[str, str] = ("a", "b")) -> list[str]:
    return [each.evidence for each in find_references(before, [first, second], titles, "bulleted")]


def test_name_of_a_sibling() -> None:
    first = "- There lived a smith called Marisol in town."
    assert shared(first, "- Later years saw how Marisol left.") != []
    assert shared(first, "- One day the smith Marisol left.") == ["Marisol"]


def test_name_in_the_question_or_a_title_is_known() -> None:
    first, second = "- There lived a smith called Marisol.", "- One day the smith Marisol left."
    assert shared(first, second, before="Tell me of Marisol.") == []
    assert shared(first, second, titles=("Marisol", "b")) == []


def test_number_of_a_sibling() -> None:
    assert shared("- It costs 2,437 a year.", "- Of 2437 take half.") == ["2437"]
    assert shared("- It costs 2,437 a year.", "- Of 2438 take half.") == []
    assert shared("- It costs 37 a year.", "- Of 37 take half.") == []  # once, by chance
    assert shared("- It costs 37 and 38 a year.", "- Of 37 and 38 take half.") == ["37, 38"]


def test_thing_of_a_sibling() -> None:
    first = "- Set a kitchen timer there."
    assert shared(first, "- Wait until the timer rings.") == ["the timer"]
    assert shared(first, "- Wait until a timer rings, or the timer.") == []
    assert shared(first, "- Wait until the timer rings.", before="How does my timer work?") == []
    assert shared(first, "- Wait for the end of it.") == []


def test_years_and_round_numbers_are_everyones() -> None:
    assert numbers("In 1984, 100 of 24 and 3.5 or 17%") == {"3.5", "17"}
    assert numbers("It costs 1,984 and not 1984") == {"1984"}


def test_list_marks_and_code_hold_no_numbers() -> None:
    assert numbers("11. a `x = 55`\n12. b\n```\n77\n```\n") == set()


def test_names_are_words_with_a_capital_inside_a_sentence() -> None:
    assert names("The smith Marisol of Orlund said: Go. Then Monday came (PCR).") == {
        "Marisol",
        "Orlund",
        "PCR",
    }
